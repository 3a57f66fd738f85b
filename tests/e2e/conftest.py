"""The whole platform, started once by its own command for all end-to-end tests, on ports and in a home of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cloud import Cloud

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".local-test"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
    "PAYMENTS_HOME": str(HOME),
    "PAYMENTS_PORT_OFFSET": "1000",
}


def payments(*arguments, check=True):
    """Runs the `payments` command on the tests' own local cloud."""
    command = [sys.executable, "-m", "local.cli", *arguments]
    run = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert not check or run.returncode == 0, run.stdout + run.stderr
    return run


@pytest.fixture(scope="session")
def cli():
    """Runs the `payments` command."""
    return payments


@pytest.fixture(scope="session")
def cloud():
    """The running platform; everything it started is stopped at the end, and nothing of it remains."""
    payments("down")
    payments("up", "--detach")
    try:
        yield Cloud(json.loads((HOME / "endpoints.json").read_text()), HOME)
    finally:
        payments("down")
