"""One payment, written in two regions that could not see each other: the last writer's copy stands, and what the other
one had done is found again in the journals."""

from dataclasses import replace

import pytest

from functions.ledger import app as ledger
from payments import books, clients, clock, conflicts, events, regions, replay
from payments.lifecycle import Status
from payments.tables import PaymentItem
from tests.functional.samples import MERCHANT
from tests.functional.two_regions.conflicting import OURS, arrive, deliver, follow, image, meet, sides, stands

LONG_AGO = "2026-11-23T10:00:00.000Z"
"""All journals of what was written then have arrived."""


def deliver_last(published, **more):
    """The network worker gets the event that was published last; what it says."""
    _, event = published[-1]
    del published[:]
    known = {name: event[name] for name in ("type", "operation", "seen_at") if name in event}
    return deliver(event["payment_id"], **{**known, **more})


def refund(payment, amount=4200, key="k1", through=True):
    """So much is refunded here, and, if `through`, the network has confirmed it."""
    request = {"command": "refund", "payment_id": payment.payment_id, "merchant_id": MERCHANT, "key": key}
    answer = ledger.command({**request, "fingerprint": "r", "amount": amount}, None)["answer"]
    if through:
        assert deliver(payment.payment_id, operation=answer["id"]) == []
        assert stands(payment.payment_id).outstanding == ()


def go_on_elsewhere(monkeypatch, copy):
    """The other region makes two steps from this copy of a payment, long ago; what then stands in both."""
    clients.client("dynamodb").put_item(TableName="payments", Item=copy)
    payment = stands(copy["payment_id"]["S"])
    with monkeypatch.context() as there:
        there.setattr(regions, "here", lambda: "us-west-2")
        for _ in range(2):
            after = replace(payment, sequence=payment.sequence + 1, updated_at=LONG_AGO)
            payment = books.step(payment, after, None)
    return image(payment.payment_id)


def says_what_its_journals_say(payment_id):
    payment = stands(payment_id)
    return replay.mended(payment, books.journals(payment_id), "") is payment


def test_the_same_request_accepted_here_and_blocked_there_stays_accepted(tables, network, published):
    """The network has decided, the merchant was told, and only then the other region's later refusal arrives."""
    ours, theirs = sides(theirs_blocked=True)
    assert deliver(ours.payment_id, type="charge_authorized") == []
    assert stands(ours.payment_id).status is Status.SUCCEEDED
    del published[:]

    assert follow(arrive(replace(theirs, fingerprint=OURS))) == []

    assert stands(ours.payment_id).status is Status.FRAUD_BLOCKED
    assert conflicts.find(ours.payment_id) is None
    assert deliver_last(published) == []
    assert stands(ours.payment_id).status is Status.SUCCEEDED
    assert says_what_its_journals_say(ours.payment_id)
    assert published == [], "its merchant was told before"
    assert len(network.book.listing()["data"]) == 1


def test_what_was_accepted_here_is_sent_to_the_network_where_the_other_regions_block_came_before_its_decision(
    tables, network, published
):
    ours, theirs = sides(theirs_blocked=True)

    assert follow(arrive(replace(theirs, fingerprint=OURS))) == []
    assert deliver_last(published) == []

    assert stands(ours.payment_id).status is Status.PENDING
    assert deliver_last(published) == []
    assert stands(ours.payment_id).status is Status.SUCCEEDED


@pytest.mark.parametrize("sequence", [2, 9])
def test_what_was_refunded_here_stays_refunded_when_the_other_regions_copy_was_written_later(
    tables, network, published, sequence
):
    """However many steps the other one has made without ours."""
    ours, theirs = sides()
    deliver(ours.payment_id)
    refund(ours)
    copy = replace(theirs, fingerprint=OURS, status=Status.SUCCEEDED, amount_captured=4200, sequence=sequence)

    assert follow(arrive(replace(copy, updated_at=LONG_AGO))) == []

    assert stands(ours.payment_id).status is Status.SUCCEEDED
    assert deliver_last(published, seen_at=LONG_AGO) == []
    assert stands(ours.payment_id).status is Status.REFUNDED
    assert says_what_its_journals_say(ours.payment_id)
    assert network.book.listing()["count"] == 1


def test_it_can_be_written_over_again_by_a_copy_of_the_same_sequence(tables, network, published):
    ours, theirs = sides()
    deliver(ours.payment_id)
    refund(ours)
    copy = replace(theirs, fingerprint=OURS, status=Status.SUCCEEDED, amount_captured=4200, updated_at=LONG_AGO)

    for _ in range(3):
        follow(arrive(copy))
        assert deliver_last(published, seen_at=LONG_AGO) == []
        assert stands(ours.payment_id).status is Status.REFUNDED

    assert len([item for item in PaymentItem.scan() if "#mended#" in item.payment_id]) == 3


@pytest.mark.parametrize("written", ["now", "before a cut"])
def test_what_has_just_come_is_not_mended_before_its_journals_can_be_here(
    tables, network, published, postponed, written
):
    """A refund that has ended there, and that no journal here ends yet, looks like one that was lost."""
    ours, _ = sides()
    deliver(ours.payment_id)
    before = stands(ours.payment_id)
    refund(ours, through=False)
    at = clock.now() if written == "now" else LONG_AGO
    ended = replace(before, status=Status.REFUNDED, amount_refunded=4200, sequence=4, updated_at=at)

    assert follow(arrive(ended)) == []

    assert deliver_last(published) == [{"itemIdentifier": "m"}]
    assert stands(ours.payment_id) == ended
    assert postponed == [31]


def test_what_waits_for_replication_comes_again_soon_but_not_for_ever(tables, network, published, postponed):
    ours, _ = meet(amount=4300)

    for tries in range(1, 6):
        assert deliver(ours.payment_id, tries=tries, operation=events.AGREEMENT, seen_at=LONG_AGO)

    assert postponed == [31, 31]


def test_what_the_other_region_did_next_costs_no_message(tables, network, published, monkeypatch):
    ours, _ = sides()
    deliver(ours.payment_id)
    old = image(ours.payment_id)
    del published[:]

    new = go_on_elsewhere(monkeypatch, old)
    assert follow({"dynamodb": {"SequenceNumber": "1", "OldImage": old, "NewImage": new}}) == []

    assert published == []


def test_what_it_did_next_without_our_last_step_is_held_against_the_journals(tables, network, published, monkeypatch):
    ours, _ = sides()
    deliver(ours.payment_id)
    known_there = image(ours.payment_id)
    refund(ours, amount=1000)
    old = image(ours.payment_id)

    new = go_on_elsewhere(monkeypatch, known_there)
    assert follow({"dynamodb": {"SequenceNumber": "1", "OldImage": old, "NewImage": new}}) == []
    assert stands(ours.payment_id).amount_refunded == 0
    assert deliver_last(published, seen_at=LONG_AGO) == []

    assert stands(ours.payment_id).amount_refunded == 1000
    assert says_what_its_journals_say(ours.payment_id)


def test_what_was_mended_is_looked_at_in_the_other_region_too(tables, network, published):
    ours, theirs = sides()
    deliver(ours.payment_id)
    refund(ours)
    copy = replace(theirs, fingerprint=OURS, status=Status.SUCCEEDED, amount_captured=4200, updated_at=LONG_AGO)
    follow(arrive(copy))
    there = image(ours.payment_id)

    assert deliver_last(published, seen_at=LONG_AGO) == []
    record = {"SequenceNumber": "1", "OldImage": there, "NewImage": image(ours.payment_id)}
    assert follow({"dynamodb": record}) == []

    ((_, event),) = published
    assert event["operation"] == events.AGREEMENT


def test_what_was_mended_is_looked_at_there_although_this_region_had_gone_on_from_their_copy(
    tables, network, published, monkeypatch
):
    """Replication may bring both writes as one."""
    ours, _ = sides()
    deliver(ours.payment_id)
    older = image(ours.payment_id)
    refund(ours, amount=1000)
    there = go_on_elsewhere(monkeypatch, older)
    payment = stands(ours.payment_id)
    books.step(payment, replace(payment, sequence=payment.sequence + 1), None)

    books.current(ours.payment_id)
    del published[:]
    record = {"SequenceNumber": "1", "OldImage": there, "NewImage": image(ours.payment_id)}
    assert follow({"dynamodb": record}) == []

    assert stands(ours.payment_id).amount_refunded == 1000
    ((_, event),) = published
    assert event["operation"] == events.AGREEMENT


def test_a_request_that_both_regions_blocked_is_left_alone(tables, published):
    _, theirs = sides(theirs_blocked=True)
    arrive(replace(theirs, fingerprint=OURS))

    assert follow(arrive(replace(theirs, fingerprint=OURS, region="eu-west-1"))) == []

    assert published == []
