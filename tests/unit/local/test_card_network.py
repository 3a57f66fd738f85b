"""The simulated card network keeps its contract (docs/interfaces.md)."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from local import card_network
from local.card_network import Book, create_app
from local.dials import AT_ONCE, Dials


@pytest.fixture
def network(tmp_path: Path) -> TestClient:
    return TestClient(create_app(Book(tmp_path / "network.sqlite"), lambda: AT_ONCE))


def order(**changes: Any) -> dict[str, Any]:
    return {
        "network_ref": "net_1",
        "amount": 4200,
        "currency": "USD",
        "capture": True,
        "token": "tok_1",
        "network": "visa",
        "bin": "424242",
        "request": "0123456789abcdef",
        "exp_month": 12,
        "exp_year": 2031,
        **changes,
    }


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [
        (4200, "approved", None),
        (4205, "declined", "card_declined"),
        (4251, "declined", "insufficient_funds"),
        (4291, "declined", "issuer_unavailable"),
    ],
)
def test_the_cents_decide(network: TestClient, amount: int, status: str, code: str | None) -> None:
    answer = network.post("/authorizations", json=order(amount=amount))

    assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (200, status, code)
    assert bool(answer.json()["authorization_code"]) == (status == "approved")


def test_the_same_reference_is_authorized_once(network: TestClient) -> None:
    answers = [network.post("/authorizations", json=order()).json() for _ in range(3)]

    listing = network.get("/authorizations").json()
    assert answers[0] == answers[1] == answers[2] == network.get("/authorizations/net_1").json()
    assert (listing["count"], listing["requests"]) == (1, 3)


def test_the_same_reference_with_another_amount_is_refused(network: TestClient) -> None:
    network.post("/authorizations", json=order())

    answer = network.post("/authorizations", json=order(amount=4300))

    assert answer.status_code == 409
    assert network.get("/authorizations").json()["data"][0]["amount"] == 4200


def test_the_same_reference_for_another_request_is_refused_though_all_else_is_equal(network: TestClient) -> None:
    network.post("/authorizations", json=order())

    assert network.post("/authorizations", json=order(request="f" * 16)).status_code == 409
    echoed = network.get("/authorizations/net_1").json()
    assert {name: echoed[name] for name in ("amount", "currency", "token", "request")} == {
        name: order()[name] for name in ("amount", "currency", "token", "request")
    }


def test_no_answer_is_recorded_as_approved(network: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    hung = []

    async def hang(_: object) -> None:
        hung.append(True)

    monkeypatch.setattr(card_network, "_hang", hang)

    network.post("/authorizations", json=order(amount=4268))

    assert hung == [True]
    assert network.get("/authorizations/net_1").json()["status"] == "approved"


@pytest.mark.parametrize(
    "changes",
    [
        {"number": "4242424242424242"},
        {"cvc": "123"},
        {"token": "4242424242424242"},
        {"network_ref": "4242 4242 4242 4242"},
    ],
)
def test_card_numbers_are_refused_and_not_kept(network: TestClient, tmp_path: Path, changes: dict[str, Any]) -> None:
    answer = network.post("/authorizations", json=order(**changes))

    assert answer.status_code == 400
    assert "4242424242424242" not in answer.text
    assert network.get("/authorizations").json()["count"] == 0


@pytest.mark.parametrize("changes", [{"amount": 0}, {"amount": "1"}, {"amount": True}, {"capture": None}, {"token": 1}])
def test_malformed_requests_are_refused(network: TestClient, changes: dict[str, Any]) -> None:
    assert network.post("/authorizations", json=order(**changes)).status_code == 400


def test_an_unknown_reference_is_not_found(network: TestClient) -> None:
    assert network.get("/authorizations/net_2").status_code == 404


def test_the_record_can_be_read_while_nothing_was_closed(network: TestClient, tmp_path: Path) -> None:
    network.post("/authorizations", json=order())

    database = sqlite3.connect(tmp_path / "network.sqlite")
    rows = database.execute("SELECT network_ref, amount FROM authorizations").fetchall()

    assert rows == [("net_1", 4200)]


def test_requests_that_are_dropped_are_decided_or_not_and_never_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gives_up(_: object) -> None:
        raise ClientDisconnect

    monkeypatch.setattr(card_network, "_hang", gives_up)
    dials = Dials(card_network_latency_ms=(0, 0), card_network_drop_rate=1)
    network = TestClient(create_app(Book(tmp_path / "network.sqlite"), lambda: dials))

    for number in range(60):
        with pytest.raises(ClientDisconnect):
            network.post("/authorizations", json=order(network_ref=f"net_{number}"))

    assert 10 < network.get("/authorizations").json()["count"] < 50


def test_dials_are_read_at_every_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(card_network.asyncio, "sleep", sleep)
    now = AT_ONCE
    network = TestClient(create_app(Book(tmp_path / "network.sqlite"), lambda: now))
    network.post("/authorizations", json=order())
    now = Dials(card_network_latency_ms=(700, 700))
    network.post("/authorizations", json=order())

    assert [seconds for seconds in slept if seconds in (0.0, 0.7)] == [0.0, 0.7]
