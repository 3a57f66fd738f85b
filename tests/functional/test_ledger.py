"""The saga's steps on the books, under repetition, concurrency and faults."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from functions.ledger import app
from payments import books
from payments.journal import totals
from payments.lifecycle import Status
from payments.tables import JournalItem, PaymentItem

FRAUD = {"score": 3, "reasons": [], "model": "test", "degraded": False}


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
    assert journal_ids(charge) == ["authorization"]
    assert set(totals(books.journals(charge["payment_id"])[0].entries).values()) == {0}
    assert list(books.pending(charge["shard"], "9999", 10)) == [charge["payment_id"]]


def test_the_same_attempt_posted_twice_is_one_payment(tables, new_charge):
    charge = new_charge()

    first, second = run("post", charge), run("post", charge)

    assert first == second
    assert journal_ids(charge) == ["authorization"]


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


def test_a_retry_after_an_abandoned_attempt_makes_the_payment(tables, new_charge):
    abandoned, retry = new_charge(), new_charge()
    run("abandon", abandoned)

    assert run("post", retry)["result"] == "posted"
    assert books.find(retry["payment_id"]).attempt == retry["attempt"]
    assert run("post", abandoned)["result"] == "exists"
    assert journal_ids(retry) == ["authorization"]


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
    answer = run("post", new_charge(), {**FRAUD, "degraded": True})

    assert answer["payment"]["review"] is True
