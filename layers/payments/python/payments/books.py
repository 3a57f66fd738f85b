"""The books: every read and write of the payments and ledger tables.

A payment and its journal are written in one transaction, conditional on the state it starts from. Every write may be
repeated, by a retry or by the other region: the second one finds the first and reports it.
"""

import random
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pynamodb.exceptions import TransactWriteError
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from payments.journal import Entry, Journal, Phase, Side
from payments.lifecycle import AUTHORIZATION, Failure, Payment, Status
from payments.tables import JournalItem, PaymentItem, connection

PENDING_BUCKETS = 8
"""Partitions of the pending index per shard: one takes 1,000 writes a second, a shard may have 1,600 charges."""

_NO_JOURNAL = JournalItem.journal_id.does_not_exist()
_ABSENT = PaymentItem.payment_id.does_not_exist()
_CONDITION_FAILED = "ConditionalCheckFailed"
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
_CONFLICT_DELAYS_SECONDS = (0.02, 0.05, 0.1)
"""Upper ends of the random waits before a transaction that met another one is tried again."""


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
    """The outcome of a write and the payment that stands in the table after it (None when it was abandoned)."""

    outcome: Outcome
    payment: Payment | None


class ReplicationGap(RuntimeError):
    """The journal of a payment is here already and the payment is not: tables replicate in no order. Try again."""


def find(payment_id: str, consistent: bool = False) -> Payment | None:
    """The payment, or None when there is none."""
    item = _get(payment_id, consistent)
    return _payment(item) if item else None


def create(payment: Payment, journal: Journal) -> Written:
    """Writes a new payment and its first journal in one transaction, unless this attempt was abandoned.

    Safe to repeat: when the first try did land, the second says `WRITTEN` again. Raises `ReplicationGap`.
    """

    def write(transaction: TransactWrite) -> None:
        transaction.condition_check(PaymentItem, _tombstone_id(payment), condition=_ABSENT)
        transaction.save(_item(payment), condition=_ABSENT)
        transaction.save(_journal_item(journal), condition=_NO_JOURNAL)

    return Written(Outcome.WRITTEN, payment) if _commit(write) else _standing(payment)


def record_blocked(payment: Payment) -> Written:
    """Writes a blocked charge, which has no journal, where there is neither a payment yet nor its first journal.

    Raises `ReplicationGap`.
    """

    def write(transaction: TransactWrite) -> None:
        transaction.condition_check(JournalItem, payment.payment_id, AUTHORIZATION, condition=_NO_JOURNAL)
        transaction.save(_item(payment), condition=_ABSENT)

    return Written(Outcome.WRITTEN, payment) if _commit(write) else _standing(payment)


def abandon(payment: Payment) -> Written:
    """Gives up this attempt: leaves a tombstone that refuses its late write, unless the payment is there already.

    `ABANDONED` when the tombstone stands; otherwise what stands there, unchanged. The tombstone has a key of its own,
    so that in no region and no order of replication it can replace a payment.
    """

    def write(transaction: TransactWrite) -> None:
        transaction.condition_check(PaymentItem, payment.payment_id, condition=_ABSENT)
        transaction.save(_tombstone(payment))

    return Written(Outcome.ABANDONED, None) if _commit(write) else _standing(payment)


def decide(before: Payment, after: Payment, journal: Journal | None) -> Payment:
    """Takes a payment from one state to the next, with the journal of that step, in one transaction.

    Conditional on the state `before` was read in; when another worker was first, its result is returned instead. When
    the journal is there and the state is not (the other region's older copy of the payment won), the state follows.
    """

    def change(transaction: TransactWrite) -> None:
        unchanged = (PaymentItem.status == str(before.status)) & (PaymentItem.sequence == before.sequence)
        transaction.update(PaymentItem(before.payment_id), actions=_changes(after), condition=unchanged)

    def change_and_journal(transaction: TransactWrite) -> None:
        change(transaction)
        if journal:
            transaction.save(_journal_item(journal), condition=_NO_JOURNAL)

    if _commit(change_and_journal):
        return after
    standing = _payment(PaymentItem.get(before.payment_id, consistent_read=True))
    if journal and (standing.status, standing.sequence) == (before.status, before.sequence) and _commit(change):
        return after
    return standing


def journals(payment_id: str) -> list[Journal]:
    """All journals of the payment, oldest first."""
    found = (_journal(item) for item in JournalItem.query(payment_id, consistent_read=True))
    return sorted(found, key=lambda journal: journal.created_at)


def pending(shard: int, before: str, limit: int) -> list[tuple[str, str]]:
    """Ids of the shard's payments that have been pending since before this time, each with its `created_at`; the
    oldest of each bucket, at most `limit`."""
    return [
        (item.payment_id, item.created_at)
        for bucket in range(PENDING_BUCKETS)
        for item in PaymentItem.pending.query(
            shard * PENDING_BUCKETS + bucket, PaymentItem.created_at < before, limit=limit
        )
    ]


def _commit(write: Callable[[TransactWrite], None]) -> bool:
    """Commits a transaction; False when one of its conditions failed. A conflict with another one is tried again."""
    for delay in (*_CONFLICT_DELAYS_SECONDS, None):
        try:
            with TransactWrite(connection=connection()) as transaction:
                write(transaction)
        except TransactWriteError as error:
            codes = {reason.code for reason in error.cancellation_reasons if reason}
            if _CONDITION_FAILED in codes:
                return False
            if delay is None or not codes & _PASSING:
                raise
            time.sleep(random.uniform(0, delay))  # noqa: S311 - jitter
        else:
            break
    return True


def _changes(after: Payment) -> list[Action]:
    actions: list[Action] = [
        PaymentItem.status.set(str(after.status)),
        PaymentItem.updated_at.set(after.updated_at),
        PaymentItem.sequence.set(after.sequence),
        PaymentItem.pending_bucket.remove(),
    ]
    if after.failure:
        actions.append(PaymentItem.failure.set(asdict(after.failure)))
    return actions


def _standing(wanted: Payment) -> Written:
    """What stands where `wanted` could not be written."""
    standing = find(wanted.payment_id, consistent=True)
    if standing is None:
        if _get(_tombstone_id(wanted), consistent=True):
            return Written(Outcome.ABANDONED, None)
        raise ReplicationGap(wanted.payment_id)
    if standing.attempt == wanted.attempt:
        return Written(Outcome.WRITTEN, standing)
    if standing.fingerprint != wanted.fingerprint:
        return Written(Outcome.CONFLICT, standing)
    return Written(Outcome.EXISTS, standing)


def _get(key: str, consistent: bool) -> PaymentItem | None:
    try:
        return PaymentItem.get(key, consistent_read=consistent)
    except PaymentItem.DoesNotExist:
        return None


def _tombstone_id(payment: Payment) -> str:
    return f"{payment.payment_id}#{payment.attempt}"


def _tombstone(payment: Payment) -> PaymentItem:
    return PaymentItem(
        _tombstone_id(payment),
        merchant_id=payment.merchant_id,
        shard=payment.shard,
        fingerprint=payment.fingerprint,
        region=payment.region,
        status="abandoned",
        created_at=payment.created_at,
        updated_at=payment.updated_at,
    )


def _item(payment: Payment) -> PaymentItem:
    values: dict[str, Any] = {**asdict(payment), "status": str(payment.status)}
    if payment.pending:
        values["pending_bucket"] = _pending_bucket(payment)
    return PaymentItem(**{name: value for name, value in values.items() if value is not None})


def _pending_bucket(payment: Payment) -> int:
    return payment.shard * PENDING_BUCKETS + zlib.crc32(payment.payment_id.encode()) % PENDING_BUCKETS


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
