"""Payments and journals as the tables hold them: plain JSON values, to and from the domain's values."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from payments import accounts, identifiers
from payments.fees import NO_FEES, FeePlan
from payments.journal import Entry, Journal, Kind, Phase, Side
from payments.lifecycle import Dispute, Failure, Operation, Payment, ReviewDecision, Status

PENDING_BUCKETS = 8
"""Partitions of the pending index per shard: one takes 1,000 writes a second, a shard may have 1,600 charges."""

MERCHANT_BUCKETS = 8
"""Partitions of a merchant's list of payments and of a merchant's account history, for the same reason."""

REVIEW_QUEUE, REVIEW_BUCKETS = "open", 16
"""The list of what operators are to review, and its partitions, whose names are `open#0` to `open#15`."""

_AWAITING_CAPTURE = 1 << 16
"""Where the buckets of payments that wait for their merchant begin; before them wait those for the card network."""

MOST_ENTRIES = 40
"""A journal touches at most two balances per entry, and they must fit one transaction. The longest we write has six."""

LONGEST_JOURNAL_ID = 200
"""Bytes; part of a sort key in the history."""

_LONGEST_KEY, _LONGEST_ACCOUNT = 1024, 4096
"""Bytes of an account that is a key of a table, and of any other: a customer's id may have 500 characters."""

_LARGEST_AMOUNT = 10**17
"""Far above every limit of the platform, and far below what a counter (38 digits) can add up; what a journal's entries
come to together fits the 64 bits that reconciliation's files have for an amount."""

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_CURRENCY = re.compile(r"[A-Z]{3}")

_ALWAYS = ("payment_id", "merchant_id", "shard", "fingerprint", "attempt", "region", "amount", "currency", "capture")
_TOO = ("network_ref", "card", "fraud", "created_at", "updated_at", "sequence", "customer_id", "description")
_SUMS = ("amount_captured", "amount_released", "amount_refunded", "amount_charged_back")


@dataclass(frozen=True, slots=True)
class StoredJournal:
    """A journal as the ledger holds it, unchecked: what a check looks at. `region` is the one that wrote it."""

    payment_id: str
    journal_id: str
    kind: str
    created_at: str
    region: str
    sequence: int
    entries: tuple[Entry, ...]
    reason: str | None = None
    reverses: str | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "StoredJournal":
        """From a plain item. Raises `KeyError`, `ValueError`, `TypeError` or `AttributeError` when it is no journal at
        all, or one that could not be counted."""
        found = cls(
            record["payment_id"],
            record["journal_id"],
            record["kind"],
            record["created_at"],
            record["region"],
            int(record["sequence"]),
            tuple(_entry(line) for line in record["entries"]),
            record.get("reason"),
            record.get("reverses"),
        )
        _check(found)
        return found

    def journal(self) -> Journal:
        """The journal it stands for. Raises `UnbalancedJournal`, or `ValueError` for an unknown kind."""
        return Journal(
            self.payment_id,
            self.journal_id,
            Kind(self.kind),
            self.created_at,
            self.entries,
            self.sequence,
            self.reason,
            self.reverses,
        )


def journal_record(journal: Journal, region: str) -> dict[str, Any]:
    """The item of a journal that this region writes."""
    entries = [{**asdict(entry), "side": str(entry.side), "phase": str(entry.phase)} for entry in journal.entries]
    record = {**asdict(journal), "kind": str(journal.kind), "entries": entries, "region": region}
    return {name: value for name, value in record.items() if value is not None}


def payment_record(payment: Payment) -> dict[str, Any]:
    """The item of a payment, with its places in the lists that show it."""
    record = {name: getattr(payment, name) for name in (*_ALWAYS, *_TOO)}
    record |= {"merchant_bucket": merchant_bucket(payment.merchant_id, payment.payment_id)}
    record |= {"listed_as": listed_as(payment), **changing(payment)}
    record["metadata"] = payment.metadata or None
    if payment.fees != NO_FEES:
        record["fees"] = asdict(payment.fees)
    return {name: value for name, value in record.items() if value is not None}


def changing(payment: Payment) -> dict[str, Any]:
    """What a step changes of a payment's item; None is an attribute that is then not there."""
    return {
        "status": str(payment.status),
        "updated_at": payment.updated_at,
        "sequence": payment.sequence,
        "failure": asdict(payment.failure) if payment.failure else None,
        "dispute": asdict(payment.dispute) if payment.dispute else None,
        "outstanding": [asdict(operation) for operation in payment.outstanding] or None,
        **{name: getattr(payment, name) or None for name in _SUMS},
        **_waiting(payment),
        "review": review_bucket(payment.payment_id) if payment.in_review else None,
        "review_decision": asdict(payment.review_decision) if payment.review_decision else None,
    }


def state(record: Mapping[str, Any]) -> str:
    """Names the state that a payment's plain item is in: no two states that one region writes have the same."""
    return f"{record.get('sequence')}#{record.get('updated_at')}"


def payment_of(record: Mapping[str, Any]) -> Payment:
    """The payment of a plain item."""
    failure, dispute, fees = (record.get(name) for name in ("failure", "dispute", "fees"))
    decided = record.get("review_decision")
    known = {name: record.get(name) for name in (*_ALWAYS, *_TOO)}
    sums = {name: int(record.get(name) or 0) for name in _SUMS}
    return Payment(
        **{**known, **sums},  # type: ignore[arg-type]
        status=Status(record["status"]),
        metadata=record.get("metadata") or {},
        fees=FeePlan(**_integers(fees)) if fees else NO_FEES,
        failure=Failure(**failure) if failure else None,
        dispute=Dispute(**_integers(dispute)) if dispute else None,
        outstanding=tuple(Operation(**_integers(found)) for found in record.get("outstanding") or ()),
        review_decision=ReviewDecision(**decided) if decided else None,
        written_in=record.get("written_in"),
    )


def pending_bucket(shard: int, bucket: int, *, awaiting_capture: bool = False) -> int:
    """The partition of the pending index for a bucket, 0 to `PENDING_BUCKETS` - 1, of a shard."""
    return shard * PENDING_BUCKETS + bucket + (_AWAITING_CAPTURE if awaiting_capture else 0)


def merchant_bucket(merchant_id: str, payment_id: str) -> str:
    """The partition of a merchant's lists that this payment is in."""
    return f"{merchant_id}#{zlib.crc32(payment_id.encode()) % MERCHANT_BUCKETS}"


def review_bucket(payment_id: str) -> str:
    """The partition of the review queue that this payment is in."""
    return f"{REVIEW_QUEUE}#{zlib.crc32(payment_id.encode()) % REVIEW_BUCKETS}"


def listed_as(payment: Payment) -> str:
    """The payment's place in its merchant's list: by creation, and unique."""
    return f"{payment.created_at}#{payment.payment_id}"


def plain(image: Mapping[str, Any]) -> dict[str, Any]:
    """An item in DynamoDB's JSON as plain values; numbers are integers, because there are no others here."""
    return {name: _value(value) for name, value in image.items()}


def _check(journal: StoredJournal) -> None:
    """Raises `ValueError` or `TypeError` for what no table, key or sum of the projections could hold."""
    identifiers.shard_of(journal.payment_id)
    if not isinstance(journal.journal_id, str) or not isinstance(journal.region, str):
        raise TypeError("an id or a region is no text")
    if len(journal.journal_id.encode()) > LONGEST_JOURNAL_ID or not _TIME.fullmatch(journal.created_at):
        raise ValueError("its id or its time is none")
    if len(journal.entries) > MOST_ENTRIES:
        raise ValueError("it has too many entries")
    for entry in journal.entries:
        longest = _LONGEST_ACCOUNT if entry.account.startswith("customer:") else _LONGEST_KEY
        if not accounts.known(entry.account) or len(entry.account.encode()) > longest:
            raise ValueError("an account is none")
        if not _CURRENCY.fullmatch(entry.currency) or abs(entry.amount) > _LARGEST_AMOUNT:
            raise ValueError("a currency or an amount is none")


def _waiting(payment: Payment) -> dict[str, Any]:
    """The payment's place in the pending index: while the network owes an answer, or the merchant a capture."""
    network = payment.pending or bool(payment.outstanding)
    if not network and (payment.status is Status.FRAUD_BLOCKED or payment.failure or not payment.capturable):
        return {"pending_bucket": None, "pending_since": None}
    bucket = zlib.crc32(payment.payment_id.encode()) % PENDING_BUCKETS
    return {
        "pending_bucket": pending_bucket(payment.shard, bucket, awaiting_capture=not network),
        "pending_since": payment.updated_at if payment.outstanding else payment.created_at,
    }


def _entry(line: Mapping[str, Any]) -> Entry:
    return Entry(line["account"], Side(line["side"]), Phase(line["phase"]), int(line["amount"]), line["currency"])


def _integers(record: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as integers, whatever kind of number the store hands out."""
    return {name: value if value is None or isinstance(value, str) else int(value) for name, value in record.items()}


def _value(value: Mapping[str, Any]) -> Any:
    kind, content = next(iter(value.items()))
    match kind:
        case "N":
            return int(content)
        case "M":
            return plain(content)
        case "L":
            return [_value(item) for item in content]
        case "NULL":
            return None
        case _:
            return content
