"""One key, two different requests, each accepted in another region: nothing is lost, one of them stands, the network
says which, and operators and merchant are told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from functions.network import authorization, card_network, vault
from functions.network import conflicts as resolving
from functions.sweeper import conflicts as sweeping
from payments import books, conflicts, events, identifiers, lifecycle, records, replay
from payments.lifecycle import Status, authorization_id, request_id, withdrawal_id
from payments.queues import TryLater
from payments.tables import JournalItem, PaymentItem
from tests.functional.two_regions.conflicting import OURS, THEIRS, arrive, deliver, follow, image, meet, sides, stands


def take(network, payment):
    """The network takes this request."""
    order = {"network_ref": payment.network_ref, "amount": payment.amount, "currency": payment.currency}
    order |= {"request": request_id(payment.fingerprint), "capture": payment.capture, "token": "tok_x"}
    network.book.authorize({**order, "network": "visa", "bin": "424242"})


def names(payment_id):
    return set(books.journal_ids(payment_id))


def types(published):
    return [event["type"] for _, event in published]


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
