"""The simulated card network settles everything that it has accepted, and nothing else, each line in one file."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from local import settlement_export
from local.card_network import create_app
from local.card_network_book import Book
from local.card_network_cycles import Cycles
from local.dials import AT_ONCE

DAY, NEXT_DAY = "2026-11-23", "2026-11-24"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "network.sqlite"


@pytest.fixture
def book(file: Path) -> Book:
    return Book(file)


@pytest.fixture
def network(book: Book) -> TestClient:
    return TestClient(create_app(book, lambda: AT_ONCE))


def authorize(book: Book, ref: str, amount: int = 4200, **changes: Any) -> None:
    order = {
        "network_ref": ref,
        "amount": amount,
        "currency": "USD",
        "capture": True,
        "token": "tok",
        "request": "0123456789abcdef",
        "network": "visa",
    }
    book.authorize({**order, **changes})


def operate(book: Book, ref: str, kind: str, amount: int, operation: str) -> None:
    common = {"network_ref": ref, "kind": kind, "amount": amount, "operation_ref": operation, "currency": "USD"}
    book.operate(common)


def told(cycles: Cycles, reference: str) -> list[tuple[str, str, str, int]]:
    return [(line["type"], line["network_ref"], line["movement"], line["amount"]) for line in cycles.lines(reference)]


def test_what_was_accepted_is_settled_and_nothing_else(book: Book) -> None:
    authorize(book, "net_1")
    authorize(book, "net_2", 4205)  # declined
    authorize(book, "net_3", capture=False)
    operate(book, "net_3", "capture", 1000, "cap_1")
    operate(book, "net_3", "void", 500, "vod_1")
    operate(book, "net_3", "refund", 300, "ref_1")
    operate(book, "net_3", "refund", 207, "ref_2")  # declined
    book.dispute(dispute("net_1", "chargeback", 4200))
    book.dispute(dispute("net_1", "representment", 4200))

    (cut,) = Cycles(book).cut(DAY)

    assert cut == {"reference": "visa-2026-11-23-1", "network": "visa", "settled_on": DAY, "lines": 5}
    assert sorted(told(Cycles(book), cut["reference"])) == [
        ("capture", "net_1", "", 4200),
        ("capture", "net_3", "cap_1", 1000),
        ("chargeback", "net_1", "", 4200),
        ("refund", "net_3", "ref_1", 300),
        ("representment", "net_1", "", 4200),
    ]
    assert {line["case_ref"] for line in Cycles(book).lines(cut["reference"])} == {"", "case_1"}


def dispute(ref: str, kind: str, amount: int) -> dict[str, Any]:
    return {"network_ref": ref, "kind": kind, "amount": amount, "case_ref": "case_1", "reason": "fraudulent"}


def test_a_file_per_network_and_each_line_once(book: Book) -> None:
    cycles = Cycles(book)
    authorize(book, "net_1")
    authorize(book, "net_2", network="amex")
    first = cycles.cut(DAY)
    authorize(book, "net_3")

    second, third = cycles.cut(DAY), cycles.cut(NEXT_DAY)

    assert {file["reference"] for file in first} == {"visa-2026-11-23-1", "amex-2026-11-23-1"}
    assert [(file["reference"], file["lines"]) for file in second] == [("visa-2026-11-23-2", 1)]
    assert third == []
    assert [file["lines"] for file in cycles.files()] == [1, 1, 1]


def test_a_file_that_was_cut_never_changes(book: Book, file: Path) -> None:
    authorize(book, "net_1", capture=False)
    operate(book, "net_1", "capture", 1000, "cap_1")
    (cut,) = Cycles(book).cut(DAY)
    before = Cycles(book).lines(cut["reference"])

    operate(book, "net_1", "refund", 1000, "ref_1")
    Cycles(book).cut(DAY)

    assert Cycles(Book(file)).lines(cut["reference"]) == before


def test_cut_by_many_at_once_each_line_is_still_settled_once(book: Book) -> None:
    cycles = Cycles(book)
    rng = random.Random(1)

    def act(number: int) -> None:
        authorize(book, f"net_{number}", rng.randrange(1000, 1005))
        cycles.cut(DAY)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, range(40)))

    settled = [line["network_ref"] for file in cycles.files() for line in cycles.lines(file["reference"])]
    assert sorted(settled) == sorted(f"net_{number}" for number in range(40))


def test_over_http(book: Book, network: TestClient) -> None:
    authorize(book, "net_1")

    (cut,) = network.post("/settlements", json={"date": DAY}).json()["data"]
    text = network.get(f"/settlements/{cut['reference']}").text

    assert network.get("/settlements").json()["data"] == [cut]
    assert settlement_export.read(text) == settlement_export.of_record(Cycles(book).lines(cut["reference"]))


@pytest.mark.parametrize("body", [{}, {"date": "soon"}, {"date": "20261123"}, {"date": None}])
def test_a_date_that_is_none_is_refused(network: TestClient, body: dict[str, Any]) -> None:
    assert network.post("/settlements", json=body).status_code == 400


def test_an_unknown_file_or_layout_is_refused(book: Book, network: TestClient) -> None:
    authorize(book, "net_1")
    network.post("/settlements", json={"date": DAY})

    assert network.get("/settlements/visa-2026-11-23-2").status_code == 404
    assert network.get("/settlements/visa-2026-11-23-1", params={"layout": "3"}).status_code == 400
