"""The simulated card network does captures, voids and refunds once each, and never more than there is."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from local import card_network
from local.card_network import create_app
from local.card_network_book import EXCEEDED as MORE
from local.card_network_book import Book

AUTHORIZATION = {
    "network_ref": "net_1",
    "amount": 4200,
    "currency": "USD",
    "capture": False,
    "token": "tok_1",
    "network": "visa",
    "bin": "424242",
    "exp_month": 12,
    "exp_year": 2031,
}


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "network.sqlite")


@pytest.fixture
def network(book: Book) -> TestClient:
    return TestClient(create_app(book, (0, 0)))


def order(kind: str, amount: int = 1000, ref: str = "op_1", **changes: Any) -> dict[str, Any]:
    common = {"operation_ref": ref, "network_ref": "net_1", "kind": kind, "amount": amount, "currency": "USD"}
    return {**common, **changes}


def authorize(network: TestClient, **changes: Any) -> None:
    assert network.post("/authorizations", json={**AUTHORIZATION, **changes}).status_code == 200


def answered(network: TestClient, *orders: tuple[str, int]) -> list[str | None]:
    """The codes of the answers, None where an operation was accepted."""
    sent = [order(kind, amount, f"op_{number}") for number, (kind, amount) in enumerate(orders)]
    return [network.post("/operations", json=found).json()["code"] for found in sent]


def done(network: TestClient) -> list[tuple[str, int, str]]:
    found = network.get("/authorizations").json()["operations"]
    return [(operation["kind"], operation["amount"], operation["status"]) for operation in found]


@pytest.mark.parametrize("kind", ["capture", "void"])
def test_an_operation_is_accepted_once_however_often_it_is_sent(network: TestClient, kind: str) -> None:
    authorize(network)

    answers = [network.post("/operations", json=order(kind)) for _ in range(10)]

    assert {answer.status_code for answer in answers} == {200}
    assert all(a.json() == {"operation_ref": "op_1", "status": "accepted", "code": None} for a in answers)
    assert network.get("/operations/op_1").json() == answers[0].json()
    assert done(network) == [(kind, 1000, "accepted")]
    assert network.get("/authorizations").json()["operation_requests"] == 10


@pytest.mark.parametrize("change", [{"amount": 999}, {"kind": "void"}, {"currency": "EUR"}, {"network_ref": "net_2"}])
def test_the_same_reference_with_another_content_is_refused(network: TestClient, change: dict[str, Any]) -> None:
    authorize(network)
    authorize(network, network_ref="net_2")
    network.post("/operations", json=order("capture"))

    assert network.post("/operations", json={**order("capture"), **change}).status_code == 409
    assert done(network) == [("capture", 1000, "accepted")]


@pytest.mark.parametrize(
    ("orders", "answers"),
    [
        ([("capture", 4200), ("capture", 1)], [None, MORE]),
        ([("capture", 4201)], [MORE]),
        ([("capture", 4000), ("capture", 200), ("void", 1)], [None, None, MORE]),
        ([("void", 4200), ("capture", 1)], [None, MORE]),
        ([("capture", 1000), ("void", 3200), ("refund", 1000)], [None, None, None]),
        ([("void", 3200), ("capture", 1000), ("capture", 1)], [None, None, MORE]),
        ([("refund", 1)], [MORE]),
        ([("capture", 1000), ("refund", 600), ("refund", 400), ("refund", 1)], [None, None, None, MORE]),
        ([("capture", 1000), ("refund", 1001)], [None, MORE]),
    ],
)
def test_never_more_than_there_is(
    network: TestClient, orders: list[tuple[str, int]], answers: list[str | None]
) -> None:
    authorize(network)

    assert answered(network, *orders) == answers
    accepted = [status for _, _, status in done(network)].count("accepted")
    assert accepted == answers.count(None)


def test_what_is_captured_at_once_can_be_refunded_and_not_captured_again(network: TestClient) -> None:
    authorize(network, capture=True)

    assert answered(network, ("capture", 1), ("void", 1), ("refund", 4200), ("refund", 1)) == [MORE, MORE, None, MORE]


@pytest.mark.parametrize(
    "changes", [{"amount": 4205}, {"network_ref": "net_other"}, {"currency": "EUR"}], ids=["declined", "unknown", "eur"]
)
def test_nothing_is_captured_of_what_is_not_authorized_so(network: TestClient, changes: dict[str, Any]) -> None:
    authorize(network, **changes)

    assert network.post("/operations", json=order("capture")).status_code == 422
    assert network.get("/operations/op_1").status_code == 404, "a refusal is not a decision: it may be sent again"


@pytest.mark.parametrize("kind", ["capture", "void", "refund"])
def test_what_asks_for_too_much_stays_declined_whatever_is_left_later(network: TestClient, kind: str) -> None:
    authorize(network)
    too_much = order(kind, 4201 if kind != "refund" else 500)

    first = network.post("/operations", json=too_much).json()
    answered(network, *([("capture", 1000)] if kind == "refund" else []))
    again = network.post("/operations", json=too_much).json()

    assert first == again == network.get("/operations/op_1").json()
    assert first == {"operation_ref": "op_1", "status": "declined", "code": MORE}


def test_a_refused_operation_can_be_sent_again(network: TestClient) -> None:
    assert network.post("/operations", json=order("capture")).status_code == 422
    authorize(network)
    assert network.post("/operations", json=order("capture")).status_code == 200


def test_a_declined_refund_stays_declined_and_takes_nothing(network: TestClient) -> None:
    authorize(network, capture=True)

    answers = [network.post("/operations", json=order("refund", 4107)).json() for _ in range(2)]

    assert answers[0] == answers[1] == {"operation_ref": "op_1", "status": "declined", "code": "refund_declined"}
    assert network.post("/operations", json=order("refund", 4200, "op_2")).json()["status"] == "accepted"


def test_only_refunds_are_declined_by_their_cents(network: TestClient) -> None:
    authorize(network)

    assert network.post("/operations", json=order("capture", 1007)).json()["status"] == "accepted"


@pytest.mark.parametrize("kind", ["capture", "void", "refund"])
def test_no_answer_is_recorded_as_accepted(network: TestClient, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    hung = []

    async def hang(_: object) -> None:
        hung.append(True)

    monkeypatch.setattr(card_network, "_hang", hang)
    authorize(network, capture=kind == "refund")

    network.post("/operations", json=order(kind, 1067))

    assert hung == [True]
    assert network.get("/operations/op_1").json()["status"] == "accepted"


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": True},
        {"amount": "1"},
        {"kind": "chargeback"},
        {"kind": None},
        {"operation_ref": 1},
        {"network_ref": None},
        {"currency": 840},
        {"operation_ref": "4242424242424242"},
        {"number": "1"},
    ],
)
def test_malformed_operations_are_refused(network: TestClient, changes: dict[str, Any]) -> None:
    authorize(network)

    assert network.post("/operations", json={**order("capture"), **changes}).status_code == 400
    assert done(network) == []


def test_a_hundred_refunds_at_once_never_exceed_what_was_captured(book: Book) -> None:
    book.authorize({**AUTHORIZATION, "capture": True})

    def refund(number: int) -> bool:
        return bool(book.operate(order("refund", 100, f"op_{number}"))["status"] == "accepted")

    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(refund, range(100)))

    assert taken.count(True) == 42
    held = [found["amount"] for found in book.listing()["operations"] if found["status"] == "accepted"]
    assert sum(held) == 4200


def test_the_record_survives_being_reopened(tmp_path: Path) -> None:
    file = tmp_path / "network.sqlite"
    first = Book(file)
    first.authorize({**AUTHORIZATION, "capture": True})
    first.operate(order("refund", 4200))

    assert Book(file).operate(order("refund", 1, "op_2"))["code"] == MORE
