"""The chaos run: plans are drawn from the seed alone, clients insist as good clients do, and the audit finds what is
planted."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from local import chaos_audit, chaos_load
from local.card_network_book import Book
from local.chaos import unsettled
from local.chaos_audit import audit, untold
from local.chaos_faults import plan
from local.chaos_load import Customers, Load, LoadRefused, Request, Shop, Told
from local.chaos_view import Copy, View
from local.client import Answer
from local.settings import REGIONS, Settings
from payments import identifiers, lifecycle, records
from payments.lifecycle import Authorization, Payment
from payments.rest import card_numbers

WHOLE = ("freeze", "cut", "fail")
SHOP = Shop(identifiers.new_merchant_id(), "sk_a")


@pytest.mark.parametrize("seed", range(30))
def test_a_plan_is_the_same_for_a_seed_and_over_when_the_run_is(seed: int) -> None:
    faults = plan(seed, 60)

    assert faults == plan(seed, 60) != plan(seed + 1, 60)
    assert all(3 < fault.begins < fault.ends < 60 for fault in faults)


@pytest.mark.parametrize("seed", range(30))
def test_of_what_happens_to_a_region_there_is_one_thing_at_a_time(seed: int) -> None:
    whole = [fault for fault in plan(seed, 300) if fault.what in WHOLE]

    assert whole
    assert all(before.ends < after.begins for before, after in itertools.pairwise(whole))


def test_ten_seeds_of_a_minute_have_every_fault() -> None:
    seen = {fault.what for seed in range(10) for fault in plan(seed, 60)}

    dials = {"lag_ms", "link_latency_ms", "link_drop_rate", "card_network_latency_ms", "card_network_drop_rate"}
    assert seen == {*WHOLE, *dials}


class FakeClient:
    """Answers what it is told to, one after the other."""

    def __init__(self, *answers: Answer | Exception):
        self.answers, self.sent = list(answers), []

    def post(self, path: str, key: str, body: Mapping[str, Any]) -> Answer:
        self.sent.append((path, key, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answered(status: int, code: str = "", served_by: str = "us-east-1") -> Answer:
    return Answer(status, {"error": {"code": code}} if code else {"id": "pay_1"}, False, served_by, 1)


def loaded(monkeypatch: pytest.MonkeyPatch, *answers: Answer | Exception) -> tuple[Load, FakeClient]:
    load, client = Load([SHOP], "http://edge", {}, 1), FakeClient(*answers)
    monkeypatch.setattr(chaos_load, "_PAUSES", (0,))
    monkeypatch.setattr(load, "client", lambda shop, address: client)
    return load, client


def test_a_client_asks_again_with_the_same_key_until_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [httpx.ReadTimeout(""), answered(503, "api_error"), answered(409, "payment_busy"), answered(429, "rate")]
    load, client = loaded(monkeypatch, *faults, answered(201))
    request = Request(SHOP, "charge", "key-1", "/charge", {"amount": 1})

    told = load.insist(request)

    assert told and told.status == 201
    assert client.sent == [("/charge", "key-1", {"amount": 1})] * 5
    assert [one.final for one in request.told] == [False] * 4 + [True]


@pytest.mark.parametrize("answer", [answered(402, "card_declined"), answered(409, "payment_state_invalid")])
def test_a_client_takes_a_refusal_for_an_answer(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    load, client = loaded(monkeypatch, answer)

    load.insist(Request(SHOP, "charge", "key-1", "/charge", {}))

    assert len(client.sent) == 1


def test_nothing_that_a_shop_asks_for_looks_like_a_card_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """One seed in ten that was taken from a clock did, and every charge of the run was refused."""
    load = Load([SHOP], "http://edge", {}, seed=4111111111111111)
    monkeypatch.setattr(load, "insist", lambda request: None)
    customers = Customers(load, 0)

    for _ in range(20):
        customers._reuses()
        customers._command(load.requests[-1], "refund", {})

    assert len(load.requests) == 60
    for request in load.requests:
        assert not card_numbers.occurs_in(request.key)
        assert not card_numbers.occurs_in(request.body.get("description", ""))


def test_a_run_whose_charges_are_refused_as_wrong_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    load, _ = loaded(monkeypatch, answered(400, "card_data_in_field"))
    load.closing.set()
    load.start(1)
    load.insist(load.note(Request(SHOP, "charge", "key-1", "/charge", {})))

    with pytest.raises(LoadRefused, match="card_data_in_field"):
        load.finish(1)


def test_a_buyer_asks_nobody_but_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    load, asked = Load([SHOP], "http://edge", {"us-east-1": "http://gateway"}, 1), []

    def insist(request: Request, address: str | None = None) -> None:
        asked.append((request.kind, address))
        if len(asked) == 30:
            load.closing.set()

    monkeypatch.setattr(load, "insist", insist)
    monkeypatch.setattr(load.closing, "wait", lambda timeout: None)
    load.start(0, buyers=1)

    assert load.finish(5) == 30, "none of them was answered"
    assert asked == [("charge", None)] * 30


def test_a_request_went_astray_when_no_region_answered_it() -> None:
    assert Told(0, 1, 0, {}).astray
    assert Told(0, 1, 504, {}).astray
    assert not Told(0, 1, 503, {}, "us-east-1").astray, "a region that cannot do it yet has answered"
    assert not Told(0, 1, 201, {}, "us-east-1").astray


# The audit, over a small world in which everything is as it should be until something is planted.


class World:
    """One succeeded charge in both regions, known to the network, told to its shop, and answered."""

    def __init__(self, tmp_path: Path):
        self.load = Load([SHOP], "http://edge", {}, 1)
        self.request = Request(SHOP, "charge", "key-1", "/api/v1/payments/charge", {"amount": 4200})
        self.request.told.append(Told(0, 1, 201, {"id": self.request.payment_id}, "us-east-1"))
        self.load.note(self.request)
        self.book = Book(tmp_path / "card-network.sqlite")
        pending = _payment(self.request)
        self.payment, capture = lifecycle.decide(pending, Authorization(), pending.created_at)
        assert capture
        self.journals = [lifecycle.authorization_journal(pending), capture]
        self.book.authorize(_order(self.payment))
        self.view = _view(self, tmp_path)

    def found(self, promise: int) -> list[str]:
        """What the audit finds of a promise; promises that ask the running platform are left out."""
        return audit(self.view)[promise - 1].findings


def _payment(request: Request) -> Payment:
    return Payment(
        payment_id=request.payment_id,
        merchant_id=request.shop.merchant_id,
        shard=identifiers.shard_of(request.payment_id),
        fingerprint="f" * 64,
        attempt=identifiers.new_attempt(),
        region="us-east-1",
        amount=request.body["amount"],
        currency="USD",
        capture=True,
        network_ref=identifiers.network_reference(request.payment_id),
        card={"token": "tok_1", "brand": "visa", "network": "visa", "bin": "424242", "last4": "4242"}
        | {"exp_month": 12, "exp_year": 2031},
        fraud={"score": 1},
        created_at="2026-11-28T10:00:00.000Z",
        updated_at="2026-11-28T10:00:00.000Z",
        sequence=1,
        status=lifecycle.Status.PENDING,
        customer_id=None,
        description=request.key,
        metadata={},
    )


def _order(payment: Payment) -> dict[str, Any]:
    names = ("network_ref", "amount", "currency", "capture")
    order = {name: getattr(payment, name) for name in names}
    return {**order, "token": "tok_1", "network": "visa", "request": "request-1"}


def _view(world: World, tmp_path: Path) -> View:
    view = View.__new__(View)
    view.at, view.load, view.regions, view.watched = Settings(tmp_path), world.load, REGIONS, []
    view.endpoints = {}
    view.copies = []
    for region in REGIONS:
        copy = Copy(region, {world.payment.payment_id: records.payment_record(world.payment)})
        for journal in world.journals:
            key = journal.payment_id, journal.journal_id
            copy.journals[key] = records.journal_record(journal, "us-east-1")
        copy.balances = copy.sums()
        view.copies.append(copy)
    result = {"id": identifiers.event_id(world.payment.payment_id, "payment.succeeded"), "type": "payment.succeeded"}
    view.__dict__["deliveries"] = [{"body": result | {"payment_id": world.payment.payment_id, "sequence": 2}}]
    return view


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Without the checks that ask the running platform: these are tested on it."""
    asking = (chaos_audit._no_card_number, chaos_audit._isolated)
    promises = [
        (name, looked_at, *(check for check in checks if check not in asking))
        for name, looked_at, *checks in chaos_audit._PROMISES
    ]
    monkeypatch.setattr(chaos_audit, "_PROMISES", promises)
    return World(tmp_path)


def test_everything_rests_when_nothing_is_on_its_way(world: World) -> None:
    assert unsettled(world.view) == []


@pytest.mark.parametrize("status", ["pending", "conflict"])
def test_what_waits_is_waited_for(world: World, status: str) -> None:
    world.view.copies[1].payments["pay_1#waits"] = {"status": status}

    assert "pay_1#waits waits in us-west-2" in unsettled(world.view)


def test_a_payment_whose_other_request_is_not_withdrawn_yet_is_waited_for(world: World) -> None:
    """Copies that agree may both be between the conflict and its resolution: an audit came there once."""
    other = lifecycle.authorization_journal(replace(_payment(world.request), fingerprint="e" * 64, amount=5400))
    for copy in world.view.copies:
        copy.journals[other.payment_id, other.journal_id] = records.journal_record(other, "us-west-2")
        copy.balances = copy.sums()

    (waiting,) = unsettled(world.view)

    assert "of another amount" in waiting


def test_a_payment_that_says_less_than_its_journals_is_waited_for(world: World) -> None:
    blocked = replace(world.payment, status=lifecycle.Status.FRAUD_BLOCKED, amount_captured=0)
    for copy in world.view.copies:
        copy.payments[blocked.payment_id] = records.payment_record(blocked)

    assert unsettled(world.view) == [f"payment {blocked.payment_id} says less than its journals"]


def test_nothing_is_found_where_nothing_is_wrong(world: World) -> None:
    assert [verdict.findings for verdict in audit(world.view)] == [[]] * 7
    assert untold(world.view) == []


Plant = Callable[[World], None]


def _unbalanced(world: World) -> None:
    key = (world.payment.payment_id, "capture")
    for copy in world.view.copies:
        journal = copy.journals[key]
        entries = [dict(entry) for entry in journal["entries"]]
        entries[0]["amount"] += 1
        copy.journals[key] = {**journal, "entries": entries}
        copy.balances = copy.sums()


def _lost_journal(world: World) -> None:
    del world.view.copies[1].journals[world.payment.payment_id, "capture"]


def _wrong_balance(world: World) -> None:
    next(iter(world.view.copies[1].balances.values()))["debits_pending"] = 1


def _seen_unbalanced(world: World) -> None:
    world.view.watched = ["us-east-1: journal was seen unbalanced"]


def _second_payment(world: World) -> None:
    other = replace(world.payment, payment_id=identifiers.payment_id(SHOP.merchant_id, "another"))
    world.view.copies[0].payments[other.payment_id] = records.payment_record(other)


def _second_authorization(world: World) -> None:
    world.book.authorize({**_order(world.payment), "network_ref": "net_other"})


def _other_amount(world: World) -> None:
    for copy in world.view.copies:
        copy.payments[world.payment.payment_id]["amount"] = 4300


def _captured_twice(world: World) -> None:
    world.book.operate(
        {
            "operation_ref": "o",
            "network_ref": world.payment.network_ref,
            "kind": "refund",
            "amount": 5,
            "currency": "USD",
        }
    )


def _still_pending(world: World) -> None:
    world.view.copies[0].payments[world.payment.payment_id] |= {"status": "pending"}


def _no_event(world: World) -> None:
    world.view.deliveries.clear()


def _other_sequence(world: World) -> None:
    (told,) = world.view.deliveries
    world.view.deliveries.append({"body": {**told["body"], "sequence": 3}})


def _lost_payment(world: World) -> None:
    del world.view.copies[1].payments[world.payment.payment_id]


def _answered_otherwise(world: World) -> None:
    world.request.told.append(Told(0, 1, 201, {"id": "pay_other"}))


def _never_answered(world: World) -> None:
    world.load.note(Request(SHOP, "charge", "key-2", "/api/v1/payments/charge", {"amount": 1}))


def _lost_refund(world: World) -> None:
    refund = Request(SHOP, "refund", "key-3", f"/api/v1/payments/{world.payment.payment_id}/refund", {})
    refund.told.append(Told(0, 1, 201, {"id": "ref_1"}, "us-east-1"))
    world.load.note(refund)


@pytest.mark.parametrize(
    ("promise", "plant"),
    [
        (1, _unbalanced),
        (1, _lost_journal),
        (1, _wrong_balance),
        (1, _seen_unbalanced),
        (2, _second_payment),
        (2, _second_authorization),
        (2, _other_amount),
        (2, _captured_twice),
        (4, _still_pending),
        (5, _no_event),
        (5, _other_sequence),
        (7, _lost_payment),
        (7, _answered_otherwise),
        (7, _never_answered),
        (7, _lost_refund),
    ],
)
def test_whatever_breaks_a_promise_is_found(world: World, promise: int, plant: Plant) -> None:
    plant(world)

    assert world.found(promise)


def test_cards_are_drawn_from_the_seed() -> None:
    cards = [Load([SHOP], "", {}, seed).cards for seed in (1, 1, 2)]

    assert cards[0] == cards[1] != cards[2]
