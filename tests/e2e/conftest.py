"""The whole platform, started once by its own command for all end-to-end tests, on ports and in a home of its own."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from local.settings import read
from tests.e2e.cloud import Cloud

ROOT = Path(__file__).resolve().parents[2]
OWN = {
    "PAYMENTS_HOME": str(ROOT / ".local-test"),
    "PAYMENTS_PORT_OFFSET": "1000",
    "CARD_NETWORK_LATENCY_MS": "20-100",  # tests wait for it many hundred times
}
ENFORCING = {
    "PAYMENTS_HOME": str(ROOT / ".local-test-iam"),
    "PAYMENTS_PORT_OFFSET": "3000",
    "PAYMENTS_ENFORCE_IAM": "1",
}
RECONCILING = {
    "PAYMENTS_HOME": str(ROOT / ".local-test-settlement"),
    "PAYMENTS_PORT_OFFSET": "4000",
    "CARD_NETWORK_LATENCY_MS": "0-1",  # tests charge some thousand cards
}

LOSING = {
    "PAYMENTS_HOME": str(ROOT / ".local-test-losing"),
    "PAYMENTS_PORT_OFFSET": "5000",
    "CARD_NETWORK_LATENCY_MS": "20-100",
}


def pytest_collection_modifyitems(items):
    """Modules with a cloud of their own go first: the one of the others runs to the end, beside whatever follows."""
    shared = {item.path for item in items if "cloud" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in shared)


def payments(*arguments, check=True, settings=OWN):
    """Runs the `payments` command on the tests' own local cloud."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PAYMENTS_"))}
    command = [sys.executable, "-m", "local.cli", *arguments]
    run = subprocess.run(command, cwd=ROOT, env={**inherited, **settings}, capture_output=True, text=True, timeout=600)
    assert not check or run.returncode == 0, run.stdout + run.stderr
    return run


@pytest.fixture(scope="session")
def cli():
    """Runs the `payments` command."""
    return payments


@pytest.fixture(scope="session")
def cloud():
    """The running platform; everything it started is stopped at the end, and nothing of it remains."""
    yield from running(OWN)


@pytest.fixture(scope="session")
def enforcing_cli():
    """Runs the `payments` command on the cloud that enforces rights."""
    return partial(payments, settings=ENFORCING)


@pytest.fixture(scope="module")
def enforcing_cloud():
    """Another one, whose emulators refuse what a function's role does not allow."""
    yield from running(ENFORCING)


@pytest.fixture(scope="module")
def reconciling_cloud():
    """Another one, in whose ledger there is nothing but what the tests of settlement did."""
    yield from running(RECONCILING)


@pytest.fixture(scope="module")
def losing_cloud():
    """Another one, whose regions are frozen, cut off and killed."""
    yield from running(LOSING)


@pytest.fixture(scope="session")
def losing_cli():
    """Runs the `payments` command on it."""
    return partial(payments, settings=LOSING)


@pytest.fixture(scope="session")
def losing_at():
    """Its settings."""
    return read(LOSING)


def running(settings):
    """A local cloud with these settings, from its start to its end."""
    home = Path(settings["PAYMENTS_HOME"])
    payments("down", settings=settings)
    payments("up", "--detach", settings=settings)
    try:
        yield Cloud(json.loads((home / "endpoints.json").read_text()), home)
    finally:
        payments("down", settings=settings)
