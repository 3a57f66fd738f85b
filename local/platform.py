"""Starting and stopping the local cloud as a whole."""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from local import deploy, emulators, ports, processes, seed, softhsm, warm
from local.client import TimedOut, until
from local.processes import Run
from local.settings import REGIONS, Settings

_SERVICE_SECONDS = 15
_LAST_READ_SECONDS = 0.5
"""How long replication has for the last writes of a region that is killed; it looks three times in it, at least."""

_THAW_SECONDS = 5
_REFILL_SECONDS = 120
_KEPT = {"cdk.out", "lock"}
"""What survives a stop: the synthesized app with its zipped assets, which makes the next start fast."""

Progress = Callable[[str], None]


class AlreadyRunning(Exception):
    """The local cloud is up."""


class NotRunning(Exception):
    """The local cloud is not up."""


class StartFailed(Exception):
    """The local cloud did not come up, and everything was stopped again; the message says what failed, with its log."""


def up(at: Settings, detached: bool, progress: Progress) -> Run:
    """Start everything, or nothing. Raises `AlreadyRunning`, `ports.PortTaken` or `StartFailed`."""
    at.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _exclusive(at):
        _clear_leftovers(at)
        ports.require_free(at)
        at.path("logs").mkdir()
        run = Run(at.path("pids.json"), owner=processes.this_process(), detached=detached)
        run.save()
    try:
        _start(at, run, progress)
    except BaseException as error:
        failure = _explained(at, error)
        stop(at, run, keep_logs=True)
        if failure is error:
            raise
        raise failure from error
    run.ready = True
    run.save()
    return run


def stop(at: Settings, run: Run, keep_logs: bool = False) -> None:
    """Stop every process of the run and remove its state."""
    run.stop()
    _remove_state(at, {"logs"} if keep_logs else set())


def down(at: Settings) -> bool:
    """Stop what is recorded, also after a crash; False when there was nothing."""
    run = processes.load(at.path("pids.json"))
    if run is None:
        _remove_state(at, set())
        return False
    stop(at, run)
    return True


def running(at: Settings) -> Run:
    """The run that is up. Raises `NotRunning`."""
    run = processes.load(at.path("pids.json"))
    if run is None or not run.ready or run.abandoned() or not run.alive():
        raise NotRunning("the local cloud is not up: payments up")
    return run


def endpoints(at: Settings) -> dict[str, Any]:
    """Where everything is. Raises `NotRunning`."""
    try:
        found: dict[str, Any] = json.loads(at.path("endpoints.json").read_text())
    except FileNotFoundError:
        raise NotRunning("the local cloud is not up: payments up") from None
    return found


def signal_region(at: Settings, region: str, number: signal.Signals) -> None:
    """Signal the emulator of a region and all its workers. Raises `NotRunning`."""
    process = running(at).find(emulators.name(region))
    if process is None or not process.signal_group(number):
        raise NotRunning(f"{region} is not running")


def thaw(at: Settings, region: str) -> None:
    """Let a frozen region go on, its functions last: the tables that AWS would keep strongly consistent are brought up
    to date before. Raises `NotRunning`."""
    emulator = running(at).find(emulators.name(region))
    if emulator is None or not emulator.alive():
        raise NotRunning(f"{region} is not running")
    begun = time.time()
    os.kill(emulator.pid, signal.SIGCONT)
    with suppress(TimedOut):
        until(lambda: replicated(at, region, since=begun, witnessed=True), _THAW_SECONDS, "")
    emulator.signal_group(signal.SIGCONT)


def kill(at: Settings, region: str) -> None:
    """Kill a region in the middle of its work. Its functions stop first, and replication reads what its tables have
    acknowledged until then, which AWS would not lose: of two items of one transaction neither is left alone. Raises
    `NotRunning`."""
    emulator = running(at).find(emulators.name(region))
    if emulator is None or not emulator.signal_group(signal.SIGSTOP):
        raise NotRunning(f"{region} is not running")
    os.kill(emulator.pid, signal.SIGCONT)
    time.sleep(_LAST_READ_SECONDS)
    emulator.signal_group(signal.SIGKILL)


def workers(at: Settings, region: str, function: str) -> list[int]:
    """The processes that run a function of a region now (none where there is no /proc). Raises `NotRunning`."""
    wanted = {f"AWS_LAMBDA_FUNCTION_NAME={function}".encode(), f"AWS_REGION={region}".encode()}
    return [pid for pid in processes.carrying(running(at).run_id) if wanted <= processes.environment(pid)]


def start_region(at: Settings, region: str, progress: Progress) -> None:
    """Start a region that was killed: a new emulator, tables filled from the other region, then all that works on them.

    What only the killed region had is not there any more. Raises `NotRunning`, `AlreadyRunning` when the region runs,
    or `StartFailed`.
    """
    run, begun = running(at), time.time()
    emulator = run.find(emulators.name(region))
    if emulator and emulator.alive():
        raise AlreadyRunning(f"{region} runs; only one that was killed can be started")
    try:
        progress("Starting the AWS emulator")
        emulators.start_region(at, run, region)
        emulators.wait(at, run, (region,))
        progress("Deploying the tables")
        deploy.bootstrap(at, run, region)
        deploy.deploy_tables(at, run, region)
        progress("Filling them from the other region")
        until(lambda: replicated(at, region, since=begun), _REFILL_SECONDS, f"{region} to be filled")
        progress("Deploying everything else")
        deploy.deploy_region(at, run, region)
    except Exception as error:
        raise _explained(at, error) from error


def replicated(at: Settings, region: str, since: float, witnessed: bool = False) -> bool:
    """Whether the region answers, and lacks nothing that replication has seen, by what was noted after `since`."""
    try:
        file = at.path("replication.json")
        noted = json.loads(file.read_text())
        mine = noted["witnessed"] if witnessed else noted
        return file.stat().st_mtime > since and mine["answering"][region] and not mine["pending"][region]
    except FileNotFoundError:
        return False


def _start(at: Settings, run: Run, progress: Progress) -> None:
    if at.softhsm_library:
        softhsm.prepare(at.softhsm_library, at.softhsm_directory)
    progress("Starting an AWS emulator per region")
    emulators.start(at, run)
    emulators.start_service(at, run, "card_network", at.card_network_port)
    emulators.start_service(at, run, "webhook_inbox", at.webhook_inbox_port)
    emulators.wait(at, run)
    progress("Deploying the CDK app into both regions")
    bases = deploy.deploy(at, run)
    at.path("apis.json").write_text(json.dumps(bases))
    progress("Starting replication and the edge")
    emulators.start_service(at, run, "replication")
    emulators.start_service(at, run, "link", at.link_port(REGIONS[-1]))
    emulators.start_service(at, run, "edge", at.edge_port)
    _await_services(at, run)
    progress("Making keys and a merchant")
    demo, warmers = seed.seed(at)
    progress("Warming up")
    warm.warm(at, warmers)
    warm.watch(at)
    seed.write_endpoints(at, demo)


def _await_services(at: Settings, run: Run) -> None:
    for process in run.processes:
        if process.port and not ports.wait_until_open(process.port, _SERVICE_SECONDS):
            raise emulators.NotReady(process.name)
    for region in REGIONS:
        if not ports.wait_until_open(at.gateway_port(region), _SERVICE_SECONDS):
            raise emulators.NotReady("edge")


def _explained(at: Settings, error: BaseException) -> BaseException:
    if isinstance(error, emulators.NotReady):
        name = str(error)
        return StartFailed(f"{name} did not come up:\n{processes.tail(emulators.log_of(at, name))}")
    return StartFailed(f"{type(error).__name__}: {error}") if isinstance(error, Exception) else error


def _clear_leftovers(at: Settings) -> None:
    run = processes.load(at.path("pids.json"))
    if run and run.alive() and not run.abandoned():
        raise AlreadyRunning("the local cloud is up already: payments status, or payments down")
    if run:
        run.stop()
    _remove_state(at, set())


def _remove_state(at: Settings, kept: set[str]) -> None:
    for entry in at.home.iterdir() if at.home.exists() else ():
        if entry.name not in _KEPT | kept:
            _remove(entry)


def _remove(entry: Path) -> None:
    for _ in range(5):  # a process that was just killed may still be writing
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
        if not entry.exists():
            return
        time.sleep(0.1)


@contextmanager
def _exclusive(at: Settings) -> Iterator[None]:
    """Two starts at the same moment take turns; the second then finds the first."""
    with at.path("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
