"""Ports: whether they are free, and who holds one that is not."""

import re
import socket
import time
from pathlib import Path

from local.settings import HOST, Settings


class PortTaken(Exception):
    """A port the local cloud needs is in use; the message says which, for what, and by whom if that can be found."""


def require_free(at: Settings) -> None:
    """Raises `PortTaken` naming every port that is in use."""
    taken = [f"port {port} ({use}) is taken{holder(port)}" for use, port in at.ports().items() if not is_free(port)]
    if taken:
        raise PortTaken("; ".join(taken) + ". Stop that, or set PAYMENTS_PORT_OFFSET=1000.")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def wait_until_open(port: int, seconds: float) -> bool:
    """Wait until something listens on the port; False when nothing did in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((HOST, port)) == 0:
                return True
        time.sleep(0.05)
    return False


def holder(port: int) -> str:
    """` by process 42 (python -m http.server)` if that can be found, else nothing. Linux only."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if descriptor.readlink().name in sockets:
                process = descriptor.parent.parent
                command = (process / "cmdline").read_text().replace("\0", " ").strip()
                return f" by process {process.name} ({command[:80]})"
        except OSError:
            continue
    return ""


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if re.fullmatch(rf"[0-9A-F]+:{port:04X}", fields[1]) and fields[3] == "0A":  # LISTEN
                inodes.add(fields[9])
    return inodes
