"""Is the ledger what it was when it was written? Compares the tables with the chains, and names what is not.

The order makes it right while charges go on: first what is sealed or waits in the feed, which must then be in the
tables; then the tables; then what was sealed meanwhile, which must explain the rest. The leaves of all journals lie
in a file (SQLite, some 800 bytes per journal for two regions: one row per chain or feed that has it, one per table);
memory is needed for a page per segment, the objects that are read ahead, and nothing that grows with the ledger.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local.ledger import LEDGER, Read, Region
from local.ledger_archive import Archive, Chain, Finding
from payments.clock import timestamp

UNSEALED_MINUTES = 10
"""How old a journal may be that neither is sealed nor waits for it: the projector and the notary take a minute each."""

_SETTLING_TRIES, _SETTLING_SECONDS = 20, 2.0
"""How often, how many seconds apart, chains are looked at again whose head is not their end: the notary's at work."""

_TABLES = """
CREATE TABLE sealed (name TEXT, region TEXT, created_at TEXT, leaf BLOB, essence BLOB, place TEXT, later INTEGER);
CREATE TABLE found (copy TEXT, name TEXT, region TEXT, created_at TEXT, leaf BLOB, essence BLOB);
"""
_INDEXES = """
CREATE INDEX sealed_name ON sealed (name, leaf, region, essence);
CREATE INDEX found_name ON found (copy, name);
"""
_FEED = "feed"

Anchors = Mapping[tuple[str, int], Mapping[int, str]]
"""Hashes that were noted, by region and shard and number."""


class Leaves:
    """What the chains and feeds, and what the tables say, side by side."""

    def __init__(self, file: Path):
        self._database = sqlite3.connect(file)
        self._database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _TABLES)

    def seal(self, reads: Iterable[Read], place: str, later: bool) -> None:
        """Journals of a batch or a feed; `later` when the tables were read before."""
        rows = ((read.name, read.region, read.created_at, read.leaf, read.essence, place, later) for read in reads)
        self._database.executemany("INSERT INTO sealed VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def find(self, copy: str, reads: Iterable[Read]) -> None:
        """Journals of a region's copy of the table."""
        rows = ((copy, read.name, read.region, read.created_at, read.leaf, read.essence) for read in reads)
        self._database.executemany("INSERT INTO found VALUES (?, ?, ?, ?, ?, ?)", rows)

    def index(self) -> None:
        """To be called when everything is in."""
        self._database.executescript(_INDEXES)

    def count(self, query: str, *values: object) -> int:
        """The number that a query gives."""
        return int(self._database.execute(query, values).fetchone()[0])

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """The rows that a query gives, one at a time."""
        yield from self._database.execute(query, values)

    def sealed(self, name: str) -> list[tuple[str, bytes, str]]:
        """Region, essence and place of everything that was sealed under a name."""
        query = "SELECT region, essence, place FROM sealed WHERE name = ? ORDER BY place = ?"
        return self._database.execute(query, (name, _FEED)).fetchall()


class Verification:
    """One run over the ledgers of these regions. `counts` says afterwards how much was looked at.

    Of journals that `others` wrote, regions that are not looked at, it is only counted that they are there.
    """

    def __init__(
        self,
        regions: list[Region],
        directory: Path,
        anchors: Anchors | None = None,
        others: Collection[str] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._regions, self._anchors = {region.name: region for region in regions}, anchors or {}
        self._leaves = Leaves(directory / "leaves.sqlite")
        self._chains: dict[tuple[str, int], Chain] = {}
        self._others = frozenset(others) - set(self._regions)
        self._sleep = sleep
        self._oldest = timestamp(now() - timedelta(minutes=UNSEALED_MINUTES))
        self._now = now
        self.counts: Counter[str] = Counter()

    def run(self) -> Iterator[Finding]:
        """What is wrong, as it is found."""
        yield from self._read_what_is_sealed(later=False)
        for name, region in self._regions.items():
            for items in region.scan(LEDGER):
                self._leaves.find(name, [Read.of_item(item) for item in items])
        yield from self._settle()
        self._leaves.index()
        yield from self._twice()
        for copy in self._regions:
            yield from self._changed_or_inserted(copy)
            yield from self._removed(copy)
        self._count()

    def _read_what_is_sealed(self, *, later: bool) -> Iterator[Finding]:
        """Feeds first: what is sealed while the chains are read is then in both, and in none it cannot be."""
        for name, region in self._regions.items():
            yield from self._read_feed(region, later)
            archive = Archive(region)
            noted = {shard for origin, shard in self._anchors if origin == name}
            for shard in sorted(archive.shards() | set(region.heads()) | noted):
                known = self._anchors.get((name, shard))
                chain = self._chains.setdefault((name, shard), Chain(archive, shard, known))
                yield from self._follow(chain, later)

    def _read_feed(self, region: Region, later: bool) -> Iterator[Finding]:
        strangers = 0
        for texts in region.feed():
            reads, foreign = _read(texts, region.name)
            self._leaves.seal(reads, _FEED, later)
            strangers += foreign
        if strangers and later:
            yield Finding("foreign", f"feed of {region.name}", f"{strangers} lines are no journals of this region")

    def _follow(self, chain: Chain, later: bool) -> Iterator[Finding]:
        for found in chain.follow():
            if isinstance(found, Finding):
                yield found
                continue
            self.counts["batches"] += 1
            reads, foreign = _read(found.journals, found.region, found.shard)
            self._leaves.seal(reads, chain.name(found.number), later)
            if foreign:
                yield Finding("foreign", chain.name(found.number), f"{foreign} lines are no journals of its shard")

    def _settle(self) -> Iterator[Finding]:
        """Reads on until every chain ends with its head; says which do not."""
        yield from self._read_what_is_sealed(later=True)
        for _ in range(_SETTLING_TRIES):
            if not any(self._differing()):
                return
            self._sleep(_SETTLING_SECONDS)
            yield from self._read_what_is_sealed(later=True)
        yield from self._differing()

    def _differing(self) -> Iterator[Finding]:
        heads = {name: region.heads() for name, region in self._regions.items()}
        for (region, shard), chain in sorted(self._chains.items()):
            yield from chain.compared(heads[region].get(shard))

    def _twice(self) -> Iterator[Finding]:
        """Of one name only one journal may be sealed, unless each region wrote the same one."""
        query = (
            "SELECT name, COUNT(DISTINCT leaf), COUNT(DISTINCT region), COUNT(DISTINCT essence) FROM sealed"
            " GROUP BY name HAVING COUNT(DISTINCT leaf) > 1"
        )
        for name, leaves, regions, essences in self._leaves.rows(query):
            if leaves == regions and essences == 1:
                self.counts["written twice"] += 1
            else:
                places = ", ".join(place for _, _, place in self._leaves.sealed(name))
                yield Finding("conflict", name, f"different journals are sealed under this id: {places}")

    def _changed_or_inserted(self, copy: str) -> Iterator[Finding]:
        """Journals of the table that are not, as they are there, in a chain or feed."""
        query = (
            "SELECT name, region, created_at, leaf, essence FROM found WHERE copy = ? AND NOT EXISTS"
            " (SELECT 1 FROM sealed WHERE sealed.name = found.name AND sealed.leaf = found.leaf)"
        )
        for name, region, created_at, leaf, essence in self._leaves.rows(query, copy):
            sealed = self._leaves.sealed(name)
            excuse = self._excuse(region, created_at, essence, sealed) if leaf else None
            if excuse:
                self.counts[excuse] += 1
            elif sealed:
                yield Finding("changed", name, f"the table in {copy} has it otherwise than {sealed[0][2]}")
            else:
                text = f"the table in {copy} has it, no chain and no feed (or the projector is far behind)"
                yield Finding("inserted", name, text)

    def _excuse(self, region: str, created_at: str, essence: bytes, sealed: list[tuple[str, bytes, str]]) -> str | None:
        """What a journal is that nobody has sealed, when there is nothing wrong with it."""
        elsewhere = region in self._others
        if not elsewhere and not self._young(created_at):
            return None
        if sealed and any(origin == region or other != essence for origin, other, _ in sealed):
            return None
        if sealed:
            return "written twice, one not sealed yet"
        return "of other regions, not looked at" if elsewhere else "not sealed yet"

    def _removed(self, copy: str) -> Iterator[Finding]:
        """Journals of a chain or feed that the table does not have, though it was read later."""
        query = (
            "SELECT name, MIN(region), MAX(created_at), MIN(place) FROM sealed WHERE NOT later AND NOT EXISTS"
            " (SELECT 1 FROM found WHERE copy = ? AND found.name = sealed.name) GROUP BY name"
        )
        for name, region, created_at, place in self._leaves.rows(query, copy):
            if region != copy and self._young(created_at):
                self.counts["not replicated yet"] += 1
            else:
                yield Finding("removed", name, f"{place} has it, the table in {copy} does not")

    def _young(self, created_at: str) -> bool:
        return self._oldest <= created_at <= timestamp(self._now() + timedelta(minutes=1))

    def _count(self) -> None:
        count = self._leaves.count
        for copy in self._regions:
            self.counts[f"journals in {copy}"] = count("SELECT COUNT(*) FROM found WHERE copy = ?", copy)
        sealed = "SELECT COUNT(DISTINCT leaf) FROM sealed WHERE place != ?"
        self.counts["journals sealed"] = count(sealed, _FEED)
        again = "SELECT COUNT(*) FROM (SELECT DISTINCT leaf, place FROM sealed WHERE place != ?)"
        self.counts["sealed again"] = count(again, _FEED) - self.counts["journals sealed"]
        feed = (
            "SELECT COUNT(DISTINCT leaf) FROM sealed WHERE place = ? AND NOT EXISTS"
            " (SELECT 1 FROM sealed AS batch"
            " WHERE batch.name = sealed.name AND batch.leaf = sealed.leaf AND batch.place != ?)"
        )
        self.counts["waiting in the feed"] = count(feed, _FEED, _FEED)
        self.counts["chains"] = len(self._chains)


def _read(texts: Sequence[str], region: str, shard: int | None = None) -> tuple[list[Read], int]:
    """The journals, and how many of the texts are none of this region and shard, or none at all."""
    reads, right = [], 0
    for text in texts:
        with suppress(ValueError, TypeError):
            reads.append(Read.of_text(text))
            right += reads[-1].region == region and shard in (None, reads[-1].shard)
    return reads, len(texts) - right
