"""The simulated card network records chargebacks and representments once per case, never for more than was captured."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from local.card_network import create_app
from local.card_network_book import Book
from local.dials import AT_ONCE

AUTHORIZATION = {
    "network_ref": "net_1",
    "amount": 4200,
    "currency": "USD",
    "capture": True,
    "token": "tok_1",
    "network": "visa",
    "bin": "424242",
    "request": "0123456789abcdef",
}


@pytest.fixture
def network(tmp_path: Path) -> TestClient:
    client = TestClient(create_app(Book(tmp_path / "network.sqlite"), lambda: AT_ONCE))
    assert client.post("/authorizations", json=AUTHORIZATION).status_code == 200
    return client


def order(kind: str = "chargeback", amount: int = 4200, case: str = "case_1", **changes: Any) -> dict[str, Any]:
    common = {"kind": kind, "amount": amount, "case_ref": case, "network_ref": "net_1", "reason": "fraudulent"}
    return {**common, **changes}


def statuses(network: TestClient, *orders: dict[str, Any]) -> list[int]:
    return [network.post("/disputes", json=found).status_code for found in orders]


def disputes(network: TestClient) -> list[tuple[str, str, int]]:
    found = network.get("/authorizations").json()["disputes"]
    return [(dispute["case_ref"], dispute["kind"], dispute["amount"]) for dispute in found]


def test_a_case_is_recorded_once_however_often_it_is_reported(network: TestClient) -> None:
    answers = [network.post("/disputes", json=order()).json() for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert disputes(network) == [("case_1", "chargeback", 4200)]


@pytest.mark.parametrize("change", [{"amount": 4199}, {"network_ref": "net_2"}, {"reason": "other"}])
def test_the_same_case_with_another_content_is_refused(network: TestClient, change: dict[str, Any]) -> None:
    network.post("/authorizations", json={**AUTHORIZATION, "network_ref": "net_2"})

    assert statuses(network, order(), {**order(), **change}) == [200, 409]
    assert disputes(network) == [("case_1", "chargeback", 4200)]


@pytest.mark.parametrize(
    ("orders", "answers"),
    [
        ([order(amount=4201)], [422]),
        ([order(amount=4000), order(amount=200, case="case_2"), order(amount=1, case="case_3")], [200, 200, 422]),
        ([order("representment")], [422]),
        ([order(), order("representment"), order(case="case_2")], [200, 200, 200]),
        ([order(amount=4000), order("representment", 4001)], [200, 422]),
        ([order(), order("representment", case="case_2")], [200, 422]),
        ([order(network_ref="net_9")], [422]),
    ],
)
def test_never_more_than_was_captured(network: TestClient, orders: list[dict[str, Any]], answers: list[int]) -> None:
    assert statuses(network, *orders) == answers
    assert len(disputes(network)) == answers.count(200)


def test_a_representment_is_of_the_chargebacks_own_payment(network: TestClient) -> None:
    network.post("/authorizations", json={**AUTHORIZATION, "network_ref": "net_2"})

    assert statuses(network, order(), order("representment", network_ref="net_2")) == [200, 422]


def test_only_captures_count_of_what_is_authorized_only(network: TestClient) -> None:
    network.post("/authorizations", json={**AUTHORIZATION, "network_ref": "net_2", "capture": False})
    capture = {"kind": "capture", "amount": 1000, "operation_ref": "cap_1", "network_ref": "net_2", "currency": "USD"}

    before = statuses(network, order(network_ref="net_2", amount=1000))
    network.post("/operations", json=capture)

    assert before == [422]
    assert statuses(network, order(network_ref="net_2", amount=1001), order(network_ref="net_2", amount=1000)) == [
        422,
        200,
    ]


def test_a_cardholder_may_be_refunded_and_charge_back_too(network: TestClient) -> None:
    refund = {"kind": "refund", "amount": 4200, "operation_ref": "ref_1", "network_ref": "net_1", "currency": "USD"}

    assert statuses(network, order()) == [200]
    assert network.post("/operations", json=refund).json()["status"] == "accepted"


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "refund"},
        {"kind": None},
        {"amount": 0},
        {"amount": True},
        {"case_ref": 1},
        {"reason": None},
        {"case_ref": "4242424242424242"},
    ],
)
def test_malformed_disputes_are_refused(network: TestClient, changes: dict[str, Any]) -> None:
    assert statuses(network, order(**changes)) == [400]
    assert disputes(network) == []
