"""Conflicts as operators see them: open and resolved, with both sides; acknowledged once, by whom and why."""

from dataclasses import replace

import pytest

from payments import books, conflicts, identifiers
from payments.conflicts import Resolution
from tests.functional.operations.conftest import ALICE, BOB
from tests.functional.samples import CARD_FACTS, MERCHANT
from tests.functional.two_regions.conflicting import OURS, THEIRS, meet

AT = "2026-11-23T10:00:00.000Z"
REASON = {"reason": "told the merchant, who has canceled the order"}


@pytest.fixture(autouse=True)
def published(monkeypatch):
    monkeypatch.setattr("payments.events.publish", lambda *_: None)


def settle(ours):
    """Ours stands."""
    found, standing = conflicts.find(ours.payment_id), books.find(ours.payment_id, consistent=True)
    resolution = Resolution(OURS, conflicts.AT_NETWORK, AT, "us-east-1")
    assert conflicts.settle(found, standing, resolution, books.journals(ours.payment_id))


def listed(call, **query):
    status, body, _ = call("GET", "/conflicts", query={name: str(value) for name, value in query.items()} or None)
    assert status == 200, body
    return [found["id"] for found in body["data"]], body


def test_open_ones_and_resolved_ones_are_lists_of_their_own(call):
    resolved, (still_open, _) = meet("key-1", amount=4300)[0], meet("key-2", amount=4300)
    settle(resolved)

    assert listed(call)[0] == listed(call, state="open")[0] == [still_open.payment_id]
    assert listed(call, state="resolved")[0] == [resolved.payment_id]
    assert call("GET", "/reviews")[1]["data"] == [], "no review, though in the same index"


def test_one_shows_both_sides_and_no_more_of_a_card_than_merchants_see(call):
    ours, _ = meet(amount=4300, description="another", customer={"id": "cus_2"}, metadata={"order": "2"})

    status, body, _ = call("GET", f"/conflicts/{ours.payment_id}")

    assert (status, body["merchant_id"], body["open"], body["resolution"]) == (200, MERCHANT, True, None)
    first, second = body["sides"]
    assert (first["request"], first["region"], first["stands"]) == (OURS, "us-east-1", None)
    assert (second["request"], second["region"], second["payment"]["amount"]) == (THEIRS, "us-west-2", 4300)
    shown = {name: second["payment"][name] for name in ("currency", "customer", "description", "metadata")}
    assert shown == {"currency": "USD", "customer": "cus_2", "description": "another", "metadata": {"order": "2"}}
    assert second["payment"]["card"]["last4"] == CARD_FACTS["last4"]
    assert "bin8" not in second["payment"]["card"]


def test_a_resolved_one_says_which_stands_and_why(call):
    ours, _ = meet(amount=4300)
    settle(ours)

    _, body, _ = call("GET", f"/conflicts/{ours.payment_id}")

    assert [side["stands"] for side in body["sides"]] == [True, False]
    assert (body["resolution"]["why"], body["resolution"]["at"]) == (conflicts.AT_NETWORK, AT)


def test_pages_show_each_once_the_oldest_first(call):
    made = [meet(f"key-{number}", amount=4300)[0].payment_id for number in range(5)]
    for number, payment_id in enumerate(made):  # found one after another, in the same millisecond perhaps
        found = conflicts.find(payment_id)
        conflicts.commit(
            lambda transaction, found=found, number=number: transaction.save(
                conflicts._item(replace(found, found_at=f"2026-11-23T10:00:0{number}.000Z"))
            )
        )

    first, body = listed(call, limit=2)
    second, body = listed(call, limit=2, starting_after=body["next_cursor"])
    third, last = listed(call, limit=2, starting_after=body["next_cursor"])

    assert [*first, *second, *third] == made
    assert last["has_more"] is False


def test_acknowledged_once_with_who_when_and_why(call):
    ours, _ = meet(amount=4300)
    path = f"/conflicts/{ours.payment_id}/acknowledge"

    status, body, _ = call("POST", path, REASON, key="1")
    again = call("POST", path, REASON, key="1", arn=BOB)

    assert (status, body["acknowledged"]["by"], body["acknowledged"]["reason"]) == (200, ALICE, REASON["reason"])
    assert again[1]["acknowledged"] == body["acknowledged"], "the first answer"
    assert again[2]["multiValueHeaders"]["Idempotent-Replayed"] == ["true"]
    assert listed(call)[1]["data"][0]["acknowledged"] == body["acknowledged"]
    other = call("POST", path, REASON, key="2", arn=BOB)
    assert (other[0], other[1]["error"]["code"]) == (409, "conflict_acknowledged")
    changed = call("POST", path, {"reason": "else"}, key="1")
    assert (changed[0], changed[1]["error"]["code"]) == (422, "idempotency_key_reused")


def test_an_acknowledgement_outlives_the_resolution(call):
    ours, _ = meet(amount=4300)
    call("POST", f"/conflicts/{ours.payment_id}/acknowledge", REASON, key="1")

    settle(ours)

    assert call("GET", f"/conflicts/{ours.payment_id}")[1]["acknowledged"]["by"] == ALICE


@pytest.mark.parametrize("unknown", [identifiers.payment_id(MERCHANT, "none"), "pay_x", "cmd_00" + "a" * 24])
def test_what_is_no_conflict_is_not_found(call, unknown):
    for method, path, body in (("GET", "", None), ("POST", "/acknowledge", REASON)):
        status, answer, _ = call(method, f"/conflicts/{unknown}{path}", body, key="1")
        assert (status, answer["error"]["code"]) == (404, "conflict_not_found")


@pytest.mark.parametrize(
    ("body", "key", "code"),
    [({}, "1", "invalid_field"), (REASON, None, "idempotency_key_required"), ({"reason": ""}, "1", "invalid_field")],
)
def test_an_acknowledgement_needs_a_reason_and_a_key(call, body, key, code):
    ours, _ = meet(amount=4300)

    status, answer, _ = call("POST", f"/conflicts/{ours.payment_id}/acknowledge", body, key=key)

    assert (status, answer["error"]["code"]) == (400, code)
    assert conflicts.acknowledgements([ours.payment_id]) == {}


def test_a_cursor_that_is_no_conflict_and_an_unknown_state_are_refused(call):
    for query in ({"starting_after": identifiers.payment_id(MERCHANT, "none")}, {"state": "lost"}):
        assert call("GET", "/conflicts", query=query)[0] == 400
