"""One AWS emulator (MiniStack) per region, each a process of its own, so that a region can be frozen or killed."""

import os
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import httpx

from local import softhsm
from local.processes import Run, service_environment
from local.settings import HOST, REGIONS, Settings

_READY_SECONDS = 30.0
_WAIT_SCALE = "0.1"
"""State machines wait and retry ten times as fast as in AWS."""
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""Lambda workers inherit the emulator's environment: they get nothing of the operator's but these."""


class NotReady(Exception):
    """An emulator did not come up."""


def start(at: Settings, run: Run) -> None:
    """Start the emulator of every region; `wait` says when they are ready."""
    for region in REGIONS:
        start_region(at, run, region)


def start_region(at: Settings, run: Run, region: str) -> None:
    """Start the emulator of one region, with nothing in it."""
    scratch = at.path("tmp", region)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    environment = _kept(at) | {
        "MINISTACK_REGION": region,
        "GATEWAY_PORT": str(at.emulator_port(region)),
        "BIND_HOST": HOST,
        "LOG_LEVEL": "WARNING",
        "PERSIST_STATE": "0",
        "STATE_DIR": str(scratch / "state"),
        "S3_DATA_DIR": str(scratch / "s3"),
        "TMPDIR": str(scratch),
        "SFN_WAIT_SCALE": _WAIT_SCALE,
        "AUTH": str(at.enforce_iam).lower(),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "ministack"]
    run.start(name(region), command, environment, log_of(at, name(region)), at.emulator_port(region))


def wait(at: Settings, run: Run, regions: Iterable[str] = REGIONS) -> None:
    """Wait until the emulators of these regions answer. Raises `NotReady`, naming the region."""
    deadline = time.monotonic() + _READY_SECONDS
    for region in regions:
        while not _answers(at.aws_url(region)):
            process = run.find(name(region))
            if process is None or not process.alive() or time.monotonic() > deadline:
                raise NotReady(name(region))
            time.sleep(0.05)


def name(region: str) -> str:
    """The emulator's name among the processes."""
    return f"aws-{region}"


def start_service(at: Settings, run: Run, module: str, port: int | None = None) -> None:
    """Start one of this package's services, `python -m local.<module>`."""
    service = module.replace("_", "-")
    command = [sys.executable, "-m", f"local.{module}"]
    run.start(service, command, service_environment(at), log_of(at, service), port)


def log_of(at: Settings, service: str) -> Path:
    """The log file of a process."""
    return at.path("logs", f"{service}.log")


def _kept(at: Settings) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | softhsm.environment(at.softhsm_directory) if at.softhsm_library else kept


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_ministack/health", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
