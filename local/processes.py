"""The processes of a local cloud: started in groups of their own, recorded, and found again after a crash.

Each is started with a random run id in its environment, which its children inherit. Whatever carries the id is ours; a
process that merely got a recorded number later is not.
"""

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from local.settings import ROOT, Settings

RUN_VARIABLE = "PAYMENTS_RUN_ID"
_TAIL_LINES = 25
_TERM_SECONDS = 3.0


@dataclass(frozen=True)
class Process:
    """A started process; `born` tells it from another that gets the same number later."""

    name: str
    pid: int
    born: str
    port: int | None = None

    def alive(self) -> bool:
        """Whether it runs (or is frozen)."""
        return born(self.pid) == self.born

    def signal_group(self, number: signal.Signals) -> bool:
        """Signal the process and its children; False when it no longer runs."""
        if not self.alive():
            return False
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)
        return True


@dataclass
class Run:
    """One `payments up`: recorded in `pids.json` after every change."""

    file: Path
    run_id: str = field(default_factory=lambda: secrets.token_hex(8))
    owner: Process | None = None
    detached: bool = False
    ready: bool = False
    processes: list[Process] = field(default_factory=list)

    def save(self) -> None:
        """Write the record; readable by the owner only."""
        record = {**asdict(self), "file": str(self.file)}
        temporary = self.file.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(record, indent=1))
        temporary.replace(self.file)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, port: int | None
    ) -> None:
        """Start a process in a group of its own, with its output in this file, and record it in place of a dead one."""
        with log.open("ab") as output:
            started = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**environment, RUN_VARIABLE: self.run_id},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes = [process for process in self.processes if process.name != name or process.alive()]
        self.processes.append(Process(name, started.pid, born(started.pid) or "", port))
        self.save()

    def find(self, name: str) -> Process | None:
        """The process of this name."""
        return next((process for process in self.processes if process.name == name), None)

    def abandoned(self) -> bool:
        """Whether the command that owned it died without stopping it."""
        return not (self.detached and self.ready) and not (self.owner and self.owner.alive())

    def alive(self) -> bool:
        """Whether anything of it still runs."""
        return any(process.alive() for process in self.processes)

    def stop(self) -> None:
        """Stop every process of this run and all their children."""
        for process in self.processes:
            process.signal_group(signal.SIGCONT)
            process.signal_group(signal.SIGTERM)
        deadline = time.monotonic() + _TERM_SECONDS
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
            self._reap()
        for process in self.processes:
            process.signal_group(signal.SIGKILL)
        self._end_descendants()

    def _end_descendants(self) -> None:
        """Kill whatever carries the run id, and wait until it is gone."""
        deadline = time.monotonic() + _TERM_SECONDS
        while (left := list(carrying(self.run_id))) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.02)
        self._reap()

    def _reap(self) -> None:
        """Collect those that ended, if they are our children, so that they do not stay as zombies."""
        for process in self.processes:
            with suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)


def load(file: Path) -> Run | None:
    """The recorded run, if there is one."""
    try:
        record = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    owner = Process(**record["owner"]) if record["owner"] else None
    processes = [Process(**process) for process in record["processes"]]
    return Run(file, record["run_id"], owner, record["detached"], record["ready"], processes)


def this_process() -> Process:
    """The command that is running now, as the owner of a run."""
    return Process("payments up", os.getpid(), born(os.getpid()) or "")


def born(pid: int) -> str | None:
    """When the process was started, in a form that is only compared; None when it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _born_by_ps(pid)
    return None if fields[0] in "ZX" else fields[19]


def state(process: Process) -> str:
    """`running`, `frozen` or `dead`."""
    if not process.alive():
        return "dead"
    try:
        letter = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "running"
    return "frozen" if letter == "T" else "running"


def carrying(run_id: str) -> Iterable[int]:
    """Processes, our own excepted, whose environment has this run id (none where there is no /proc)."""
    needle = f"{RUN_VARIABLE}={run_id}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) != os.getpid() and needle in environment(int(entry.name)):
            yield int(entry.name)


def environment(pid: int) -> set[bytes]:
    """The variables a process was started with, `NAME=value`; none of one that is not ours, or gone."""
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def service_environment(at: Settings) -> dict[str, str]:
    """The environment of a service: ours, without anything that would point AWS clients somewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    return {**kept, "PAYMENTS_HOME": str(at.home), "PAYMENTS_PORT_OFFSET": str(at.port_offset), "PYTHONUNBUFFERED": "1"}


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _born_by_ps(pid: int) -> str | None:
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None
