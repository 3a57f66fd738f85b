"""A run's processes are found and stopped with their children, and nobody else's are touched."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local import ports, processes
from local.processes import Process, Run
from local.settings import InvalidSetting, Settings, read

CHILD = "import time; time.sleep(60)"
PARENT = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', '{CHILD}']); time.sleep(60)"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "pids.json")
    yield run
    run.stop()


def start(run: Run, code: str = CHILD) -> Process:
    run.start("sleeper", [sys.executable, "-c", code], dict(os.environ), run.file.with_suffix(".log"), None)
    return run.processes[-1]


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def children_of(run: Run, count: int) -> list[int]:
    deadline = time.monotonic() + 5
    while len(found := list(processes.carrying(run.run_id))) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_stop_ends_a_process_and_its_children(run: Run) -> None:
    process = start(run, PARENT)
    assert len(children_of(run, 2)) == 2

    run.stop()

    assert not process.alive()
    assert list(processes.carrying(run.run_id)) == []


def test_children_of_a_killed_process_are_found_again_from_the_record(run: Run) -> None:
    process = start(run, PARENT)
    children_of(run, 2)
    os.kill(process.pid, signal.SIGKILL)
    recovered = processes.load(run.file)
    assert recovered is not None

    recovered.stop()

    assert list(processes.carrying(run.run_id)) == []


def test_a_frozen_process_can_be_stopped(run: Run) -> None:
    process = start(run)
    process.signal_group(signal.SIGSTOP)
    assert eventually(lambda: processes.state(process) == "frozen")

    run.stop()

    assert processes.state(process) == "dead"


def test_a_stranger_with_a_recorded_number_is_left_alone(run: Run) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], start_new_session=True) as stranger:
        run.processes.append(Process("recorded", stranger.pid, "an earlier birth"))

        run.stop()

        assert stranger.poll() is None
        stranger.kill()


def test_a_run_is_abandoned_when_its_owner_died_unless_it_was_detached_and_ready(run: Run) -> None:
    run.owner = processes.this_process()
    assert not run.abandoned()

    run.owner = replace(run.owner, born="earlier")
    assert run.abandoned()
    run.detached, run.ready = True, True
    assert not run.abandoned()


def test_the_record_is_whole_and_private(run: Run) -> None:
    start(run)

    assert processes.load(run.file) == run
    assert run.file.stat().st_mode & 0o077 == 0
    run.file.write_text("{")
    assert processes.load(run.file) is None


def test_services_inherit_nothing_that_points_aws_clients_somewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere")
    monkeypatch.setenv("AWS_PROFILE", "production")

    environment = processes.service_environment(Settings(tmp_path, 7))

    assert not [name for name in environment if name.startswith("AWS_")]
    assert environment["PAYMENTS_PORT_OFFSET"] == "7"


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        at = Settings(tmp_path, port - Settings(tmp_path).edge_port)

        with pytest.raises(ports.PortTaken, match=rf"port {port} \(edge\) is taken by process {os.getpid()}"):
            ports.require_free(at)


def test_settings_are_read_from_the_environment(tmp_path: Path) -> None:
    at = read({"PAYMENTS_HOME": str(tmp_path), "PAYMENTS_PORT_OFFSET": "2000", "CARD_NETWORK_LATENCY_MS": "5-9"})

    assert (at.home, at.edge_url, at.card_network_latency_ms) == (tmp_path, "http://127.0.0.1:10080", (5, 9))
    assert len(set(at.ports().values())) == len(at.ports())


@pytest.mark.parametrize(
    "wrong", [{"PAYMENTS_PORT_OFFSET": "x"}, {"CARD_NETWORK_LATENCY_MS": "9-5"}, {"PAYMENTS_EDGE_ROUTING": "random"}]
)
def test_a_setting_that_cannot_be_used_is_named(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidSetting, match=next(iter(wrong))):
        read(wrong)
