"""The books: every read and write of the payments and ledger tables.

A payment and its journal are written in one transaction, conditional on the state it starts from. Every write may be
repeated, by a retry or by the other region: the second one finds the first and reports it.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from payments import clock, records, regions, replay
from payments.journal import Journal
from payments.lifecycle import Payment, Status, authorization_id, withdrawal_id
from payments.queues import TryLater
from payments.records import PENDING_BUCKETS, StoredJournal
from payments.store import ABSENT, NO_JOURNAL, commit, journal_item, payment_item, plain, read
from payments.store import Contention as Contention  # what callers of this module are raised
from payments.tables import JournalItem, PaymentItem

REPLICATION_PATIENCE = timedelta(seconds=30)
"""How long the journals of what another region has written may take to follow it here; usually it is a second."""


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


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command on a payment, under its own id: what was asked (`fingerprint`) and what was answered."""

    command_id: str
    merchant_id: str
    fingerprint: str
    answer: dict[str, Any]
    at: str


class ReplicationGap(TryLater):
    """Of what was written in one transaction only a part is here yet: tables replicate in no order. Try again."""


def find(payment_id: str, consistent: bool = False) -> Payment | None:
    """The payment, or None when there is none."""
    item = read(payment_id, consistent)
    return records.payment_of(plain(item)) if item else None


def find_all(payment_ids: Iterable[str]) -> dict[str, Payment]:
    """The payments of these ids, by id; of those that exist and can be read, and eventually consistent."""
    found: dict[str, Payment] = {}
    for item in PaymentItem.batch_get(list(payment_ids)):
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            found[item.payment_id] = records.payment_of(plain(item))
    return found


def current(payment_id: str, *, arrived_at: str | None = None) -> tuple[Payment, list[Journal]] | None:
    """The payment as its journals say it is, and these; None when there is no such payment.

    Global tables keep the last writer's payment, which may be older than the journals beside it: it is then mended
    here. Raises `ReplicationGap` when it is newer than the journals that have arrived, or may be, and `Contention` when
    others change it now. `arrived_at` (RFC 3339) is when another region's copy came here, where the caller knows.
    """
    payment = find(payment_id, consistent=True)
    if payment is None:
        return None
    known = journals(payment_id)  # read after the payment, so that in this region they are not older than it
    if reason := replay.ahead(payment, known):
        raise ReplicationGap(f"{payment_id}: {reason}")
    mended = replay.mended(payment, known, clock.now())
    if mended is not payment and _incomplete(payment, arrived_at):
        raise ReplicationGap(f"{payment_id}: another region has just written it")
    if mended is payment or mend(payment, mended, "the payment was older than its journals"):
        return mended, known
    raise Contention(payment_id)


def create(payment: Payment, journal: Journal) -> Written:
    """Writes a new payment and its first journal in one transaction, unless this attempt was abandoned.

    Safe to repeat: when the first try did land, the second says `WRITTEN` again. Raises `ReplicationGap`.
    """

    def write(transaction: TransactWrite) -> None:
        transaction.condition_check(PaymentItem, _tombstone_id(payment), condition=ABSENT)
        transaction.save(payment_item(payment), condition=ABSENT)
        transaction.save(journal_item(journal), condition=NO_JOURNAL)

    return Written(Outcome.WRITTEN, payment) if commit(write) else _standing(payment)


def record_blocked(payment: Payment) -> Written:
    """Writes a blocked charge, which has no journal, where there is neither a payment yet nor its first journal.

    Raises `ReplicationGap`.
    """

    def write(transaction: TransactWrite) -> None:
        first = authorization_id(payment.fingerprint)
        transaction.condition_check(JournalItem, payment.payment_id, first, condition=NO_JOURNAL)
        transaction.save(payment_item(payment), condition=ABSENT)

    return Written(Outcome.WRITTEN, payment) if commit(write) else _standing(payment)


def abandon(payment: Payment) -> Written:
    """Gives up this attempt: leaves a tombstone that refuses its late write, unless the payment is there already.

    `ABANDONED` when the tombstone stands; otherwise what stands there, unchanged. The tombstone has a key of its own,
    so that in no region and no order of replication it can replace a payment.
    """

    def write(transaction: TransactWrite) -> None:
        transaction.condition_check(PaymentItem, payment.payment_id, condition=ABSENT)
        transaction.save(_tombstone(payment))

    return Written(Outcome.ABANDONED, None) if commit(write) else _standing(payment)


def step(before: Payment, after: Payment, journal: Journal | None) -> Payment:
    """Takes a payment from one state to the next, with the journal of that step, in one transaction.

    Conditional on the state `before` was read in; when another worker was first, its result is returned instead. When
    the journal is there and the state is not (the other region's older copy of the payment won), the payment is mended.
    Raises `Contention` or `ReplicationGap`: try again.
    """

    def write(transaction: TransactWrite) -> None:
        _change(transaction, before, after)
        if journal:
            transaction.save(journal_item(journal), condition=NO_JOURNAL)

    if commit(write):
        return replace(after, written_in=regions.here())
    standing = find(before.payment_id, consistent=True)
    assert standing, "nothing deletes a payment"  # noqa: S101
    if journal and _same(standing, before):
        found = current(before.payment_id)
        return found[0] if found else standing
    return standing


def execute(before: Payment, after: Payment, steps: Sequence[Journal], command: CommandRecord) -> bool:
    """Carries out a command: the payment's next state, its journals, and the command's own record, in one transaction.

    False when the payment is no longer as it was read, or the command was carried out before: the caller looks again.
    Raises `ReplicationGap` when one of the command's journals is here without its record.
    """

    def write(transaction: TransactWrite) -> None:
        _change(transaction, before, after)
        for journal in steps:
            transaction.save(journal_item(journal), condition=NO_JOURNAL)
        transaction.save(_command_item(command, after), condition=ABSENT)

    try:
        if commit(write):
            return True
    except Contention:
        return False
    made = {journal.journal_id for journal in steps}
    if made & set(journal_ids(before.payment_id)) and command_record(command.command_id) is None:
        raise ReplicationGap(before.payment_id)
    return False


def mend(before: Payment, after: Payment, cause: str) -> bool:
    """Repairs a payment that contradicts its journals, and records the repair in the same transaction.

    The record is `<payment_id>#mended#<sequence after>#<time>`: what the repair changed and why. A repair is no
    step: two of them may come to the same sequence. False when the payment is no longer as it was read.
    """

    def write(transaction: TransactWrite) -> None:
        _change(transaction, before, after, mending=True)
        transaction.save(_mending_item(before, after, cause))

    return commit(write)


def command_record(command_id: str) -> CommandRecord | None:
    """What a command came to, or None when it was not carried out (here, yet)."""
    item = read(command_id, consistent=True)
    if item is None:
        return None
    found = plain(item)
    return CommandRecord(command_id, item.merchant_id, item.fingerprint, found["answer"], item.created_at)


def book(journal: Journal) -> Journal:
    """Writes a journal that belongs to no payment; what stands in its place when it was written before."""

    def write(transaction: TransactWrite) -> None:
        transaction.save(journal_item(journal), condition=NO_JOURNAL)

    if commit(write):
        return journal
    standing = find_journal(journal.payment_id, journal.journal_id)
    assert standing, "nothing deletes a journal"  # noqa: S101
    return standing


def find_journal(payment_id: str, journal_id: str) -> Journal | None:
    """The journal of this id, or None when there is none."""
    return next((found for found in journals(payment_id) if found.journal_id == journal_id), None)


def journals(payment_id: str) -> list[Journal]:
    """All journals of the payment, in the order of its steps."""
    found = [stored.journal() for stored in stored_journals(payment_id)]
    return sorted(found, key=lambda journal: (journal.sequence, journal.created_at))


def stored_journals(payment_id: str) -> list[StoredJournal]:
    """All journals of the payment as they are stored, unchecked."""
    return [StoredJournal.of(plain(item)) for item in JournalItem.query(payment_id, consistent_read=True)]


def journal_ids(payment_id: str) -> list[str]:
    """Ids of the payment's journals."""
    return [item.journal_id for item in JournalItem.query(payment_id, consistent_read=True)]


def disputed(payment_id: str, fingerprint: str) -> bool:
    """Whether this request was accepted under a payment id where another one stands, and it is not decided yet which of
    them is the payment (`conflicts`)."""
    names = journal_ids(payment_id)
    return authorization_id(fingerprint) in names and withdrawal_id(fingerprint) not in names


def pending(shard: int, before: str, limit: int, *, awaiting_capture: bool = False) -> list[tuple[str, str]]:
    """Ids of the shard's payments that have waited since before this time, each with since when; the longest of each
    bucket, at most `limit`. They wait for the card network, or, of authorizations only, for their merchant."""
    return [
        (item.payment_id, item.pending_since)
        for bucket in range(PENDING_BUCKETS)
        for item in PaymentItem.pending.query(
            records.pending_bucket(shard, bucket, awaiting_capture=awaiting_capture),
            PaymentItem.pending_since < before,
            limit=limit,
        )
    ]


def _incomplete(payment: Payment, arrived_at: str | None) -> bool:
    """Whether journals may be on their way that end what the payment seems to have lost: a refund, say. A blocked
    charge has none."""
    foreign = arrived_at is not None or payment.written_in not in (None, regions.here())
    since = clock.utc() - datetime.fromisoformat(max(payment.updated_at, arrived_at or ""))
    return foreign and abs(since) <= REPLICATION_PATIENCE and payment.status is not Status.FRAUD_BLOCKED


def _change(transaction: TransactWrite, before: Payment, after: Payment, *, mending: bool = False) -> None:
    """The payment's next state, if it is still in the one before.

    Where the one before is another region's, it is noted that this one goes on from it, so that nobody there need hold
    the payment against its journals. After a mending somebody shall.
    """
    unchanged = (PaymentItem.sequence == before.sequence) & (PaymentItem.updated_at == before.updated_at)
    unchanged &= (PaymentItem.status == str(before.status)) & (PaymentItem.fingerprint == before.fingerprint)
    if before.review_decision is None and after.review_decision:  # which is no step of the payment
        unchanged &= PaymentItem.review_decision.does_not_exist()
    actions = [*_actions(before, after), PaymentItem.written_in.set(regions.here())]
    if mending:
        actions.append(PaymentItem.taken_from.remove())
    elif before.written_in not in (None, regions.here()):
        actions.append(PaymentItem.taken_from.set(records.state(records.changing(before))))
    transaction.update(PaymentItem(before.payment_id), actions=actions, condition=unchanged)


def _actions(before: Payment, after: Payment) -> list[Action]:
    """What differs; attributes that are None go."""
    had, has = records.changing(before), records.changing(after)
    attributes = PaymentItem.get_attributes()
    return [
        attributes[name].remove() if value is None else attributes[name].set(value)
        for name, value in has.items()
        if value != had[name]
    ]


def _same(payment: Payment, other: Payment) -> bool:
    """Whether it is the same step of the same request: two regions may both have made the next one, each another."""
    state, others = ((found.status, found.sequence, found.updated_at, found.fingerprint) for found in (payment, other))
    return state == others


def _standing(wanted: Payment) -> Written:
    """What stands where `wanted` could not be written."""
    standing = find(wanted.payment_id, consistent=True)
    if standing is None:
        if read(_tombstone_id(wanted), consistent=True):
            return Written(Outcome.ABANDONED, None)
        raise ReplicationGap(wanted.payment_id)
    if standing.attempt == wanted.attempt:
        return Written(Outcome.WRITTEN, standing)
    if standing.fingerprint != wanted.fingerprint:
        if disputed(wanted.payment_id, wanted.fingerprint):
            raise ReplicationGap(f"{wanted.payment_id}: two requests were accepted")
        return Written(Outcome.CONFLICT, standing)
    return Written(Outcome.EXISTS, standing)


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


def _command_item(command: CommandRecord, payment: Payment) -> PaymentItem:
    return PaymentItem(
        command.command_id,
        merchant_id=command.merchant_id,
        shard=payment.shard,
        fingerprint=command.fingerprint,
        region=regions.here(),
        status="done",
        answer=command.answer,
        created_at=command.at,
        updated_at=command.at,
    )


def _mending_item(before: Payment, after: Payment, cause: str) -> PaymentItem:
    had, has = records.changing(before), records.changing(after)
    changed = [name for name in has if has[name] != had[name]]
    return PaymentItem(
        f"{before.payment_id}#mended#{after.sequence}#{after.updated_at}",
        merchant_id=before.merchant_id,
        shard=before.shard,
        fingerprint=before.fingerprint,
        region=regions.here(),
        status="mended",
        mending={
            "cause": cause,
            "before": {name: had[name] for name in changed},
            "after": {name: has[name] for name in changed},
        },
        created_at=after.updated_at,
        updated_at=after.updated_at,
    )
