"""Conflicts: two different requests under one idempotency key, accepted in two regions that could not see each other.

Both journals are in the ledger, because their ids name the requests (`lifecycle.authorization_id`), but of the two
payments global tables keep one. Whoever sees the other one replaced keeps both here (`keep`); the card network, which
takes one request under a reference, says which of them stands (`functions/network/conflicts.py`), and `settle` makes
it so: everything in one transaction, and a record that stays. Safe to repeat, in any region.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pynamodb.transactions import TransactWrite

from payments import clock, identifiers, lifecycle, records, regions, replay
from payments.books import ReplicationGap
from payments.journal import Journal
from payments.lifecycle import Payment, Status
from payments.records import REVIEW_BUCKETS
from payments.store import ABSENT, NO_JOURNAL, commit, journal_item, payment_item, plain, read
from payments.tables import PaymentItem

OPEN, RESOLVED = "conflict", "conflict_resolved"
"""Statuses of the record, and the names of its lists in the index `review`, each in `REVIEW_BUCKETS` partitions."""

AT_NETWORK = "the card network took it first"
ONLY_ACCEPTED = "the other request was blocked"
STANDING = "the card network knows neither; it stood in the table"
"""Why one of two requests stands."""

_KEY, _ACKNOWLEDGED = "#conflict", "#conflict#acknowledged"
_WHY_MENDED = "another request under the same idempotency key stood here"


@dataclass(frozen=True, slots=True)
class Resolution:
    """Which request stands (its fingerprint) and why, when and in which region that was found out."""

    stands: str
    why: str
    at: str
    region: str


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Which operator has seen to a conflict, when and why; `key` and `fingerprint` are those of the request."""

    by: str
    at: str
    reason: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Both payments that were made under one id, as they were when one replaced the other, the replaced one first.

    `found_at` and `found_in` are when and in which region that was seen.
    """

    sides: tuple[Payment, Payment]
    found_at: str
    found_in: str
    resolution: Resolution | None = None

    @property
    def payment_id(self) -> str:
        """The id that both requests have."""
        return self.sides[0].payment_id

    @property
    def listed_as(self) -> str:
        """Its place in the lists of conflicts: by discovery, and unique."""
        return f"{self.found_at}#{self.payment_id}"

    def side(self, request: str) -> Payment | None:
        """The side of a request, by its `lifecycle.request_id`."""
        return next((side for side in self.sides if lifecycle.request_id(side.fingerprint) == request), None)

    def other(self, side: Payment) -> Payment:
        """The side that is not this one."""
        return next(found for found in self.sides if found.fingerprint != side.fingerprint)


def seen(old: Mapping[str, Any], new: Mapping[str, Any]) -> Conflict | None:
    """The conflict that a change of an item of the payments table shows (plain items); None for any other change.

    Two blocked charges are none: no money is meant, and nobody was told otherwise.
    """
    if not identifiers.is_identifier(old["payment_id"], "pay") or old["fingerprint"] == new["fingerprint"]:
        return None
    if "mending" in new or old["status"] == new["status"] == Status.FRAUD_BLOCKED:
        return None  # of the former: it is the end of a conflict that was found before
    return Conflict((records.payment_of(old), records.payment_of(new)), clock.now(), regions.here())


def overtaken(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a change of an item (plain items), which another region made to what this one had written, may have taken
    away what its journals say: both are the same request, and the other region did not go on from here. Two blocked
    charges have no journals."""
    if not identifiers.is_identifier(old["payment_id"], "pay") or old["fingerprint"] != new["fingerprint"]:
        return False
    return new.get("taken_from") != records.state(old) and not old["status"] == new["status"] == Status.FRAUD_BLOCKED


def keep(conflict: Conflict) -> bool:
    """Records a conflict; whether it is news. One that was resolved is open again when the request that does not stand
    has come back over the one that does."""
    known = find(conflict.payment_id)
    if known is None:
        return commit(lambda transaction: transaction.save(_item(conflict), condition=ABSENT))
    if known.resolution is None or known.resolution.stands == conflict.sides[1].fingerprint:
        return False
    again = replace(known, found_at=conflict.found_at, found_in=conflict.found_in, resolution=None)
    return commit(lambda transaction: transaction.save(_item(again), condition=_unchanged(known)))


def find(payment_id: str) -> Conflict | None:
    """The conflict of this payment id, read consistently, or None."""
    item = read(f"{payment_id}{_KEY}", consistent=True)
    return of_record(plain(item)) if item else None


def find_all(payment_ids: Iterable[str]) -> dict[str, Conflict]:
    """The conflicts of these payment ids, by id; eventually consistent."""
    keys = [payment_id + _KEY for payment_id in payment_ids]
    items = PaymentItem.batch_get(keys) if keys else ()
    return {found.payment_id: found for found in (of_record(plain(item)) for item in items)}


def acknowledge(conflict: Conflict, acknowledgement: Acknowledgement) -> Acknowledgement:
    """Notes that an operator has seen to a conflict, once; what stands after it.

    It has an item of its own, which nothing else writes: no region's older record can take its place.
    """
    first = conflict.sides[0]
    item = PaymentItem(
        conflict.payment_id + _ACKNOWLEDGED,
        merchant_id=first.merchant_id,
        shard=first.shard,
        fingerprint=acknowledgement.fingerprint,
        region=regions.here(),
        status="acknowledged",
        answer=asdict(acknowledgement),
        created_at=acknowledgement.at,
        updated_at=acknowledgement.at,
    )
    if commit(lambda transaction: transaction.save(item, condition=ABSENT)):
        return acknowledgement
    return acknowledgements([conflict.payment_id], consistent=True)[conflict.payment_id]


def acknowledgements(payment_ids: Iterable[str], *, consistent: bool = False) -> dict[str, Acknowledgement]:
    """Who has seen to the conflicts of these payment ids, by id; of those that somebody has."""
    keys = [payment_id + _ACKNOWLEDGED for payment_id in payment_ids]
    items = PaymentItem.batch_get(keys, consistent_read=consistent) if keys else ()
    return {item.payment_id.removesuffix(_ACKNOWLEDGED): Acknowledgement(**plain(item)["answer"]) for item in items}


def waiting(limit: int) -> Iterator[tuple[str, str]]:
    """Payment ids of open conflicts, each with when it was found; the oldest of each bucket, at most `limit`."""
    for bucket in range(REVIEW_BUCKETS):
        for item in PaymentItem.to_review.query(f"{OPEN}#{bucket}", limit=limit):
            yield item.payment_id.removesuffix(_KEY), item.listed_as.partition("#")[0]


def settle(conflict: Conflict, standing: Payment, resolution: Resolution, known: list[Journal]) -> Payment | None:
    """Resolves a conflict: the payment that stands, or None when others changed something meanwhile; look again.

    `standing` is what the table has, and `known` are the payment's journals. In one transaction the winner is put where
    the other stands, as its journals say it is; what the other one reserved is withdrawn; and the record says why.
    Raises `ReplicationGap` when the winner's journals are not all here, and `Contention`.
    """
    winner = next(side for side in conflict.sides if side.fingerprint == resolution.stands)
    loser, names = conflict.other(winner), {journal.journal_id for journal in known}
    withdrawal = lifecycle.withdrawal_journal(loser, resolution.at)
    reserved = lifecycle.authorization_id(loser.fingerprint) in names
    missing = [withdrawal] if reserved and withdrawal.journal_id not in names else []
    stands = standing
    if standing.fingerprint != winner.fingerprint:
        stands = _restored(winner, [*known, *missing], resolution.at)

    def write(transaction: TransactWrite) -> None:
        if stands is not standing:
            item = payment_item(stands, mending={"cause": _WHY_MENDED})
            transaction.save(item, condition=_as_read(standing))
        for journal in missing:
            transaction.save(journal_item(journal), condition=NO_JOURNAL)
        transaction.save(_item(replace(conflict, resolution=resolution)), condition=_unchanged(conflict))

    return stands if commit(write) else None


def of_record(item: Mapping[str, Any]) -> Conflict:
    """The conflict of a plain item."""
    first, second = (records.payment_of(side) for side in item["conflict"]["sides"])
    resolution = item["conflict"].get("resolution")
    found = Resolution(**resolution) if resolution else None
    return Conflict((first, second), item["created_at"], item["region"], found)


def _restored(side: Payment, known: list[Journal], at: str) -> Payment:
    """The payment of a side as its journals say it is. Raises `ReplicationGap`."""
    if reason := replay.ahead(side, known):
        raise ReplicationGap(f"{side.payment_id}: {reason}")
    return replace(replay.mended(side, known, at), updated_at=at)


def _as_read(payment: Payment) -> Any:
    """Holds while the payment is in the state it was read in."""
    same = (PaymentItem.sequence == payment.sequence) & (PaymentItem.updated_at == payment.updated_at)
    return same & (PaymentItem.status == str(payment.status)) & (PaymentItem.fingerprint == payment.fingerprint)


def _unchanged(conflict: Conflict) -> Any:
    """Holds while the record is as it was read."""
    return (PaymentItem.status == _status(conflict)) & (PaymentItem.updated_at == _updated_at(conflict))


def _status(conflict: Conflict) -> str:
    return RESOLVED if conflict.resolution else OPEN


def _updated_at(conflict: Conflict) -> str:
    return conflict.resolution.at if conflict.resolution else conflict.found_at


def _item(conflict: Conflict) -> PaymentItem:
    first, bucket = conflict.sides[0], zlib.crc32(conflict.payment_id.encode()) % REVIEW_BUCKETS
    content: dict[str, Any] = {"sides": [records.payment_record(side) for side in conflict.sides]}
    if conflict.resolution:
        content["resolution"] = asdict(conflict.resolution)
    return PaymentItem(
        f"{conflict.payment_id}{_KEY}",
        merchant_id=first.merchant_id,
        shard=first.shard,
        fingerprint=first.fingerprint,
        region=conflict.found_in,
        status=_status(conflict),
        review=f"{_status(conflict)}#{bucket}",
        listed_as=conflict.listed_as,
        conflict=content,
        created_at=conflict.found_at,
        updated_at=_updated_at(conflict),
    )
