"""Balances summed anew from the ledger, and compared with those the projector kept; history looked for row by row.

The ledger goes on while it is read. What differs is therefore summed again after some seconds, and only what is then
the same difference counts; what changes in between is said to be moving, and is to be looked at when its day is over.
Sums lie in a file, so memory grows only with the number of differences.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from local.ledger import ACCOUNTS, BALANCES, LEDGER, Item, Read, Refused, Region
from payments import accounts, projection, proofs, records
from payments.clock import timestamp
from payments.projection import Key
from payments.records import StoredJournal

LOOKS, LOOK_SECONDS = 3, 5.0
"""How often a difference is looked at again, how many seconds apart."""

_UNSEEN_HOURS = 24
"""How long a stream keeps what the projector has not read."""

_COUNTERS = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
_MARKERS = "-"
_BATCH = 100
"""Keys that one BatchGetItem takes."""

_SUMS = "CREATE TABLE sums (account TEXT, period TEXT, counter TEXT, amount INTEGER,"
_KEYS = " PRIMARY KEY (account, period, counter)) WITHOUT ROWID"
_ADD = "INSERT INTO sums VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
_ROWS = "SELECT account, period, counter, amount FROM {} WHERE amount != 0"
_DIFFERING = (
    "SELECT account, period FROM (SELECT * FROM ({sums} EXCEPT {kept}) UNION SELECT * FROM ({kept} EXCEPT {sums}))"
    " GROUP BY account, period ORDER BY account, period"
).format(sums=_ROWS.format("sums"), kept=_ROWS.format("kept"))


@dataclass(frozen=True)
class Difference:
    """An item of `balances` that is not the sum of the journals; counters that are zero are left out."""

    key: Key
    rebuilt: dict[str, int]
    kept: dict[str, int]

    def __str__(self) -> str:
        names = sorted(name for name in {*self.rebuilt, *self.kept} if self.rebuilt.get(name) != self.kept.get(name))
        parts = (f"{name} is {self.kept.get(name, 0)}, not {self.rebuilt.get(name, 0)}" for name in names)
        return f"{self.key[0]} {self.key[1]}: {', '.join(parts)}"


@dataclass
class Outcome:
    """What a comparison came to. `missing` are rows of the history by their keys, with their journals."""

    journals: int = 0
    items: int = 0
    differences: list[Difference] = field(default_factory=list)
    moving: list[Difference] = field(default_factory=list)
    missing: dict[Key, Item] = field(default_factory=dict)
    rows: int = 0
    unreadable: list[str] = field(default_factory=list)
    """Items of the ledger that are no journals; they are in no sum."""

    @property
    def equal(self) -> bool:
        """Whether rebuilt equals incremental."""
        return not (self.differences or self.missing or self.unreadable)


class Rebuild:
    """The balances and the history of one region."""

    def __init__(
        self,
        region: Region,
        directory: Path,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self._region, self._sleep = region, sleep
        self._file = directory / "sums.sqlite"
        self._unseen_since = timestamp(now() - timedelta(hours=_UNSEEN_HOURS))

    def compare(self) -> Outcome:
        """Sums the whole ledger and compares; changes nothing."""
        outcome = Outcome()
        self._file.unlink(missing_ok=True)
        database = sqlite3.connect(self._file)
        database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SUMS + _KEYS)
        for journals in self._journals(outcome):
            self._add(database, journals)
            self._look_for_history(journals, outcome)
        differing = {difference.key: difference for difference in self._compared(database, outcome)}
        database.close()
        self._look_again(differing, outcome)
        outcome.missing = {key: item for key, item in outcome.missing.items() if self._absent(key, item)}
        return outcome

    def write(self, outcome: Outcome, *, unseen_too: bool = False) -> tuple[int, int]:
        """Puts right what differs, and history that is missing: how many items and rows were written.

        An item that has changed since it was compared is left. Raises `Refused` while the projector seems to be
        behind: what it has yet to count would be counted twice.
        """
        unseen = [key for key in outcome.missing if key[1] >= self._unseen_since]
        if unseen and not unseen_too:
            raise Refused(
                f"{len(unseen)} journals of the last {_UNSEEN_HOURS} hours have no history: the projector seems to be "
                "behind. Wait until it is not; if it will never see them, use --unseen-too"
            )
        serializer = TypeSerializer()
        for key, item in outcome.missing.items():
            row = {"account": key[0], "position": key[1], "journal": item}
            content = {name: serializer.serialize(value) for name, value in row.items()}
            self._region.dynamodb.put_item(TableName=ACCOUNTS, Item=content)
        return sum(self._put(difference) for difference in outcome.differences), len(outcome.missing)

    def _journals(self, outcome: Outcome | None = None) -> Iterator[list[tuple[StoredJournal, Item]]]:
        """The ledger, page by page: each journal with its plain item."""
        for items in self._region.scan(LEDGER):
            found = []
            for item in items:
                try:
                    record = records.plain(item)
                    journal = StoredJournal.of(record)
                    projection.sums([journal])
                    found.append((journal, record))
                except (KeyError, ValueError, TypeError, AttributeError) as error:
                    if outcome:
                        names = (next(iter(item[name].values())) for name in ("payment_id", "journal_id"))
                        outcome.unreadable.append(f"{'#'.join(names)}: {type(error).__name__}: {error}")
            if outcome:
                outcome.journals += len(found)
            yield found

    def _add(self, database: sqlite3.Connection, journals: list[tuple[StoredJournal, Item]]) -> None:
        sums = projection.sums(journal for journal, _ in journals)
        rows = ((*key, name, amount) for key, counter in sums.items() for name, amount in counter.items())
        database.executemany(_ADD, rows)

    def _compared(self, database: sqlite3.Connection, outcome: Outcome) -> Iterator[Difference]:
        """Periods that differ: `balances` has other counters than the ledger adds up to, or lacks them."""
        database.execute(_SUMS.replace("sums", "kept") + _KEYS)
        for items in self._region.scan(BALANCES):
            rows = [(*key, name, amount) for key, kept in _kept(items) for name, amount in kept.items()]
            database.executemany(_ADD.replace("sums", "kept"), rows)
        (outcome.items,) = database.execute(
            "SELECT count(*) FROM (SELECT account, period FROM sums UNION SELECT account, period FROM kept)"
        ).fetchone()
        query = "SELECT counter, amount FROM {} WHERE account = ? AND period = ? AND amount != 0"
        for key in database.execute(_DIFFERING).fetchall():
            rebuilt, kept = (dict(database.execute(query.format(table), key)) for table in ("sums", "kept"))
            yield Difference(key, rebuilt, kept)

    def _look_again(self, differing: dict[Key, Difference], outcome: Outcome) -> None:
        """Differences that stay as they are count; those that change are moving; the others are gone."""
        for _ in range(LOOKS):
            if not differing:
                break
            self._sleep(LOOK_SECONDS)
            now = self._differences(set(differing))
            outcome.differences += [found for key, found in now.items() if found == differing[key]]
            differing = {key: found for key, found in now.items() if found != differing[key]}
        outcome.moving += differing.values()
        outcome.differences.sort(key=lambda found: found.key)

    def _differences(self, keys: set[Key]) -> dict[Key, Difference]:
        """These items, summed and read once more."""
        rebuilt: dict[Key, Counter[str]] = {key: Counter() for key in keys}
        for journals in self._journals():
            for key, counter in projection.sums(journal for journal, _ in journals).items():
                if key in keys:
                    rebuilt[key].update(counter)
        found = {}
        for key in keys:
            kept = _sum(self._lanes(key))
            wanted = {name: amount for name, amount in rebuilt[key].items() if amount}
            if wanted != kept:
                found[key] = Difference(key, wanted, kept)
        return found

    def _look_for_history(self, journals: list[tuple[StoredJournal, Item]], outcome: Outcome) -> None:
        """Notes the rows of the history that are not there, or not as the journal is."""
        wanted = {key: record for journal, record in journals for key in history_keys(journal)}
        outcome.rows += len(wanted)
        keys = list(wanted)
        for start in range(0, len(keys), _BATCH):
            there = self._rows(keys[start : start + _BATCH])
            for key in keys[start : start + _BATCH]:
                if there.get(key) != _essence(wanted[key]):
                    outcome.missing[key] = wanted[key]

    def _rows(self, keys: Iterable[Key]) -> dict[Key, bytes]:
        """What the journals of these rows are, whichever region wrote them."""
        asked: dict[str, Any] = {
            ACCOUNTS: {"Keys": [{"account": {"S": key[0]}, "position": {"S": key[1]}} for key in keys]}
        }
        found = {}
        while asked:
            answer = self._region.dynamodb.batch_get_item(RequestItems=asked)
            for row in map(records.plain, answer["Responses"][ACCOUNTS]):
                found[row["account"], row["position"]] = _essence(row["journal"])
            asked = answer.get("UnprocessedKeys", {})
        return found

    def _absent(self, key: Key, item: Item) -> bool:
        """Whether the history lacks the journal still, also as the copy that this region wrote before the other's."""
        account, position = key
        if self._rows([key]).get(key) == _essence(item):
            return False
        day = datetime.fromisoformat(str(item["created_at"]))
        since, until = (timestamp(day + timedelta(days=days)) for days in (-1, 1))
        name = position.partition("#")[2]
        near = self._region.query(
            ACCOUNTS,
            "account = :account AND #position BETWEEN :since AND :until",
            {":account": account, ":since": since, ":until": until},
            ExpressionAttributeNames={"#position": "position"},
            ProjectionExpression="#position",
        )
        return not any(
            row["position"]["S"] != position and row["position"]["S"].partition("#")[2] == name for row in near
        )

    def _lanes(self, key: Key) -> list[Item]:
        """The items of a period, as they are now."""
        query = "account = :account AND begins_with(#period, :period)"
        values = {":account": key[0], ":period": key[1]}
        return list(self._region.query(BALANCES, query, values, ExpressionAttributeNames={"#period": "period"}))

    def _put(self, difference: Difference) -> bool:
        """Adds what is missing to a period's first item, unless somebody else has written one of its items since."""
        lanes = self._lanes(difference.key)
        if _sum(lanes) != difference.kept:
            return False
        first = {"account": {"S": difference.key[0]}, "period": {"S": difference.key[1]}}
        standing = next((lane for lane in lanes if lane["period"] == first["period"]), first)
        names = {*difference.rebuilt, *difference.kept}
        missing = {name: difference.rebuilt.get(name, 0) - difference.kept.get(name, 0) for name in names}
        had = counters(standing)
        wanted = {name: had.get(name, 0) + amount for name, amount in missing.items()}
        checks = [
            {"ConditionCheck": {"TableName": BALANCES, "Key": _key(lane), **_unchanged(lane, set(counters(lane)))}}
            for lane in lanes
            if lane is not standing
        ]
        update = {"TableName": BALANCES, "Key": first, **_unchanged(standing, names, wanted)}
        try:
            self._region.dynamodb.transact_write_items(TransactItems=[{"Update": update}, *checks])
        except self._region.dynamodb.exceptions.TransactionCanceledException:
            return False
        return True


def _key(item: Item) -> Item:
    return {name: item[name] for name in ("account", "period")}


def _unchanged(item: Item, names: set[str], wanted: dict[str, int] | None = None) -> dict[str, Any]:
    """The condition that these counters of an item are what they were, and the update that gives them other values."""
    ordered, had = sorted(names), counters(item)
    values = {f":o{n}": had.get(name, 0) for n, name in enumerate(ordered)}
    terms = (
        f"#n{n} = :o{n}" if name in had else f"(attribute_not_exists(#n{n}) OR #n{n} = :o{n})"
        for n, name in enumerate(ordered)
    )
    expression = {"ConditionExpression": " AND ".join(terms)}
    if wanted is not None:
        values |= {f":v{n}": wanted[name] for n, name in enumerate(ordered)}
        expression["UpdateExpression"] = "SET " + ", ".join(f"#n{n} = :v{n}" for n in range(len(ordered)))
    return {
        **expression,
        "ExpressionAttributeNames": {f"#n{n}": name for n, name in enumerate(ordered)},
        "ExpressionAttributeValues": {name: {"N": str(value)} for name, value in values.items()},
    }


def _kept(items: Iterable[Item]) -> Iterator[tuple[Key, dict[str, int]]]:
    """The counters of items of `balances` by account and period, without the markers."""
    for item in items:
        if item["period"]["S"] != _MARKERS:
            yield (item["account"]["S"], projection.without_lane(item["period"]["S"])), counters(item)


def _sum(items: Iterable[Item]) -> dict[str, int]:
    """The counters of several items together that are not zero."""
    found: Counter[str] = Counter()
    for item in items:
        found.update(counters(item))
    return {name: amount for name, amount in found.items() if amount}


def counters(item: Item) -> dict[str, int]:
    """The counters of an item of `balances` that are not zero."""
    amounts = {name: int(value["N"]) for name, value in item.items() if name.rpartition("/")[2] in _COUNTERS}
    return {name: amount for name, amount in amounts.items() if amount}


def _essence(item: Item) -> bytes:
    return Read.of_record(item, proofs.canonical(item)).essence


def history_keys(journal: StoredJournal) -> list[Key]:
    """Where the history has the journal: with each merchant whose accounts it moves."""
    owners = {accounts.owner(entry.account) for entry in journal.entries} - {None}
    position = f"{journal.created_at}#{journal.payment_id}#{journal.journal_id}"
    return [(records.merchant_bucket(str(owner), journal.payment_id), position) for owner in sorted(map(str, owners))]
