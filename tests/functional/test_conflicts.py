"""One key, two different requests, each accepted in another region: nothing is lost, one of them stands, the network
says which, and operators and merchant are told."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from functions.ledger import app as ledger
from functions.network import app as network_app
from functions.network import authorization, card_network, vault
from functions.network import conflicts as resolving
from functions.sweeper import conflicts as sweeping
from payments import books, clients, clock, conflicts, events, identifiers, lifecycle, queues, records, regions, replay
from payments.lifecycle import Status, authorization_id, request_id, withdrawal_id
from payments.queues import TryLater
from payments.tables import JournalItem, PaymentItem
from tests.functional.conflicting import OURS, THEIRS, arrive, follow, image, meet, sides
from tests.functional.samples import CARD_FACTS, MERCHANT
from tests.functional.simulated_network import SimulatedNetwork

LONG_AGO = "2026-11-23T10:00:00.000Z"
"""All journals of what was written then have arrived."""


@pytest.fixture
def network(tmp_path, monkeypatch):
    monkeypatch.setattr(vault, "detokenize", lambda *_: CARD_FACTS)
    with SimulatedNetwork(tmp_path / "network.sqlite") as served:
        monkeypatch.setattr(card_network, "_base", lambda: served.url)
        yield served


@pytest.fixture
def published(monkeypatch):
    sent = []
    monkeypatch.setattr(events, "publish", lambda detail_type, *found: sent.extend((detail_type, e) for e in found))
    return sent


@pytest.fixture(autouse=True)
def postponed(monkeypatch):
    """Seconds for which a message was put off, each time."""
    found = []
    monkeypatch.setattr(queues, "postpone", lambda record, url, seconds: found.append(seconds))
    return found


def take(network, payment):
    """The network takes this request."""
    order = {"network_ref": payment.network_ref, "amount": payment.amount, "currency": payment.currency}
    order |= {"request": request_id(payment.fingerprint), "capture": payment.capture, "token": "tok_x"}
    network.book.authorize({**order, "network": "visa", "bin": "424242"})


def stands(payment_id):
    return books.find(payment_id, consistent=True)


def names(payment_id):
    return set(books.journal_ids(payment_id))


def types(published):
    return [event["type"] for _, event in published]


def deliver(payment_id, tries=1, **detail):
    body = json.dumps({"detail": {"payment_id": payment_id, **detail}})
    attributes = {"ApproximateReceiveCount": str(tries)}
    record = {"messageId": "m", "body": body, "receiptHandle": "r", "attributes": attributes}
    return network_app.handler({"Records": [record]}, None)["batchItemFailures"]


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


class TestWhatIsKept:
    def test_both_requests_have_a_journal_and_both_sides_are_known(self, tables, capsys, caplog):
        ours, theirs = meet(amount=4300, description="another", customer={"id": "cus_2"})

        assert names(ours.payment_id) == {authorization_id(OURS), authorization_id(THEIRS)}
        found = conflicts.find(ours.payment_id)
        assert found.sides == (ours, theirs)
        assert found.resolution is None
        assert '"IdempotencyConflicts": 1' in capsys.readouterr().out
        assert any(record.levelname == "CRITICAL" for record in caplog.records)

    def test_the_same_record_again_changes_nothing_and_counts_once(self, tables, capsys):
        _, theirs = sides(amount=4300)
        record = arrive(theirs)

        assert [follow(record), follow(record)] == [[], []]

        assert capsys.readouterr().out.count("IdempotencyConflicts") == 2, "the metric's name and its value, once"

    def test_the_same_request_accepted_in_both_regions_is_none(self, tables):
        ours, theirs = sides(amount=4200)
        follow(arrive(replace(theirs, fingerprint=OURS)))

        assert conflicts.find(ours.payment_id) is None

    def test_the_same_request_accepted_here_and_blocked_there_stays_accepted(self, tables, network, published):
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
        self, tables, network, published
    ):
        ours, theirs = sides(theirs_blocked=True)

        assert follow(arrive(replace(theirs, fingerprint=OURS))) == []
        assert deliver_last(published) == []

        assert stands(ours.payment_id).status is Status.PENDING
        assert deliver_last(published) == []
        assert stands(ours.payment_id).status is Status.SUCCEEDED

    @pytest.mark.parametrize("sequence", [2, 9])
    def test_what_was_refunded_here_stays_refunded_when_the_other_regions_copy_was_written_later(
        self, tables, network, published, sequence
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

    def test_it_can_be_written_over_again_by_a_copy_of_the_same_sequence(self, tables, network, published):
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
        self, tables, network, published, postponed, written
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

    def test_what_waits_for_replication_comes_again_soon_but_not_for_ever(self, tables, network, published, postponed):
        ours, _ = meet(amount=4300)

        for tries in range(1, 6):
            assert deliver(ours.payment_id, tries=tries, operation=events.AGREEMENT, seen_at=LONG_AGO)

        assert postponed == [31, 31]

    def test_what_the_other_region_did_next_costs_no_message(self, tables, network, published, monkeypatch):
        ours, _ = sides()
        deliver(ours.payment_id)
        old = image(ours.payment_id)
        del published[:]

        new = go_on_elsewhere(monkeypatch, old)
        assert follow({"dynamodb": {"SequenceNumber": "1", "OldImage": old, "NewImage": new}}) == []

        assert published == []

    def test_what_it_did_next_without_our_last_step_is_held_against_the_journals(
        self, tables, network, published, monkeypatch
    ):
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

    def test_what_was_mended_is_looked_at_in_the_other_region_too(self, tables, network, published):
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

    def test_a_request_that_both_regions_blocked_is_left_alone(self, tables, published):
        _, theirs = sides(theirs_blocked=True)
        arrive(replace(theirs, fingerprint=OURS))

        assert follow(arrive(replace(theirs, fingerprint=OURS, region="eu-west-1"))) == []

        assert published == []

    def test_what_is_no_payment_is_none(self, tables):
        ours, theirs = sides()
        record = arrive(theirs)
        for part in ("OldImage", "NewImage"):
            record["dynamodb"][part] |= {"payment_id": {"S": f"{ours.payment_id}#conflict"}}

        assert follow(record) == []
        assert list(conflicts.waiting(9)) == []

    def test_what_cannot_be_kept_comes_again(self, tables, monkeypatch):
        _, theirs = sides()
        record = arrive(theirs)
        monkeypatch.setattr(conflicts, "keep", lambda _: 1 / 0)

        assert follow(record) == [{"itemIdentifier": "1"}]

    def test_a_payment_in_conflict_takes_no_command(self, tables):
        ours, _ = meet(amount=4300)

        with pytest.raises(books.ReplicationGap):
            books.current(ours.payment_id)


class TestWhatStands:
    @pytest.mark.parametrize("amount", [4200, 4300])
    @pytest.mark.parametrize("first", [0, 1])
    def test_the_request_that_the_network_took(self, tables, network, published, first, amount):
        both = meet(amount=amount, customer={"id": "cus_2"})
        winner, loser = both[first], both[1 - first]
        take(network, winner)

        resolving.resolve(winner.payment_id)
        assert deliver(winner.payment_id) == []

        payment, journals = stands(winner.payment_id), books.journals(winner.payment_id)
        assert (payment.fingerprint, payment.status) == (winner.fingerprint, Status.SUCCEEDED)
        assert (payment.amount, payment.customer_id) == (winner.amount, winner.customer_id)
        assert {withdrawal_id(loser.fingerprint), "capture"} <= names(winner.payment_id)
        assert withdrawal_id(winner.fingerprint) not in names(winner.payment_id)
        assert replay.ahead(payment, journals) is None
        assert replay.mended(payment, journals, payment.updated_at) is payment
        assert network.book.listing()["count"] == 1
        resolution = conflicts.find(winner.payment_id).resolution
        assert (resolution.stands, resolution.why) == (winner.fingerprint, conflicts.AT_NETWORK)

    def test_the_one_in_the_table_where_the_network_knows_neither_but_not_before_it_has_it(
        self, tables, network, published
    ):
        ours, _ = meet(amount=4300)

        resolving.resolve(ours.payment_id)
        assert conflicts.find(ours.payment_id).resolution is None
        assert names(ours.payment_id) == {authorization_id(OURS), authorization_id(THEIRS)}
        assert published[-1][0] == events.CHARGE_AUTHORIZED

        assert deliver(ours.payment_id) == []
        resolving.resolve(ours.payment_id)
        assert conflicts.find(ours.payment_id).resolution.stands == THEIRS
        assert stands(ours.payment_id).status is Status.SUCCEEDED
        assert withdrawal_id(OURS) in names(ours.payment_id)

    @pytest.mark.parametrize("amount", [4200, 4300])
    def test_what_was_accepted_against_what_was_blocked(self, tables, network, published, amount):
        ours, _ = meet(amount=amount, theirs_blocked=True)

        with pytest.raises(books.ReplicationGap):
            authorization.authorize(ours.payment_id)  # the other region's block is not charged as if it were ours
        resolving.resolve(ours.payment_id)

        assert stands(ours.payment_id).fingerprint == OURS
        assert stands(ours.payment_id).pending
        assert names(ours.payment_id) == {authorization_id(OURS)}
        assert "payment.conflict" not in types(published), "nobody was told 201 about the other one"

    def test_a_decline_is_taken_too(self, tables, network, published):
        ours, theirs = meet(amount=4205)
        take(network, theirs)

        resolving.resolve(ours.payment_id)
        deliver(ours.payment_id)

        assert stands(ours.payment_id).status is Status.FAILED
        assert stands(ours.payment_id).failure.code == "card_declined"

    def test_a_payment_that_was_decided_before_it_was_replaced_is_what_its_journals_say(
        self, tables, network, published
    ):
        ours, theirs = sides(amount=4300)
        deliver(ours.payment_id)
        follow(arrive(theirs))

        resolving.resolve(ours.payment_id)

        assert stands(ours.payment_id).status is Status.SUCCEEDED
        assert stands(ours.payment_id).amount_captured == ours.amount


class TestUntilItIsResolved:
    def test_the_worker_books_nothing_for_a_request_that_the_network_refuses(self, tables, network, published):
        ours, theirs = meet(amount=4300)
        take(network, ours)

        assert deliver(ours.payment_id) == [{"itemIdentifier": "m"}]

        assert stands(ours.payment_id) == theirs
        assert names(ours.payment_id) == {authorization_id(OURS), authorization_id(THEIRS)}

    def test_the_status_of_another_request_is_no_decision(self, tables, network):
        ours, theirs = meet(amount=4200)
        take(network, ours)

        with pytest.raises(card_network.OtherRequest):
            card_network.status(theirs)
        assert card_network.status(ours) == lifecycle.Authorization()

    def test_a_token_that_is_gone_declines_nothing_that_the_network_has_another_request_for(
        self, tables, network, published, monkeypatch
    ):
        monkeypatch.setattr(vault, "detokenize", lambda *_: None)
        ours, theirs = meet(amount=4300, created_at="2026-01-01T00:00:00.000Z")
        take(network, ours)

        assert deliver(ours.payment_id) == [{"itemIdentifier": "m"}]
        assert stands(ours.payment_id) == theirs

    def test_nothing_is_resolved_while_a_journal_is_not_here(self, tables, network, published):
        ours, theirs = meet(amount=4300)
        take(network, theirs)
        JournalItem(ours.payment_id, authorization_id(OURS)).delete()

        with pytest.raises(TryLater):
            resolving.resolve(ours.payment_id)
        assert stands(ours.payment_id) == theirs

    def test_nothing_is_resolved_while_the_network_says_another_request(self, tables, network, published):
        ours, theirs = meet(amount=4300)
        take(network, replace(theirs, fingerprint="c" * 64))

        with pytest.raises(TryLater):
            resolving.resolve(ours.payment_id)

    def test_a_late_step_of_one_request_does_not_touch_the_other(self, tables):
        ours, theirs = sides(amount=4300)
        theirs = replace(theirs, created_at=ours.created_at, updated_at=ours.updated_at)
        decided = lifecycle.decide(ours, lifecycle.Authorization(), "2026-11-23T10:00:01.000Z")
        arrive(theirs)

        books.step(ours, *decided)

        assert stands(ours.payment_id) == theirs
        assert "capture" not in names(ours.payment_id)


class TestRepetition:
    def test_resolving_again_changes_nothing(self, tables, network, published):
        ours, _ = meet(amount=4300)
        take(network, ours)
        assert deliver(ours.payment_id, operation=events.CONFLICT) == []
        before = image(ours.payment_id), image(f"{ours.payment_id}#conflict"), names(ours.payment_id)

        assert deliver(ours.payment_id, operation=events.CONFLICT) == []
        assert (image(ours.payment_id), image(f"{ours.payment_id}#conflict"), names(ours.payment_id)) == before

        told = [event for _, event in published if event["type"] == "payment.conflict"]
        assert len({event["id"] for event in told}) == 1
        assert told[0]["data"]["not_charged"]["amount"] == 4300
        assert (told[0]["data"]["amount"], told[0]["sequence"]) == (4200, 1)

    def test_killed_before_it_is_settled_it_is_told_and_settled_by_the_next_try(
        self, tables, network, published, monkeypatch
    ):
        ours, _ = meet(amount=4300)
        take(network, ours)
        with monkeypatch.context() as broken:
            broken.setattr(conflicts, "settle", lambda *_: 1 / 0)
            assert deliver(ours.payment_id, operation=events.CONFLICT) == [{"itemIdentifier": "m"}]

        assert deliver(ours.payment_id, operation=events.CONFLICT) == []

        assert types(published).count("payment.conflict") == 2
        assert stands(ours.payment_id).fingerprint == OURS

    def test_somebody_who_looked_before_it_was_resolved_changes_nothing(self, tables, network, published):
        ours, theirs = meet(amount=4300)
        take(network, ours)
        seen, journals = conflicts.find(ours.payment_id), books.journals(ours.payment_id)
        resolving.resolve(ours.payment_id)
        before = image(ours.payment_id), image(f"{ours.payment_id}#conflict")

        late = conflicts.Resolution(THEIRS, "late", "2026-11-23T10:00:00.000Z", "us-west-2")
        assert conflicts.settle(seen, theirs, late, journals) is None

        assert (image(ours.payment_id), image(f"{ours.payment_id}#conflict")) == before
        assert withdrawal_id(THEIRS) in names(ours.payment_id)
        assert withdrawal_id(OURS) not in names(ours.payment_id)

    def test_the_payment_that_is_put_back_is_no_new_conflict(self, tables, network, published):
        ours, _ = meet(amount=4300)
        take(network, ours)
        old = image(ours.payment_id)
        resolving.resolve(ours.payment_id)

        follow({"dynamodb": {"SequenceNumber": "2", "OldImage": old, "NewImage": image(ours.payment_id)}})

        assert conflicts.find(ours.payment_id).resolution.stands == OURS

    def test_the_loser_that_comes_back_opens_it_again_and_it_is_resolved_again(self, tables, network, published):
        ours, theirs = meet(amount=4300)
        take(network, ours)
        resolving.resolve(ours.payment_id)

        follow(arrive(theirs))

        assert conflicts.find(ours.payment_id).resolution is None
        resolving.resolve(ours.payment_id)
        assert stands(ours.payment_id).fingerprint == OURS
        assert books.journal_ids(ours.payment_id).count(withdrawal_id(THEIRS)) == 1


class TestTheSweeper:
    def test_sends_open_conflicts_of_its_own_shards_until_they_are_resolved(self, tables, network, published):
        ours, _ = meet(amount=4300)
        take(network, ours)
        shard, now = identifiers.shard_of(ours.payment_id), datetime.now(UTC)

        assert sweeping.ask([shard + 1], now) == 0
        assert sweeping.ask([shard], now) == 1
        assert sweeping.ask([shard], now + timedelta(hours=1, minutes=7)) == 0, "an old one more and more rarely"
        (kind, event) = published[-1]
        assert (kind, event["payment_id"], event["operation"]) == ("payment_command", ours.payment_id, "conflict")

        resolving.resolve(ours.payment_id)
        assert sweeping.ask([shard], now) == 0


def test_the_record_holds_everything_that_a_payment_is(tables):
    """Also what a payment gets later: a side may have been decided, refunded and disputed."""
    ours, theirs = sides(amount=4300)
    rich = replace(
        ours,
        outstanding=(lifecycle.Operation("ref_1", "refund", 5),),
        dispute=lifecycle.Dispute("dsp_1", 7, "open", "fraud"),
        review_decision=lifecycle.ReviewDecision("approve", "alice", ours.created_at, "known"),
        failure=lifecycle.Failure("card_declined", "It was declined."),
        fraud={"score": 3, "reasons": ["amount"], "degraded": False, "decision": "review", "review": True},
        metadata={"order": "1"},
    )
    PaymentItem(**records.payment_record(rich)).save()
    follow(arrive(theirs))

    assert conflicts.find(ours.payment_id).sides[0] == rich
