"""What arrives in the ledger's stream, record by record: read, checked and added up. Nothing here raises for what a
record holds: a journal that is wrong must be found, not stop the ones behind it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from payments import identifiers, projection, proofs, records
from payments.journal import totals
from payments.projection import Key, Sums
from payments.records import StoredJournal

LARGEST_JOURNAL = 100 * 1024
"""Bytes of the canonical item; more is none of ours, and would not fit where the projector writes it."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An item that was written to the ledger: as DynamoDB has it, plain, and in canonical form.

    `number` is the record's sequence number in the stream. `journal` is None when it is no journal at all: it is then
    in the proof, and in no balance. `fault` says what is wrong with it, if anything.
    """

    number: int
    image: Mapping[str, Any]
    item: Mapping[str, Any]
    line: str
    journal: StoredJournal | None = None
    fault: str | None = None
    sums: Sums = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`<payment_id>#<journal_id>`, the ledger's key."""
        return f"{self.item.get('payment_id')}#{self.item.get('journal_id')}"

    def of(self, region: str) -> bool:
        """Whether it goes into this region's feed: what the region wrote, and what no region has signed."""
        return self.journal is None or self.journal.region == region

    def unbalanced(self) -> Iterable[Key]:
        """The shards' items in which it is to be named: of the currencies that do not balance, or of all it has."""
        if self.journal is None or self.fault is None:
            return ()
        entries, created_at = self.journal.entries, self.journal.created_at
        found = {currency for (currency, _), total in totals(entries).items() if total}
        shard = projection.shard_account(identifiers.shard_of(self.journal.payment_id))
        currencies = sorted(found or {entry.currency for entry in entries})
        return [(shard, projection.period(currency, created_at)) for currency in currencies]


def number_of(record: Mapping[str, Any]) -> int:
    """The sequence number of a record of the stream."""
    return int(record["dynamodb"]["SequenceNumber"])


def is_journal(record: Mapping[str, Any]) -> bool:
    """Whether the record says that something was written.

    Journals are only ever inserted; a change is the other region's copy of the same one, replicated over it.
    """
    return bool(record["eventName"] == "INSERT")


def read(record: Mapping[str, Any]) -> Arrival:
    """The record with what it adds to balances. Raises nothing, whatever the item in it is."""
    number, image = number_of(record), record["dynamodb"]["NewImage"]
    item, line = _canonical(image)
    try:
        journal = StoredJournal.of(item)
        if len(line.encode()) > LARGEST_JOURNAL:
            raise ValueError("it is too large")
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return Arrival(number, image, item, line, fault=f"no journal: {type(error).__name__}: {error}")
    return Arrival(number, image, item, line, journal, _fault(journal), projection.sums([journal]))


def _canonical(image: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The plain item and its canonical form; of an item that has no plain form (a fraction), DynamoDB's own form."""
    try:
        item: Mapping[str, Any] = records.plain(image)
    except ValueError:
        item = image
    return item, proofs.canonical(item)


def _fault(journal: StoredJournal) -> str | None:
    """Why the journal could not have been built, or None."""
    try:
        journal.journal()
    except ValueError as error:
        return str(error)
    return None
