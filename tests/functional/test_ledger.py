"""The saga's steps on the books, under repetition, concurrency and faults."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from pynamodb.exceptions import CancellationReason, TransactWriteError, VerboseClientError
from pynamodb.transactions import TransactWrite

from functions.ledger import app
from payments import books, clients
from payments.journal import totals
from payments.lifecycle import Status
from payments.records import payment_record
from payments.tables import JournalItem, PaymentItem
from tests.functional.samples import AUTHORIZATION, FRAUD


def run(operation, charge, fraud=FRAUD):
    return app.handler({"operation": operation, "charge": charge, "fraud": fraud}, None)


def journal_ids(charge):
    return [journal.journal_id for journal in books.journals(charge["payment_id"])]


def test_a_posted_charge_is_a_pending_payment_with_a_balanced_journal(tables, new_charge):
    charge = new_charge()

    answer = run("post", charge)

    payment = books.find(charge["payment_id"])
    assert answer["result"] == "posted"
    assert (payment.status, payment.amount, payment.metadata) == (Status.PENDING, 4200, {"order": "1"})
    assert journal_ids(charge) == [AUTHORIZATION]
    assert set(totals(books.journals(charge["payment_id"])[0].entries).values()) == {0}
    assert books.pending(charge["shard"], "9999", 10) == [(charge["payment_id"], charge["created_at"])]


def test_the_same_attempt_posted_twice_is_one_payment(tables, new_charge):
    charge = new_charge()

    first, second = run("post", charge), run("post", charge)

    assert first == second
    assert journal_ids(charge) == [AUTHORIZATION]


def test_another_attempt_of_the_same_request_finds_the_payment(tables, new_charge):
    first, second = new_charge(), new_charge()
    run("post", first)

    answer = run("post", second)

    assert answer["result"] == "exists"
    assert "event" not in answer
    assert books.find(first["payment_id"]).attempt == first["attempt"]


def test_another_request_under_the_same_key_is_a_conflict(tables, new_charge):
    run("post", new_charge())

    assert run("post", new_charge(fingerprint="e" * 64, amount=1))["result"] == "conflict"


def test_an_abandoned_attempt_can_never_write_its_payment(tables, new_charge):
    charge = new_charge()

    assert run("abandon", charge)["result"] == "abandoned"

    assert run("post", charge)["result"] == "abandoned"
    assert books.find(charge["payment_id"]) is None
    assert journal_ids(charge) == []


@pytest.mark.parametrize("operation", ["post", "abandon", "record_blocked"])
def test_what_was_posted_and_replaced_is_no_conflict_yet_so_its_token_is_kept(tables, new_charge, operation):
    ours, theirs = new_charge(fingerprint="a" * 64), new_charge(fingerprint="e" * 64)
    run("post", ours)
    PaymentItem(**{**payment_record(books.find(ours["payment_id"])), "fingerprint": "e" * 64, "attempt": "x"}).save()

    with pytest.raises(books.ReplicationGap):
        run(operation, ours)
    assert run(operation, theirs)["result"] == "exists"
    assert run(operation, new_charge(fingerprint="c" * 64))["result"] == "conflict"


def test_two_requests_in_two_regions_have_two_journals(tables, new_charge):
    one, other = new_charge(fingerprint="a" * 64), new_charge(fingerprint="e" * 64)
    for made in (one, other):
        run("post", made)
        PaymentItem(made["payment_id"]).delete()

    assert journal_ids(one) == ["authorization#" + "a" * 16, "authorization#" + "e" * 16]


def test_a_retry_after_an_abandoned_attempt_makes_the_payment(tables, new_charge):
    abandoned, retry = new_charge(), new_charge()
    run("abandon", abandoned)

    assert run("post", retry)["result"] == "posted"
    assert books.find(retry["payment_id"]).attempt == retry["attempt"]
    assert run("post", abandoned)["result"] == "exists"
    assert journal_ids(retry) == [AUTHORIZATION]


def test_two_abandoned_attempts_both_stay_abandoned(tables, new_charge):
    first, second, third = new_charge(), new_charge(), new_charge()
    run("abandon", first)
    run("abandon", second)

    assert run("post", first)["result"] == "abandoned"
    assert run("post", second)["result"] == "abandoned"
    assert run("post", third)["result"] == "posted"


def test_abandoning_a_charge_that_was_written_goes_forward(tables, new_charge):
    charge = new_charge()
    posted = run("post", charge)

    answer = run("abandon", charge)

    assert answer == posted
    assert books.find(charge["payment_id"]).status is Status.PENDING


def test_abandoning_where_another_attempt_was_first_answers_with_that_ones_payment(tables, new_charge):
    run("post", new_charge())

    answer = run("abandon", new_charge())

    assert answer["result"] == "exists"
    assert "event" not in answer


def test_abandoning_over_a_blocked_payment_never_sends_it_to_the_network(tables, new_charge):
    run("record_blocked", new_charge())

    answer = run("abandon", new_charge())

    assert (answer["result"], answer["payment"]["status"]) == ("exists", "fraud_blocked")


def test_a_tombstone_replicated_from_the_other_region_replaces_no_payment(tables, new_charge):
    accepted, elsewhere = new_charge(), new_charge()
    run("abandon", elsewhere)
    tombstones = [item.to_dynamodb_dict() for item in PaymentItem.scan()]

    run("post", accepted)
    for item in tombstones:
        clients.client("dynamodb").put_item(TableName="payments", Item=item)

    assert books.find(accepted["payment_id"]).attempt == accepted["attempt"]
    assert books.pending(accepted["shard"], "9999", 10) == [(accepted["payment_id"], accepted["created_at"])]


def test_a_journal_that_arrived_before_its_payment_is_a_fault_and_changes_nothing(tables, new_charge):
    charge = new_charge()
    run("post", charge)
    PaymentItem(charge["payment_id"]).delete()

    with pytest.raises(books.ReplicationGap):
        run("post", new_charge())
    assert run("abandon", new_charge())["result"] == "abandoned"


def test_a_transaction_that_met_another_is_tried_again(tables, new_charge, monkeypatch):
    commit, conflicts = TransactWrite._commit, ["TransactionConflict", "TransactionConflict"]

    def conflicting(self):
        if conflicts:
            cause = VerboseClientError(
                {
                    "Error": {"Code": "TransactionCanceledException", "Message": ""},
                    "CancellationReasons": [{"Code": "None"}, {"Code": conflicts.pop()}, {"Code": "None"}],
                },
                "TransactWriteItems",
                {},
            )
            cause.cancellation_reasons = [None, CancellationReason("TransactionConflict"), None]
            raise TransactWriteError("conflict", cause)
        return commit(self)

    monkeypatch.setattr(TransactWrite, "_commit", conflicting)

    assert run("post", new_charge())["result"] == "posted"
    assert conflicts == []


def test_abandoning_when_another_request_holds_the_key_is_a_conflict(tables, new_charge):
    run("post", new_charge())

    assert run("abandon", new_charge(fingerprint="e" * 64))["result"] == "conflict"


def test_a_blocked_charge_is_recorded_without_a_journal(tables, new_charge):
    charge = new_charge()

    answer = run("record_blocked", charge, {**FRAUD, "score": 97, "reasons": ["card_velocity"]})

    assert answer["result"] == "blocked"
    assert answer["payment"]["status"] == "fraud_blocked"
    assert journal_ids(charge) == []
    assert list(books.pending(charge["shard"], "9999", 10)) == []
    assert "reasons" not in str(answer), "a thief learns nothing from the answer"


def test_a_block_never_replaces_an_accepted_payment(tables, new_charge):
    run("post", new_charge())

    answer = run("record_blocked", new_charge())

    assert answer["result"] == "exists"
    assert answer["payment"]["status"] == "pending"


def test_a_block_waits_for_a_payment_whose_journal_is_here_already(tables, new_charge):
    accepted = new_charge()
    run("post", accepted)
    PaymentItem(accepted["payment_id"]).delete()

    with pytest.raises(books.ReplicationGap):
        run("record_blocked", new_charge())


def test_an_accepted_attempt_never_replaces_a_blocked_payment(tables, new_charge):
    blocked = new_charge()
    run("record_blocked", blocked)

    answer = run("post", new_charge())

    assert (answer["result"], answer["payment"]["status"]) == ("exists", "fraud_blocked")
    assert journal_ids(blocked) == []


def test_concurrent_attempts_make_one_payment_and_one_journal(tables, new_charge):
    charges = [new_charge() for _ in range(12)]

    with ThreadPoolExecutor(12) as pool:
        results = [answer["result"] for answer in pool.map(lambda charge: run("post", charge), charges)]

    assert results.count("posted") == 1
    assert results.count("exists") == 11
    assert PaymentItem.count() == JournalItem.count() == 1


def test_an_unknown_operation_is_a_fault(tables, new_charge):
    with pytest.raises(KeyError):
        run("delete", new_charge())


def test_a_degraded_score_marks_the_payment_for_review(tables, new_charge):
    answer = run("post", new_charge(), {**FRAUD, "degraded": True, "decision": "review"})

    assert answer["payment"]["review"] is True
