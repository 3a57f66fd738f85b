"""Commands on a payment, and what an operator books: once for each key, whoever else is at it."""

import msgspec
import pytest

from functions.ledger import app
from payments import books, clock, events, identifiers, lifecycle
from payments.books import Contention, ReplicationGap
from payments.journal import Kind
from payments.lifecycle import Authorization, Failure, Status
from payments.tables import JournalItem, PaymentItem
from tests.functional.conftest import charge, write_here
from tests.functional.samples import AUTHORIZATION, FRAUD, MERCHANT


@pytest.fixture
def sent(monkeypatch):
    """What goes to the network worker."""
    found = []
    monkeypatch.setattr(events, "publish", lambda detail_type, *made: found.extend((detail_type, e) for e in made))
    return found


@pytest.fixture
def authorized(tables, sent):
    """Makes a payment of 4200 USD that the card network has approved."""

    def make(capture=True, key="key-1", declined=None):
        asked = charge(key, capture=capture)
        app.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
        pending = books.find(asked["payment_id"])
        return books.step(pending, *lifecycle.decide(pending, Authorization(declined), clock.now()))

    return make


def command(payment, name="refund", key="k1", **fields):
    request = {"command": name, "payment_id": payment.payment_id, "merchant_id": MERCHANT, "key": key}
    return app.command({**request, "fingerprint": f"{name}{sorted(fields.items())}", **fields}, None)


def refused(answer):
    assert answer["result"] == "refused"
    return answer["code"]


def test_a_refund_is_reserved_answered_and_sent_to_the_network(authorized, sent):
    payment = authorized()

    answer = command(payment, amount=1000, reason="damaged")

    assert answer["result"] == "done"
    refund = answer["answer"]
    assert (refund["object"], refund["amount"], refund["status"]) == ("refund", 1000, "pending")
    assert refund["reason"] == "damaged"
    after = books.find(payment.payment_id)
    assert (after.status, after.amount_refunded) == (Status.PARTIALLY_REFUNDED, 1000)
    assert [(kind, event["operation"]) for kind, event in sent] == [("payment_command", refund["id"])]
    assert [operation.operation_id for operation in after.outstanding] == [refund["id"]]


def test_a_command_writes_three_items_in_one_transaction(authorized):
    payment = authorized()

    refund = command(payment, amount=1)["answer"]

    assert {item.payment_id[:4] for item in PaymentItem.scan()} == {"pay_", "cmd_"}
    assert sorted(books.journal_ids(payment.payment_id)) == [AUTHORIZATION, "capture", refund["id"]]


def test_the_same_key_twice_is_one_command_with_one_answer(authorized):
    payment = authorized()

    first, second = command(payment, amount=1000), command(payment, amount=1000)

    assert second == {"result": "replayed", "answer": first["answer"]}
    assert books.find(payment.payment_id).amount_refunded == 1000


def test_a_replay_answers_what_was_answered_though_the_payment_has_moved_on(authorized):
    payment = authorized(capture=False)
    first = command(payment, "capture", amount=1000)
    command(payment, "capture", key="k2")

    replay = command(payment, "capture", amount=1000)

    assert replay["answer"] == first["answer"]
    assert replay["answer"]["status"] == "partially_captured"


@pytest.mark.parametrize("changed", [{"amount": 2000}, {"amount": 1000, "reason": "x"}])
def test_a_key_names_one_request(authorized, changed):
    payment = authorized()
    command(payment, amount=1000)

    assert refused(command(payment, **changed)) == "idempotency_key_reused"
    assert books.find(payment.payment_id).amount_refunded == 1000


def test_a_key_is_used_up_for_every_payment_of_the_merchant(authorized):
    one, other = authorized(), authorized(key="key-2")
    command(one, amount=1000)

    assert refused(command(other, "refund", amount=1000, final=True)) == "idempotency_key_reused"


def test_a_refused_command_uses_up_no_key(authorized):
    payment = authorized(capture=False)

    assert refused(command(payment, amount=5)) == "payment_state_invalid"
    command(payment, "capture", key="k2")

    assert command(payment, amount=5)["result"] == "done"


def test_another_merchants_payment_is_no_payment(authorized):
    payment, other = authorized(), "mer_" + "b" * 24
    write_here(identifiers.merchant_shard(other))

    answer = app.command(
        {
            "command": "refund",
            "payment_id": payment.payment_id,
            "merchant_id": other,
            "key": "k",
            "fingerprint": "f",
        },
        None,
    )

    assert refused(answer) == "payment_not_found"


@pytest.mark.parametrize("amount", [0, -1, 4201])
def test_an_amount_beyond_what_there_is_is_refused(authorized, amount):
    payment = authorized()

    answer = command(payment, amount=amount)

    assert (refused(answer), answer["param"]) == ("amount_too_large", "amount")
    assert books.journal_ids(payment.payment_id) == [AUTHORIZATION, "capture"]


def test_a_declined_payment_allows_nothing(authorized):
    payment = authorized(declined=Failure("card_declined", "…"))

    codes = {refused(command(payment, name)) for name in ("capture", "void", "refund", "open_dispute", "win_dispute")}

    assert codes == {"payment_state_invalid"}


def test_a_pending_payment_cannot_be_voided_behind_the_networks_back(pending, sent):
    assert refused(command(pending, "void")) == "payment_state_invalid"


def test_a_dispute_holds_the_amount_and_its_loss_takes_it(authorized):
    payment = authorized()

    opened = command(payment, "open_dispute", key="case-1", amount=1000, reason="fraudulent")["answer"]
    lost = command(payment, "lose_dispute", key="case-1/lost")["answer"]

    assert (opened["status"], lost["status"], lost["id"]) == ("open", "lost", opened["id"])
    after = books.find(payment.payment_id)
    assert (after.status, after.amount_charged_back) == (Status.CHARGED_BACK, 1000)


def test_a_command_whose_announcement_fails_is_done_and_left_to_the_sweeper(authorized, monkeypatch):
    payment = authorized()

    def fail(*_):
        raise events.PublishFailed("payment_command")

    monkeypatch.setattr(events, "publish", fail)

    assert command(payment, amount=1000)["result"] == "done"
    waiting = books.pending(payment.shard, "9999", 10)
    assert [payment_id for payment_id, _ in waiting] == [payment.payment_id]


def test_whoever_meets_others_tries_again_and_in_the_end_says_so(authorized, monkeypatch):
    payment = authorized()
    tried = []
    monkeypatch.setattr(clock, "pause", tried.append)
    monkeypatch.setattr(books, "commit", lambda _: (_ for _ in ()).throw(Contention("TransactionConflict")))

    assert refused(command(payment, amount=1000)) == "payment_busy"
    assert len(tried) > 5
    assert books.journal_ids(payment.payment_id) == [AUTHORIZATION, "capture"]


def test_a_change_in_between_is_seen_before_the_next_try(authorized, monkeypatch):
    payment = authorized()
    find = books.find
    before = find(payment.payment_id)
    command(payment, key="other", amount=4000)
    stale = iter([before])
    monkeypatch.setattr(books, "find", lambda *args, **kw: next(stale, None) or find(*args, **kw))

    answer = command(payment, amount=1000)

    assert refused(answer) == "amount_too_large"
    assert find(payment.payment_id).amount_refunded == 4000


def test_a_journal_without_its_commands_record_is_waited_for(authorized):
    """The other region's transaction arrives item by item."""
    payment = authorized()
    refund = command(payment, amount=1000)["answer"]
    PaymentItem(identifiers.command_id(MERCHANT, "k1")).delete()

    with pytest.raises(ReplicationGap):
        command(payment, amount=1000)
    assert books.journal_ids(payment.payment_id).count(refund["id"]) == 1


def book(kind, reference="2026-11-23", amount=1000, **fields):
    common = {"merchant_id": MERCHANT, "reference": reference, "amount": amount, "currency": "USD", "reason": "r"}
    return app.book({"kind": kind, **common, **fields}, None)


@pytest.mark.parametrize("kind", ["payout", "fee", "adjustment"])
def test_a_booking_is_written_once_for_its_reference(tables, kind):
    first, again, other = book(kind), book(kind), book(kind, amount=1001)

    assert [first["result"], again["result"], other["result"]] == ["written", "exists", "conflict"]
    assert first["journal"] == again["journal"] == other["journal"]
    assert [item.kind for item in JournalItem.scan()] == [kind]


@pytest.mark.parametrize("fields", [{"amount": 0}, {"amount": -5}, {"currency": "XXX"}, {"currency": "usd"}])
def test_a_booking_of_nothing_is_refused(tables, fields):
    assert refused(book("payout", **fields)) == "invalid_booking"
    assert list(JournalItem.scan()) == []


def settle(**changes):
    sums = {"captured": 5000, "returned": 1000, "fees": 90, "written_off": 0}
    event = {"kind": "settlement", "shard": 17, "reference": "run_1/0", "network": "visa", "currency": "USD", **sums}
    return app.book({**event, **changes}, None)


def test_a_settlement_is_written_once_for_its_shard_and_reference(tables):
    write_here(17)

    first, again, other, another = settle(), settle(), settle(fees=91), settle(shard=18)

    assert [found["result"] for found in (first, again, other, another)] == ["written", "exists", "conflict", "written"]
    assert first["journal"]["payment_id"] == identifiers.settlement_id(17, "run_1/0")
    (bank,) = (entry for entry in first["journal"]["entries"] if entry["account"] == "bank:platform")
    assert (bank["side"], bank["amount"]) == ("debit", 3910)


@pytest.mark.parametrize("wrong", [{"captured": 0, "returned": 0, "fees": 0}, {"network": "nobody"}])
def test_a_settlement_of_nothing_or_of_nobody_is_refused(tables, wrong):
    assert refused(settle(**wrong)) == "invalid_booking"
    assert list(JournalItem.scan()) == []


@pytest.mark.parametrize("wrong", [{"shard": 128}, {"fees": 1.5}, {"reference": ""}])
def test_what_is_no_settlement_is_an_error(tables, wrong):
    with pytest.raises(msgspec.ValidationError):
        settle(**wrong)


def test_a_reversal_names_what_it_takes_back_and_is_written_once(tables):
    wrong = book("adjustment", amount=-300)["journal"]
    undo = {"kind": "reversal", "payment_id": wrong["payment_id"], "journal_id": wrong["journal_id"], "reason": "typo"}

    first, again = app.book(undo, None), app.book(undo, None)

    assert (first["result"], again["result"]) == ("written", "exists")
    assert (first["journal"]["kind"], first["journal"]["reverses"]) == (Kind.REVERSAL, wrong["journal_id"])
    again = {**undo, "journal_id": first["journal"]["journal_id"]}
    assert refused(app.book(again, None)) == "invalid_booking"


def test_what_a_payments_own_steps_undo_cannot_be_reversed(authorized):
    payment = authorized()
    undo = {"kind": "reversal", "payment_id": payment.payment_id, "journal_id": "capture", "reason": "typo"}

    assert refused(app.book(undo, None)) == "invalid_booking"
    assert refused(app.book({**undo, "journal_id": "nothing"}, None)) == "journal_not_found"


def test_a_merchants_key_cannot_take_the_place_of_the_platforms_own(authorized):
    payment = authorized()
    command(payment, amount=1000, key="case-1", origin="merchant")

    assert command(payment, "open_dispute", key="case-1", amount=500, origin="platform")["result"] == "done"
