"""Stands in for the replication of DynamoDB global tables: `python -m local.replication`.

Per region one thread reads the streams of the global tables and one applies what the region lacks, so that a region
that is frozen or gone holds up nobody else; it catches up when it answers again. What converges, and why, is in
`convergence.py`. Lag and cut are dials (`dials.py`); streams are read also while the regions are cut off, so what a
region wrote before it is killed is not lost with it. `shards`, which in AWS is strongly consistent with a witness in a
third region, has a replicator of its own, without lag, that no cut concerns.
"""

import heapq
import json
import logging
import random
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any

from local.convergence import Change, Copies, Version
from local.dials import AT_ONCE, DialFile, Dials, Reader
from local.dynamo import Dynamo, NoAnswer, NotReached, Refused
from local.settings import GLOBAL_TABLES, REGIONS, WITNESSED_TABLES, Settings, settings

log = logging.getLogger("replication")

_BUSY_POLL, _IDLE_POLL, _BUSY_FOR = 0.025, 0.15, 2.0
_RETRY = 0.03
_UNREACHABLE_RETRY = 0.25
_PERIOD = 10.0
"""How long a region must have answered before writes of ours it never showed are written off."""
_SHUFFLED = 3600.0
"""Seconds among which what was written during a cut is spread when it is delivered: it comes in any order."""
_BLIND_AFTER = 20
"""Refused comparisons in a row (with the stream read in between) after which a change is written without comparing."""
_ITERATOR_LOST = ("ExpiredIteratorException", "TrimmedDataAccessException", "ResourceNotFoundException")


class Replicator:
    """What all threads share: the state of every table and, per region, a queue of items it lacks."""

    def __init__(self, regions: dict[str, Dynamo], dials: Reader, tables: tuple[str, ...] = GLOBAL_TABLES):
        self.regions, self.tables, self.dials = regions, tables, dials
        self.copies = {table: Copies(regions) for table in tables}
        self.changed = threading.Condition()
        self.queues: dict[str, list[tuple[float, str, str]]] = {region: [] for region in regions}
        self.queued: dict[str, set[tuple[str, str]]] = {region: set() for region in regions}
        self.applied: Counter[str] = Counter()
        self.answering: dict[str, float | None] = dict.fromkeys(regions)
        self.refusals: Counter[tuple[str, str, str]] = Counter()

    def enqueue(self, region: str, table: str, key: str, due: float) -> None:
        """The region is owed this item from `due` on (monotonic seconds). Call with `changed` held."""
        if (table, key) not in self.queued[region]:
            self.queued[region].add((table, key))
            heapq.heappush(self.queues[region], (due, table, key))
            self.changed.notify_all()

    def status(self) -> dict[str, Any]:
        """What `payments status` shows."""
        with self.changed:
            pending = {region: len(queue) for region, queue in self.queues.items()}
        answering = {region: since is not None for region, since in self.answering.items()}
        applied = dict(self.applied)
        return {"pending": pending, "applied": applied, "answering": answering}


class StreamReader:
    """Reads one region's streams and tells the replicator what they show."""

    def __init__(self, replicator: Replicator, region: str):
        self._replicator, self._region, self._dynamo = replicator, region, replicator.regions[region]
        self._arns: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self._iterators: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._positions: Counter[str] = Counter()
        self._clock = 0
        self._active = self._period = time.monotonic()

    def run(self) -> None:
        """Read for ever; a region that does not answer is asked again and again."""
        while True:
            try:
                seen = self.read_all()
                self._answers()
            except (NotReached, NoAnswer, Refused) as error:
                if self._replicator.answering[self._region] is not None:
                    log.warning("%s does not answer: %s", self._region, error)
                self._replicator.answering[self._region] = None
                self._arns.clear()
                time.sleep(_UNREACHABLE_RETRY)
                continue
            now = time.monotonic()
            self._active = now if seen else self._active
            time.sleep(_BUSY_POLL if now - self._active < _BUSY_FOR else _IDLE_POLL)

    def read_all(self) -> int:
        """Read each table's stream once; the number of records."""
        if len(self._arns) < len(self._replicator.tables):
            found = self._dynamo.streams()
            self._arns = {table: found[table] for table in self._replicator.tables if table in found}
            self._notice_new_tables()
        return sum(self._read(table) for table in self._arns)

    def _notice_new_tables(self) -> None:
        """A stream of another name is that of a table made anew: the region lost the old one, and is owed all of it."""
        for table, arn in self._arns.items():
            if self._known.setdefault(table, arn) == arn:
                continue
            log.warning("%s %s is a new table", self._region, table)
            self._known[table] = arn
            self._iterators.pop(table, None)
            self._last.pop(table, None)
            with self._replicator.changed:
                for key in self._replicator.copies[table].emptied(self._region):
                    self._replicator.enqueue(self._region, table, key, time.monotonic())

    def _read(self, table: str) -> int:
        try:
            if table not in self._iterators:
                self._iterators[table] = self._dynamo.iterator(self._arns[table], self._last.get(table))
            records, following = self._dynamo.records(self._iterators[table])
        except Refused as error:
            if error.code not in _ITERATOR_LOST:
                raise
            log.warning("%s %s: position in the stream lost: %s", self._region, table, error)
            if error.code != "ExpiredIteratorException":
                self._last.pop(table, None)
            self._iterators.pop(table, None)
            return 0
        with self._replicator.changed:
            for record in records:
                self._observe(table, record)
        self._iterators[table] = following
        return len(records)

    def _observe(self, table: str, record: dict[str, Any]) -> None:
        change = record["dynamodb"]
        self._last[table] = change["SequenceNumber"]
        self._positions[table] += 1
        self._clock = max(self._clock, written_at(change))
        version = Version(self._clock, self._region, self._positions[table])
        image = None if record["eventName"] == "REMOVE" else change["NewImage"]
        key = json.dumps(change["Keys"], sort_keys=True)
        for region in self._replicator.copies[table].observe(self._region, key, version, image):
            self._replicator.enqueue(region, table, key, due(version.milliseconds, self._replicator.dials()))

    def _answers(self) -> None:
        now = time.monotonic()
        if self._replicator.answering[self._region] is None:
            log.info("%s answers", self._region)
            self._period = now
        self._replicator.answering[self._region] = now
        if now - self._period > _PERIOD:
            self._period = now
            with self._replicator.changed:
                self._requeue()

    def _requeue(self) -> None:
        for table, copies in self._replicator.copies.items():
            copies.end_period(self._region)
            for key in copies.lacking(self._region):
                self._replicator.enqueue(self._region, table, key, time.monotonic())


class Applier:
    """Writes into one region what it lacks."""

    def __init__(self, replicator: Replicator, region: str):
        self._replicator, self._region, self._dynamo = replicator, region, replicator.regions[region]

    def run(self) -> None:
        """Apply for ever, each item when it is due."""
        while True:
            table, key = self._next()
            self.apply(table, key)

    def apply(self, table: str, key: str) -> None:
        """Bring one item of the region to the winner, or put it back into the queue."""
        copies, wait = self._replicator.copies[table], None
        with self._replicator.changed:
            change = copies.next_change(self._region, key)
        if change is None:
            return
        try:
            replaced = self._write(table, change)
        except (NotReached, Refused) as error:
            outcome, wait = copies.refused, self._delay(table, key, error)
        except NoAnswer as error:
            log.warning("%s: no answer to a write to %s: %s", self._region, table, error)
            outcome, wait = copies.unknown, _UNREACHABLE_RETRY
        with self._replicator.changed:
            if wait is None:
                copies.applied(self._region, change, replaced)
                self._replicator.applied[self._region] += 1
                self._replicator.refusals.pop((self._region, table, key), None)
                wait = 0.0 if copies.is_lacking(self._region, key) else None
            else:
                outcome(self._region, change)
            if wait is not None:
                self._replicator.enqueue(self._region, table, key, time.monotonic() + wait)

    def _write(self, table: str, change: Change) -> Any:
        blindly = self._replicator.refusals[self._region, table, change.key] >= _BLIND_AFTER
        keys = json.loads(change.key)
        if change.image is None:
            return self._dynamo.delete(table, change.expected, keys, blindly)
        return self._dynamo.put(table, change.image, change.expected, keys, blindly)

    def _delay(self, table: str, key: str, error: Exception) -> float:
        if isinstance(error, NotReached):
            return _UNREACHABLE_RETRY
        self._replicator.refusals[self._region, table, key] += 1
        if not (isinstance(error, Refused) and error.code == "ConditionalCheckFailedException"):
            log.error("%s refuses a write to %s: %s", self._region, table, error)
        return _RETRY

    def _next(self) -> tuple[str, str]:
        queue = self._replicator.queues[self._region]
        with self._replicator.changed:
            while True:
                wait = queue[0][0] - time.monotonic() if queue else None
                if wait is not None and (self._replicator.dials().apart or not self._answers()):
                    wait = max(wait, _UNREACHABLE_RETRY)
                if wait is not None and wait <= 0:
                    _, table, key = heapq.heappop(queue)
                    self._replicator.queued[self._region].discard((table, key))
                    return table, key
                self._replicator.changed.wait(wait)

    def _answers(self) -> bool:
        return self._replicator.answering[self._region] is not None


def due(written_ms: int, dials: Dials) -> float:
    """When an item written then (Unix time) is to arrive, as monotonic seconds; of what is cut off, in what order."""
    if dials.apart:
        return time.monotonic() - random.uniform(0, _SHUFFLED)
    late = written_ms + dials.lag_ms * random.uniform(0.5, 1)
    return time.monotonic() + max(0.0, late / 1000 - time.time())


def written_at(change: dict[str, Any]) -> int:
    """When the write happened, in milliseconds: the emulator's sequence numbers begin with it; else whole seconds."""
    sequence = change["SequenceNumber"]
    return int(sequence[:20]) if len(sequence) == 30 else int(float(change["ApproximateCreationDateTime"]) * 1000)


def start(replicator: Replicator) -> None:
    """Start the threads of every region."""
    for region in replicator.regions:
        for run in (StreamReader(replicator, region).run, Applier(replicator, region).run):
            threading.Thread(target=run, name=f"{region} {run.__qualname__}", daemon=True).start()


def main(at: Settings) -> None:
    """Replicate until told to stop, and keep `replication.json` current."""
    regions = {region: Dynamo(at.aws_url(region), region) for region in REGIONS}
    replicator = Replicator(regions, DialFile(at))
    witnessed = Replicator(regions, lambda: AT_ONCE, WITNESSED_TABLES)
    for one in (replicator, witnessed):
        start(one)
    file = at.path("replication.json")
    while True:
        file.with_suffix(".new").write_text(json.dumps(replicator.status() | {"witnessed": witnessed.status()}))
        file.with_suffix(".new").replace(file)
        time.sleep(0.25)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main(settings())
