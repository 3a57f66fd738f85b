"""What is written to the tables is what is read from them."""

from dataclasses import replace
from decimal import Decimal

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given, settings

from payments import accounts, lifecycle, records
from payments.fees import FeePlan
from payments.journal import Kind, UnbalancedJournal, reversal, transfer
from payments.lifecycle import Status
from payments.records import StoredJournal
from tests.unit.domain.samples import AT, approved, new_payment, reach
from tests.unit.domain.test_replay import lives


def stored(record):
    """The record as DynamoDB gives it back."""
    return records.plain({name: TypeSerializer().serialize(value) for name, value in record.items()})


@given(lives())
@settings(max_examples=200, deadline=None)
def test_payments_and_journals_come_back_as_they_were(life):
    for payment in life.states:
        payment = replace(payment, metadata={"order": "1"}, customer_id="cus_1")
        assert records.payment_of(stored(records.payment_record(payment))) == payment
    for journal in life.journals:
        found = StoredJournal.of(stored(records.journal_record(journal, "us-west-2")))
        assert (found.journal(), found.region) == (journal, "us-west-2")


def test_numbers_of_whatever_kind_come_back_as_integers():
    payment = lifecycle.open_dispute(approved(fees=FeePlan(290, 30, 1500)), "dsp_1", 100, AT)[0]
    record = records.payment_record(replace(payment, metadata={}))
    decimals = {
        name: Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in record.items()
    }
    decimals["fees"] = {name: Decimal(value) for name, value in record["fees"].items()}

    assert records.payment_of(decimals).fees == payment.fees
    assert type(records.payment_of(decimals).fees.fixed) is int
    assert type(records.payment_of(decimals).amount_captured) is int


def test_a_reversal_comes_back_with_what_it_reverses():
    original = lifecycle.authorization_journal(new_payment())
    original = replace(original, kind=Kind.PAYOUT, entries=transfer(accounts.BANK, accounts.FEES, 1, "USD"))
    journal = reversal(original, AT, "sent twice")

    assert StoredJournal.of(stored(records.journal_record(journal, "r"))).journal() == journal


def record(**changes):
    return {**records.journal_record(lifecycle.authorization_journal(new_payment()), "us-east-1"), **changes}


def test_an_unbalanced_journal_can_be_looked_at_but_is_none():
    lines = record()["entries"]
    found = StoredJournal.of(record(entries=[lines[0], {**lines[1], "amount": 1}]))

    assert [entry.amount for entry in found.entries] == [4200, 1]
    with pytest.raises(UnbalancedJournal):
        found.journal()


@pytest.mark.parametrize(
    "changes",
    [
        {"entries": None},
        {"entries": "abc"},
        {"entries": [{}]},
        {"entries": [1]},
        {"entries": [{**record()["entries"][0], "side": "left"}]},
        {"entries": [{**record()["entries"][0], "phase": "voided"}]},
        {"entries": [{**record()["entries"][0], "amount": "many"}]},
        {"entries": [{**record()["entries"][0], "amount": None}]},
        {"sequence": None},
        {"sequence": "x"},
    ],
)
def test_what_is_no_journal_raises_what_is_promised(changes):
    with pytest.raises((KeyError, ValueError, TypeError)):
        StoredJournal.of(record(**changes))


@pytest.mark.parametrize("missing", ["kind", "created_at", "region", "sequence", "entries"])
def test_a_journal_without_one_of_its_parts_is_none(missing):
    with pytest.raises(KeyError):
        StoredJournal.of({name: value for name, value in record().items() if name != missing})


class TestThePendingIndex:
    def waits(self, payment):
        """Where the payment waits: for the network, for its merchant, or nowhere."""
        bucket = records.changing(payment)["pending_bucket"]
        if bucket is None:
            return None
        return "merchant" if bucket >= 1 << 16 else "network"

    @pytest.mark.parametrize(
        ("status", "where"),
        [
            (Status.PENDING, "network"),
            (Status.FRAUD_BLOCKED, None),
            (Status.REQUIRES_CAPTURE, "merchant"),
            (Status.PARTIALLY_CAPTURED, "merchant"),
            (Status.CANCELED, None),
            (Status.SUCCEEDED, None),
            (Status.REFUNDED, None),
            (Status.CHARGED_BACK, None),
            (Status.FAILED, None),
        ],
    )
    def test_a_payment_with_nothing_outstanding_waits_for_whom_its_state_says(self, status, where):
        assert self.waits(replace(reach(status), outstanding=())) == where

    @pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.REQUIRES_CAPTURE, Status.CANCELED])
    def test_what_is_outstanding_waits_for_the_network_since_the_last_step(self, status):
        payment = replace(reach(status), outstanding=(lifecycle.Operation("cap_1", "capture", 1),))

        assert self.waits(payment) == "network"
        assert records.changing(payment)["pending_since"] == payment.updated_at != payment.created_at

    def test_the_buckets_of_shards_and_reasons_do_not_meet(self):
        buckets = [
            records.pending_bucket(shard, bucket, awaiting_capture=awaiting)
            for shard in range(128)
            for bucket in range(records.PENDING_BUCKETS)
            for awaiting in (False, True)
        ]

        assert len(set(buckets)) == len(buckets)
