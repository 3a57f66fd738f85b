"""Global tables keep the last writer's payment, item by item, in no order: so a payment may be older than the journals
beside it, or newer. Whoever acts on it must not do a step twice, and not undo one."""

import json

import pytest

from functions.ledger import app
from functions.network import app as network
from functions.network import authorization, card_network, vault
from payments import books, clock, events, identifiers, lifecycle, replay
from payments.books import ReplicationGap
from payments.clients import client
from payments.lifecycle import Authorization, Failure, Status
from payments.tables import JournalItem, PaymentItem
from tests.functional.conftest import charge
from tests.functional.samples import CARD_FACTS, FRAUD, MERCHANT


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    found = []
    monkeypatch.setattr(events, "publish", lambda kind, *made: found.extend(made))
    return found


@pytest.fixture
def authorized(tables):
    def make(capture=True, key="key-1"):
        asked = charge(key, capture=capture)
        app.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
        pending = books.find(asked["payment_id"])
        return books.step(pending, *lifecycle.decide(pending, Authorization(), clock.now()))

    return make


def command(payment, name="refund", key="k1", **fields):
    request = {"command": name, "payment_id": payment.payment_id, "merchant_id": MERCHANT, "key": key}
    return app.command({**request, "fingerprint": f"{name}{sorted(fields.items())}", **fields}, None)


def copy_of(payment):
    return client("dynamodb").get_item(TableName="payments", Key={"payment_id": {"S": payment.payment_id}})["Item"]


def arrives(copy):
    """The other region's copy of the payment wins."""
    client("dynamodb").put_item(TableName="payments", Item=copy)


def told(payment):
    return replay.replay(books.journals(payment.payment_id))


def test_a_refund_on_an_older_copy_returns_nothing_twice(authorized):
    payment = authorized()
    older = copy_of(payment)
    command(payment)
    arrives(older)

    assert command(payment, key="k2")["code"] == "payment_state_invalid"
    assert told(payment).refunded == 4200
    assert books.find(payment.payment_id).status is Status.REFUNDED


def test_an_older_copy_is_mended_and_the_command_goes_on_from_there(authorized):
    payment = authorized()
    older = copy_of(payment)
    refund = command(payment, amount=1000)["answer"]["id"]
    arrives(older)

    assert command(payment, key="k2", amount=500)["result"] == "done"
    after = books.find(payment.payment_id)
    assert after.amount_refunded == 1500
    assert refund in [operation.operation_id for operation in after.outstanding]
    mendings = [item for item in PaymentItem.scan() if "#mended#" in item.payment_id]
    assert len(mendings) == 1


def test_a_capture_on_an_older_copy_captures_nothing_twice(authorized):
    payment = authorized(capture=False)
    older = copy_of(payment)
    command(payment, "capture")
    arrives(older)

    assert command(payment, "capture", key="k2")["code"] == "payment_state_invalid"
    assert told(payment).captured == 4200


def test_a_dispute_that_was_won_is_not_lost_on_an_older_copy(authorized):
    payment = authorized()
    command(payment, "open_dispute", key="case")
    older = copy_of(payment)
    command(payment, "win_dispute", key="won")
    arrives(older)

    assert command(payment, "lose_dispute", key="lost")["code"] == "payment_state_invalid"


def test_a_worker_that_meets_a_pending_copy_keeps_what_followed(tables, monkeypatch):
    asked = charge("key-9")
    app.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
    pending = books.find(asked["payment_id"])
    older = copy_of(pending)
    payment = books.step(pending, *lifecycle.decide(pending, Authorization(), clock.now()))
    command(payment)
    arrives(older)
    monkeypatch.setattr(vault, "detokenize", lambda *_: CARD_FACTS)
    monkeypatch.setattr(card_network, "authorize", lambda *_: Authorization())

    healed = authorization.authorize(payment.payment_id)

    assert (healed.status, healed.amount_refunded) == (Status.REFUNDED, 4200)
    assert books.find(payment.payment_id) == healed


def test_a_capture_that_the_payment_forgot_is_told_to_the_network_before_the_merchant(authorized, sent, monkeypatch):
    heard = []
    monkeypatch.setattr(card_network, "tell", lambda payment, operation: heard.append(operation.operation_id))
    payment = authorized(capture=False)
    older = copy_of(payment)
    command(payment, "capture")
    capture = books.find(payment.payment_id).outstanding[0].operation_id
    arrives(older)
    sent.clear()

    detail = {"payment_id": payment.payment_id, "operation": capture}
    record = {"messageId": "1", "body": json.dumps({"detail": detail})}
    assert network.handler({"Records": [record]}, None) == {"batchItemFailures": []}

    assert heard == [capture]
    assert [event["type"] for event in sent] == ["payment.captured"]


def test_a_retry_that_finds_the_payment_without_its_journal_waits(authorized):
    payment = authorized()
    refund = command(payment, amount=1000)["answer"]["id"]
    JournalItem(payment.payment_id, refund).delete()
    PaymentItem(identifiers.command_id(MERCHANT, "k1")).delete()

    with pytest.raises(ReplicationGap):
        command(payment, amount=1000)
    assert books.find(payment.payment_id).amount_refunded == 1000


def test_a_retry_of_a_full_refund_whose_record_is_not_here_waits(authorized):
    payment = authorized()
    command(payment)
    PaymentItem(identifiers.command_id(MERCHANT, "k1")).delete()

    with pytest.raises(ReplicationGap):
        command(payment)


def test_a_duplicate_that_overlaps_its_first_is_a_replay(authorized, monkeypatch):
    payment = authorized()
    look, first = books.command_record, [True]

    def looked_too_early(command_id):
        found = look(command_id)
        if first and first.pop():
            command(payment)
        return found

    monkeypatch.setattr(books, "command_record", looked_too_early)

    assert command(payment)["result"] == "replayed"


def test_the_same_status_and_sequence_with_another_time_is_another_state(authorized):
    payment = authorized()
    mine, journal = lifecycle.refund(payment, "ref_mine", 1000, "2026-11-23T10:00:00.001Z")
    theirs, _ = lifecycle.refund(payment, "ref_theirs", 3000, "2026-11-23T10:00:00.002Z")
    books.step(payment, theirs, None)
    assert (mine.status, mine.sequence) == (theirs.status, theirs.sequence)

    record = books.CommandRecord("cmd_z", MERCHANT, "f", {}, clock.now())
    assert not books.execute(mine, lifecycle.refund(mine, "ref_z", 3200, clock.now())[0], (journal,), record)


class TestAhead:
    """What the payment says and its journals do not is never undone."""

    def test_the_end_of_a_dispute(self, authorized):
        payment = authorized()
        command(payment, "open_dispute", key="case")
        command(payment, "win_dispute", key="won")
        journals = [found for found in books.journals(payment.payment_id) if not found.journal_id.endswith("#won")]

        assert replay.ahead(books.find(payment.payment_id), journals)

    def test_a_refund_after_one_that_failed(self, authorized):
        payment = authorized()
        first = command(payment, amount=1000)["answer"]["id"]
        now = books.find(payment.payment_id)
        books.step(now, *lifecycle.end_refund(now, first, Failure("refund_declined", "x"), clock.now()))
        second = command(payment, key="k2", amount=1000)["answer"]["id"]
        journals = [found for found in books.journals(payment.payment_id) if found.journal_id != second]

        assert replay.ahead(books.find(payment.payment_id), journals)

    def test_nothing_of_an_honest_payment(self, authorized):
        payment = authorized()
        refund = command(payment, amount=1000)["answer"]["id"]
        now = books.find(payment.payment_id)
        books.step(now, *lifecycle.end_refund(now, refund, Failure("refund_declined", "x"), clock.now()))
        command(payment, key="k2", amount=700)

        assert replay.ahead(books.find(payment.payment_id), books.journals(payment.payment_id)) is None


def test_nothing_is_refunded_after_a_lost_dispute_while_a_part_is_still_to_be_captured(authorized):
    payment = authorized(capture=False)
    command(payment, "capture", key="c", amount=2000)
    command(payment, "open_dispute", key="case", amount=500)
    command(payment, "lose_dispute", key="lost")

    assert command(payment, key="r", amount=100)["code"] == "payment_state_invalid"
    assert command(payment, "open_dispute", key="again")["code"] == "payment_state_invalid"
