"""Profiles that are away or too slow: the charge is scored by rules alone, marked, reviewed, and never fails."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from functions.fraud import app

ROOT = Path(__file__).parents[3]
EVENT = json.loads((ROOT / "events" / "fraud.json").read_text())


@dataclass
class Peer:
    """Stands in for DynamoDB: takes every connection, and does no more than `answer`."""

    answer: bytes = b""
    requests: list[bytes] = field(default_factory=list)
    over: Event = field(default_factory=Event)

    def serve(self, listener: socket.socket) -> None:
        while not self.over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            self.requests.append(connection.recv(65_536))
            if self.answer:
                connection.sendall(self.answer)
            self.over.wait(30)


@contextmanager
def peer(answer: bytes = b"") -> Iterator[tuple[str, Peer]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Peer(answer)
        thread = Thread(target=found.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", found
        finally:
            found.over.set()
            listener.close()


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Lets the function find DynamoDB at this address, with a budget of 60 ms."""
    cached = (app._settings, app._table, app._rules, app._model, app._models, app._scores)
    cached += (app.dynamodb_client, app.rules_client)

    def at(url: str) -> None:
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "FRAUD_PROFILES_TABLE": "fraud-profiles",
            "FRAUD_RULES_TABLE": "fraud-rules",
            "REGIONS": '{"us-east-1": "", "us-west-2": ""}',
            "PROFILES_BUDGET_MS": "60",
        }.items():
            monkeypatch.setenv(name, value)
        for function in cached:
            function.cache_clear()

    yield at
    for function in cached:
        function.cache_clear()


DEGRADED = {
    "score": 0,
    "decision": "review",
    "reasons": ["profiles_unavailable", "lists_unavailable"],
    "model": "rules",
    "degraded": True,
    "features_hash": None,
    "rule": None,
}


def test_a_table_that_hangs_is_asked_twice_and_then_left_alone(deploy: Any) -> None:
    with peer() as (url, table):
        deploy(url)
        assert app.handler(EVENT, None) == DEGRADED
        tries = [request for request in table.requests if b"DynamoDB_20120810.BatchGetItem" in request]
        assert len(tries) == 2, "two tries, and nothing is counted in a table that hangs"
        assert len(table.requests) == 3, "and lists are asked for once, beside them"


def test_a_table_that_begins_an_answer_and_hangs_is_no_better(deploy: Any) -> None:
    with peer(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{") as (url, _):
        deploy(url)
        assert app.handler(EVENT, None) == DEGRADED


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
        b"garbage\r\n\r\n",
    ],
)
def test_a_table_that_answers_nonsense_fails_no_charge(deploy: Any, answer: bytes) -> None:
    with peer(answer) as (url, _):
        deploy(url)
        assert app.handler(EVENT, None) == DEGRADED


def test_a_killed_table_fails_no_charge(deploy: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    deploy(nobody)
    assert app.handler(EVENT, None) == DEGRADED


def test_a_merchants_own_limits_do_not_let_an_unseen_charge_pass(deploy: Any) -> None:
    deploy("http://127.0.0.1:1")
    answer = app.handler({**EVENT, "fraud_limits": {"block": 100, "review": 100}}, None)
    assert answer == DEGRADED
