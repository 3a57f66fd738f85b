"""Decisions that book: what is booked, once, whatever dies in between and whoever decides at the same moment."""

import json

import pytest

from functions.ledger import app as ledger_function
from functions.operations import table
from functions.operations.settings import settings
from payments import clients, identifiers
from payments.settlement import part_of
from tests.functional.operations.conftest import (
    ALICE,
    BOB,
    REF,
    Crash,
    balances,
    put,
    resolutions,
    store,
    stored,
)
from tests.functional.samples import MERCHANT

LINE = "L1~0a1b2c3d"
ACCEPT = {"action": "accept", "reason": "the acquirer confirms"}
ADJUST = {"action": "adjust", "reason": "the merchant bears it", "amount": -500}
STEPS = ["transact_write_items", "put_object", "invoke", "invoke", "update_item", "update_item"]
"""What an adjustment writes, in this order."""


def decide(call, identifier, body=ACCEPT, key="key-1", **more):
    return call("POST", f"/discrepancies/{identifier}/resolve", body, key=key, **more)


def trail(call, identifier):
    return [one["what"] for one in call("GET", f"/discrepancies/{identifier}")[1]["audit"]]


def test_accepting_books_what_came_and_closes_it(call, services):
    identifier = put()

    status, body, _ = decide(call, identifier)

    assert (status, body["open"], body["open_since"]) == (200, False, None)
    assert (body["resolution"]["action"], body["resolution"]["state"]) == ("accept", "done")
    assert balances() == {
        ("network:visa", "USD"): -4200,
        ("bank:platform", "USD"): 3700 - 77,
        ("fees:network", "USD"): 77,
        ("adjustments:platform", "USD"): 500,
    }
    assert call("GET", "/discrepancies")[1]["data"] == []
    item = stored()[LINE]
    assert not {"open", "open_since"} & set(item)
    assert item["class"] == "amount_mismatch", "the class is the next run's to change"
    assert trail(call, identifier) == ["accept"]


def test_the_next_run_is_told(call):
    decide(call, put())

    ((key, told),) = resolutions().items()
    assert key == f"resolutions/{part_of(REF, settings().reconciliation_parts)}/{REF}~L1~0a1b2c3d.json"
    assert {name: told[name] for name in ("network_ref", "record", "type", "movement", "action", "reason", "by")} == {
        "network_ref": REF,
        "record": LINE,
        "type": "capture",
        "movement": "",
        "action": "accept",
        "reason": ACCEPT["reason"],
        "by": ALICE,
    }
    assert told["note"] == "accept: the acquirer confirms"
    (booked,) = told["bookings"]
    amounts = {"captured": 4200, "returned": 0, "fees": 77, "written_off": 500}
    assert {name: booked[name] for name in ("kind", "network", "currency", *amounts)} == {
        "kind": "settlement",
        "network": "visa",
        "currency": "USD",
        **amounts,
    }


def test_an_object_of_a_hostile_name_stays_under_its_part(call):
    decide(call, put(network_ref="net~/../x", line="a/b#~c"))
    decide(call, put(network_ref="batch:B/7", line="b~1", type="batch", **{"class": "batch_mismatch"}), key="2")

    parts = settings().reconciliation_parts
    assert set(resolutions()) == {
        f"resolutions/{part_of('net~/../x', parts)}/net%7E%2F..%2Fx~a%2Fb%23~c.json",
        f"resolutions/{part_of('B/7', parts)}/batch%3AB%2F7~b~1.json",
    }


BOOKED = [
    ("missing_at_network", "capture", {"settled": None, "fee_settled": None}, (-4200, 0, 4200)),
    ("missing_at_network", "refund", {"settled": None, "fee_settled": None}, (4200, 0, -4200)),
    ("missing_at_network", "chargeback", {"settled": None, "fee_settled": None}, (4200, 0, -4200)),
    ("amount_mismatch", "representment", {"settled": 5000, "fee_settled": None}, (-4200, 5000, -800)),
    ("amount_mismatch", "refund", {"settled": 5000, "fee_settled": None}, (4200, -5000, 800)),
    ("duplicate_at_network", "capture", {"settled": 4200, "fee_settled": 0, "expected": 0}, (0, 4200, -4200)),
    ("duplicate_at_network", "refund", {"settled": 4200, "fee_settled": 0, "expected": 0}, (0, -4200, 4200)),
    ("missing_in_ledger", "chargeback", {"settled": 900, "fee_settled": 0, "expected": None}, (0, -900, 900)),
    ("currency_mismatch", "capture", {"settled": 4200, "fee_settled": 0, "expected": 0}, (0, 4200, -4200)),
    ("batch_mismatch", "batch", {"difference": -30, "fee_settled": None}, (0, -30, 30)),
    ("fee_mismatch", "capture", {}, (0, 0, 0)),
    ("orphan", "authorization", {"network": None, "settled": None}, (0, 0, 0)),
]


@pytest.mark.parametrize(("kind", "way", "changes", "expected"), BOOKED)
def test_each_class_is_booked_as_the_guide_says(call, kind, way, changes, expected):
    status, body, _ = decide(call, put(type=way, **{"class": kind}, **changes))

    found = balances()
    assert status == 200, body
    names = ("network:visa", "bank:platform", "adjustments:platform")
    assert tuple(found.get((name, "USD"), 0) for name in names) == expected
    assert len(resolutions()) == 1


def test_adjusting_also_gives_to_the_merchant_or_takes(call):
    decide(call, put(), ADJUST)
    decide(call, put(network_ref="net_2", line="L2~1"), {**ADJUST, "amount": 300}, key="2")

    found = balances()
    assert found["merchants", "USD"] == 500 - 300
    assert found["adjustments:platform", "USD"] == 2 * 500 - 500 + 300
    assert found["network:visa", "USD"] == -8400


def test_an_adjustment_needs_a_merchant(call, services):
    identifier = put(merchant_id=None, **{"class": "missing_in_ledger"})

    status, body, _ = decide(call, identifier, ADJUST)

    assert (status, body["error"]["code"]) == (409, "merchant_unknown")
    assert services.writes == []


@pytest.mark.parametrize(
    "changes", [{"network": "acme"}, {"network": None}, {"currency": "XAU"}, {"settled": 10**16}, {"type": "fee"}]
)
def test_what_the_ledger_would_refuse_is_not_begun(call, services, changes):
    status, body, _ = decide(call, put(**changes))

    assert (status, body["error"]["code"]) == (409, "not_bookable")
    assert services.writes == []
    assert stored()[LINE].get("resolution") is None


def test_the_lines_of_a_split_settlement_are_decided_together(call):
    put(line="A~1", split=True, expected=4200, settled=2000, fee_settled=40)
    put(line="B~2", split=True, expected=0, settled=2100, fee_settled=41)
    put(line="C~3", split=True, movement="cap_other")

    status, _, _ = decide(call, f"{REF}/B~2")

    assert status == 200
    assert balances()["bank:platform", "USD"] == 4100 - 81
    assert balances()["network:visa", "USD"] == -4200
    assert {told["record"] for told in resolutions().values()} == {"A~1", "B~2"}
    items = stored()
    assert [json.loads(items[line]["resolution"])["state"] for line in ("A~1", "B~2")] == ["done", "done"]
    assert "resolution" not in items["C~3"]
    assert decide(call, f"{REF}/A~1", key="2")[1]["error"]["code"] == "discrepancy_closed"


def test_a_split_of_too_many_lines_is_refused_before_anything_is_written(call, services):
    for number in range(98):
        put(line=f"L{number}~1", split=True)

    assert decide(call, f"{REF}/L0~1")[1]["error"]["code"] == "too_many_lines"
    assert services.writes == []


def test_a_payment_nobody_knows_is_booked_in_some_shard_always_the_same(call):
    decide(call, put(network_ref="strange", shard=None, merchant_id=None, **{"class": "missing_in_ledger"}))

    ((journal,),) = [clients.client("dynamodb").scan(TableName="ledger")["Items"]]
    assert identifiers.shard_of(journal["payment_id"]["S"]) == part_of("strange", identifiers.SHARDS)


def test_the_same_request_again_is_answered_alike_and_books_nothing(call, services):
    identifier = put()
    first = decide(call, identifier, ADJUST)
    books, writes = balances(), list(services.writes)

    again = decide(call, identifier, ADJUST, arn=BOB)

    assert writes == STEPS
    assert again[:2] == first[:2]
    assert again[2]["multiValueHeaders"]["Idempotent-Replayed"] == ["true"]
    assert (balances(), services.writes) == (books, writes)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_crash_anywhere_is_finished_by_the_same_request(call, services, step, after):
    identifier = put()
    services.crash_at, services.after = step, after
    with pytest.raises(Crash):
        decide(call, identifier, ADJUST)
    services.crash_at = None

    status, body, _ = decide(call, identifier, ADJUST, arn=BOB)

    assert (status, body["resolution"]["state"]) == (200, "done")
    assert body["resolution"]["by"] == (BOB if (step, after) == (0, False) else ALICE), "who decided, not who repeated"
    assert balances() == {
        ("network:visa", "USD"): -4200,
        ("bank:platform", "USD"): 3623,
        ("fees:network", "USD"): 77,
        ("merchants", "USD"): 500,
    }
    assert len(clients.client("dynamodb").scan(TableName="ledger")["Items"]) == 2
    assert len(resolutions()) == 1
    assert trail(call, identifier) == ["adjust"]
    assert call("GET", "/discrepancies")[1]["data"] == []
    assert decide(call, identifier, ADJUST)[2]["multiValueHeaders"]["Idempotent-Replayed"] == ["true"]


@pytest.mark.parametrize("step", range(1, len(STEPS)))
def test_what_is_begun_is_nobody_elses_and_shows_until_it_is_finished(call, services, step):
    identifier = put()
    services.crash_at = step
    with pytest.raises(Crash):
        decide(call, identifier, ADJUST)
    services.crash_at = None

    for body in (ACCEPT, ADJUST, {"action": "dispute", "reason": "x"}):
        status, answer, _ = decide(call, identifier, body, key="bobs", arn=BOB)
        assert (status, answer["error"]["code"]) == (409, "discrepancy_closed")
    (shown,) = call("GET", "/discrepancies")[1]["data"] or [None]
    if step < 5:
        assert (shown["resolution"]["state"], shown["resolution"]["key"]) == ("begun", "key-1")


def test_while_a_run_is_under_way_nothing_is_decided(call, services):
    identifier = put()
    store({"network_ref": "run", "line": "current", "run": "run_00000008", "state": "running"})

    status, body, answer = decide(call, identifier)

    assert (status, body["error"]["code"]) == (409, "run_under_way")
    assert answer["multiValueHeaders"]["Retry-After"]
    assert (balances(), resolutions(), "resolution" in stored()[LINE]) == ({}, {}, False)

    store({"network_ref": "run", "line": "current", "run": "run_00000008", "state": "over"})
    assert decide(call, identifier)[0] == 200


def at_the_same_moment(monkeypatch, other):
    """Somebody else's whole request comes after this one has read the record, and before it writes."""
    transact, others = table.transact, [other]

    def late(operations):
        if others:
            others.pop()()
        transact(operations)

    monkeypatch.setattr(table, "transact", late)


@pytest.mark.parametrize("mine", [ACCEPT, ADJUST, {"action": "dispute", "reason": "x"}])
def test_of_two_operators_one_decides(call, monkeypatch, mine):
    identifier = put()
    at_the_same_moment(monkeypatch, lambda: decide(call, identifier, ACCEPT, key="bobs", arn=BOB))

    status, body, _ = decide(call, identifier, mine, key="alices")

    assert (status, body["error"]["code"]) == (409, "discrepancy_closed")
    assert len(clients.client("dynamodb").scan(TableName="ledger")["Items"]) == 1
    assert trail(call, identifier) == ["accept"]


def test_a_decision_on_what_another_has_changed_is_not_made(call, monkeypatch):
    identifier = put()
    path = f"/discrepancies/{identifier}/comments"
    at_the_same_moment(monkeypatch, lambda: call("POST", path, {"text": "wait!"}, key="bobs", arn=BOB))

    assert decide(call, identifier)[1]["error"]["code"] == "discrepancy_changed"
    assert balances() == {}
    assert decide(call, identifier)[0] == 200


def test_the_same_request_twice_at_one_moment_is_answered_twice_and_booked_once(call, monkeypatch):
    identifier, answers = put(), []
    at_the_same_moment(monkeypatch, lambda: answers.append(decide(call, identifier, ADJUST)))

    answers.append(decide(call, identifier, ADJUST))

    assert [answer[0] for answer in answers] == [200, 200]
    assert answers[0][1] == answers[1][1]
    assert len(clients.client("dynamodb").scan(TableName="ledger")["Items"]) == 2
    assert trail(call, identifier) == ["adjust"]


def test_what_a_run_has_changed_before_it_was_told_is_given_up(call, services):
    identifier = put()
    services.crash_at = 1
    with pytest.raises(Crash):
        decide(call, identifier)
    services.crash_at = None
    item = stored()[LINE]
    store({**item, "run": "run_00000008", "class": "matched", "booked": True})

    status, body, _ = decide(call, identifier)

    assert (status, body["error"]["code"]) == (409, "discrepancy_changed")
    assert (balances(), resolutions(), "resolution" in stored()[LINE]) == ({}, {}, False)
    assert trail(call, identifier) == ["accept", "given_up"]
    assert decide(call, identifier)[1]["error"]["code"] == "discrepancy_closed", "the key is free, the record is not"


def test_what_a_run_was_told_in_time_is_finished_whatever_it_made_of_the_record(call, services):
    for step, remains in ((2, True), (2, False)):
        reference = f"net_{remains}"
        identifier = put(network_ref=reference)
        services.crash_at = len(services.writes) + step
        with pytest.raises(Crash):
            decide(call, identifier, key=reference)
        services.crash_at = None
        item = stored(reference)[LINE]
        if remains:
            store({**item, "run": "run_00000008", "class": "resolved"})
        else:
            key = {"network_ref": {"S": reference}, "line": {"S": LINE}}
            clients.client("dynamodb").delete_item(TableName="settlements", Key=key)

        status, body, _ = decide(call, identifier, key=reference)

        assert (status, body["resolution"]["state"], body["open"]) == (200, "done", False)
        assert (LINE in stored(reference)) is remains
    assert balances()["network:visa", "USD"] == -8400


@pytest.mark.parametrize("fails", ["raises", "unreachable"])
def test_when_the_ledger_does_not_answer_the_same_request_finishes_it(call, services, fails):
    identifier = put()
    services.functions.handlers = {"payments-ledger-book": lambda *_: 1 / 0} if fails == "raises" else {}

    status, body, answer = decide(call, identifier)
    assert (status, body["error"]["code"]) == (503, "processing_failed")
    assert answer["multiValueHeaders"]["Retry-After"]
    assert balances() == {}

    services.functions.handlers = {"payments-ledger-book": ledger_function.book}
    assert decide(call, identifier)[0] == 200
    assert balances()["network:visa", "USD"] == -4200


@pytest.mark.parametrize("code", ["not_primary", "shard_moving"])
def test_while_the_shard_moves_the_same_request_finishes_it_later(call, services, code):
    identifier = put()
    refused = {"result": "refused", "code": code, "message": "m"}
    services.functions.handlers = {"payments-ledger-book": lambda *_: refused}

    status, body, answer = decide(call, identifier)
    assert (status, body["error"]["code"]) == (503, "processing_failed")
    assert answer["multiValueHeaders"]["Retry-After"]
    assert balances() == {}

    services.functions.handlers = {"payments-ledger-book": ledger_function.book}
    assert decide(call, identifier)[0] == 200
    assert balances()["network:visa", "USD"] == -4200


def test_a_reference_that_somebody_took_is_a_matter_for_a_person(call, services):
    identifier = put()
    services.crash_at = 3
    with pytest.raises(Crash):
        decide(call, identifier, ADJUST)
    services.crash_at = None
    services.functions.handlers = {"payments-ledger-book": lambda *_: {"result": "conflict", "journal": {}}}

    status, body, _ = decide(call, identifier, ADJUST)

    assert (status, body["error"]["code"]) == (409, "booking_refused")
    (shown,) = call("GET", "/discrepancies")[1]["data"]
    assert shown["resolution"]["state"] == "begun"


def test_a_disputed_or_waiting_one_can_be_decided_later(call):
    identifier = put()
    decide(call, identifier, {"action": "dispute", "reason": "x"}, key="1")
    decide(call, identifier, {"action": "wait", "reason": "x", "until": "2999-01-01"}, key="2")

    assert decide(call, identifier, key="3")[0] == 200
    assert trail(call, identifier) == ["dispute", "wait", "accept"]


def test_the_merchants_shard_and_the_payments_are_where_it_is_booked(call, services, monkeypatch):
    asked = []
    monkeypatch.setattr("payments.regions.primary", lambda shard: asked.append(shard) or "us-west-2")

    decide(call, put(), ADJUST)

    assert asked == [identifiers.merchant_shard(MERCHANT)] * 2
