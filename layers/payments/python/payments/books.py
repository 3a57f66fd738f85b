"""The books: every read and write of the payments and ledger tables.

A payment and its journal are written in one transaction, conditional on the state it starts from. Every write may be
repeated, by a retry or by the other region: the second one finds the first and reports it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pynamodb.constants import ALL_OLD
from pynamodb.exceptions import PutError, TransactWriteError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from payments.journal import Entry, Journal, Phase, Side
from payments.lifecycle import Failure, Payment, Status
from payments.tables import JournalItem, PaymentItem, connection

_CONDITION_FAILED = "ConditionalCheckFailed"


class Outcome(StrEnum):
    """What a conditional write came to."""

    WRITTEN = "written"
    EXISTS = "exists"
    """The same request was written before, by this attempt or another; `payment` is what stands there."""
    CONFLICT = "conflict"
    """Another request stands under this payment id."""
    ABANDONED = "abandoned"
    """This attempt was given up before; its late write changed nothing."""


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write and the payment that stands in the table after it (None: a tombstone)."""

    outcome: Outcome
    payment: Payment | None


def find(payment_id: str, consistent: bool = False) -> Payment | None:
    """The payment, or None when there is none (the tombstone of an abandoned attempt is none)."""
    try:
        item = PaymentItem.get(payment_id, consistent_read=consistent)
    except PaymentItem.DoesNotExist:
        return None
    return None if item.status == Status.ABANDONED else _payment(item)


def create(payment: Payment, journal: Journal) -> Written:
    """Writes a new payment and its first journal in one transaction, if this attempt may still create it.

    Safe to repeat: when the first try did land, the second says `WRITTEN` again.
    """
    try:
        with TransactWrite(connection=connection()) as transaction:
            transaction.save(_item(payment), condition=_may_create(payment.attempt), return_values=ALL_OLD)
            transaction.save(_journal_item(journal), condition=JournalItem.journal_id.does_not_exist())
    except TransactWriteError as error:
        if not _condition_failed(error):
            raise
        return _standing(payment)
    return Written(Outcome.WRITTEN, payment)


def record_blocked(payment: Payment) -> Written:
    """Writes a blocked charge, which has no journal, if this attempt may still create it."""
    try:
        _item(payment).save(condition=_may_create(payment.attempt))
    except PutError as error:
        if error.cause_response_code != "ConditionalCheckFailedException":
            raise
        return _standing(payment)
    return Written(Outcome.WRITTEN, payment)


def abandon(payment: Payment) -> Written:
    """Gives up this attempt: leaves a tombstone that refuses its late write, unless the payment is there already.

    `ABANDONED` when the tombstone stands; `EXISTS` (or `CONFLICT`) when a payment does, and then nothing was changed.
    """
    item = PaymentItem(payment.payment_id)
    stamp = {
        "merchant_id": payment.merchant_id,
        "shard": payment.shard,
        "fingerprint": payment.fingerprint,
        "region": payment.region,
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
        "status": str(Status.ABANDONED),
    }
    actions = [getattr(PaymentItem, name).set(value) for name, value in stamp.items()]
    actions.append(PaymentItem.abandoned_attempts.add({payment.attempt}))
    try:
        item.update(actions, condition=PaymentItem.payment_id.does_not_exist() | _is_tombstone())
    except UpdateError as error:
        if error.cause_response_code != "ConditionalCheckFailedException":
            raise
        return _standing(payment)
    return Written(Outcome.ABANDONED, None)


def decide(before: Payment, after: Payment, journal: Journal | None) -> Payment:
    """Takes a payment from one state to the next, with the journal of that step, in one transaction.

    Conditional on the state `before` was read in; when another worker was first, its result is returned instead.
    """
    actions: list[Action] = [
        PaymentItem.status.set(str(after.status)),
        PaymentItem.updated_at.set(after.updated_at),
        PaymentItem.sequence.set(after.sequence),
        PaymentItem.pending_shard.remove(),
    ]
    if after.failure:
        actions.append(PaymentItem.failure.set(asdict(after.failure)))
    unchanged = (PaymentItem.status == str(before.status)) & (PaymentItem.sequence == before.sequence)
    try:
        with TransactWrite(connection=connection()) as transaction:
            transaction.update(PaymentItem(before.payment_id), actions=actions, condition=unchanged)
            if journal:
                transaction.save(_journal_item(journal), condition=JournalItem.journal_id.does_not_exist())
    except TransactWriteError as error:
        if not _condition_failed(error):
            raise
        return _payment(PaymentItem.get(before.payment_id, consistent_read=True))
    return after


def journals(payment_id: str) -> list[Journal]:
    """All journals of the payment, oldest first."""
    found = (_journal(item) for item in JournalItem.query(payment_id, consistent_read=True))
    return sorted(found, key=lambda journal: journal.created_at)


def pending(shard: int, before: str, limit: int) -> Iterator[str]:
    """Ids of payments of the shard that have been pending since before this time, oldest first."""
    found = PaymentItem.pending.query(shard, PaymentItem.created_at < before, limit=limit)
    return (item.payment_id for item in found)


def _may_create(attempt: str) -> Condition:
    """A payment may be created where none is, or over a tombstone that does not name this very attempt."""
    given_up = PaymentItem.abandoned_attempts.contains(attempt)
    condition: Condition = PaymentItem.payment_id.does_not_exist() | (_is_tombstone() & ~given_up)
    return condition


def _is_tombstone() -> Condition:
    return PaymentItem.status == str(Status.ABANDONED)


def _condition_failed(error: TransactWriteError) -> bool:
    return any(reason and reason.code == _CONDITION_FAILED for reason in error.cancellation_reasons)


def _standing(wanted: Payment) -> Written:
    """What stands where `wanted` could not be written."""
    item = PaymentItem.get(wanted.payment_id, consistent_read=True)
    if item.status == Status.ABANDONED:
        return Written(Outcome.ABANDONED, None)
    standing = _payment(item)
    if standing.attempt == wanted.attempt:
        return Written(Outcome.WRITTEN, standing)
    if standing.fingerprint != wanted.fingerprint:
        return Written(Outcome.CONFLICT, standing)
    return Written(Outcome.EXISTS, standing)


def _item(payment: Payment) -> PaymentItem:
    values: dict[str, Any] = {**asdict(payment), "status": str(payment.status)}
    if payment.pending:
        values["pending_shard"] = payment.shard
    return PaymentItem(**{name: value for name, value in values.items() if value is not None})


def _payment(item: PaymentItem) -> Payment:
    failure = item.failure.as_dict() if item.failure else None
    return Payment(
        payment_id=item.payment_id,
        merchant_id=item.merchant_id,
        shard=int(item.shard),
        fingerprint=item.fingerprint,
        attempt=item.attempt,
        region=item.region,
        status=Status(item.status),
        amount=int(item.amount),
        currency=item.currency,
        capture=item.capture,
        network_ref=item.network_ref,
        card=item.card.as_dict(),
        fraud=item.fraud.as_dict(),
        created_at=item.created_at,
        updated_at=item.updated_at,
        sequence=int(item.sequence),
        customer_id=item.customer_id,
        description=item.description,
        metadata=item.metadata.as_dict() if item.metadata else {},
        failure=Failure(**failure) if failure else None,
    )


def _journal_item(journal: Journal) -> JournalItem:
    entries = [{**asdict(entry), "side": str(entry.side), "phase": str(entry.phase)} for entry in journal.entries]
    return JournalItem(journal.payment_id, journal.journal_id, created_at=journal.created_at, entries=entries)


def _journal(item: JournalItem) -> Journal:
    entries = tuple(
        Entry(line["account"], Side(line["side"]), Phase(line["phase"]), int(line["amount"]), line["currency"])
        for line in item.entries
    )
    return Journal(item.payment_id, item.journal_id, item.created_at, entries)
