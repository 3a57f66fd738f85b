"""The notary: takes what the feed has into rounds, and per round and shard seals one batch of the shard's chain.

The order is what makes it safe to stop anywhere, and for two to run at once: the round is written down, then the
batches are put into the archive, each before its head moves on, then the feed's items go, then the round is over. As
long as a head has not moved on in the round, the feed still has all of it; once the feed has lost an item, every head
has moved on.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from functions.projector import archive, feed, rounds
from functions.projector.rounds import ChainBroken, Head, Round
from payments import clock, identifiers, regions
from payments.proofs import Batch

MOST_BYTES = 16 * 1024 * 1024
"""Of canonical journals in a round. Were all of one shard, they would be one object of 3 MB: they compress well."""

MOST_ITEMS = 2000
"""Of the feed in a round; the round's item names them all and has at most 400 KB."""

_NO_SHARD = 0
"""The chain of what is no journal and whose id carries no shard."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was done."""

    rounds: int = 0
    batches: int = 0
    journals: int = 0


def seal(time_left: Callable[[], bool]) -> Sealed:
    """Seals what the feed has, round after round, until it is empty or no time is left. Raises `ChainBroken`."""
    done = Sealed()
    while under_way := _under_way():
        batches = work_off(under_way)
        journals = sum(len(batch.journals) for batch in batches)
        done = Sealed(done.rounds + 1, done.batches + len(batches), done.journals + journals)
        if not time_left():
            break
    return done


def work_off(under_way: Round) -> list[Batch]:
    """Seals the round's batches that are not sealed yet, and ends it. Raises `ChainBroken`."""
    # In this order: what is gone from the feed was sealed before, and then the heads show it.
    found = feed.read(under_way.feed)
    heads = rounds.heads()
    complete, sealed = len(found) == len(under_way.feed), []
    for shard, journals in _by_shard(found.values()).items():
        head = heads.get(shard, Head())
        if head.round >= under_way.number:
            continue
        if not complete:
            raise ChainBroken(f"the feed has lost items of round {under_way.number}")
        batch = Batch(regions.here(), shard, head.number + 1, head.hash, under_way.sealed_at, tuple(journals))
        archive.put(batch)
        rounds.advance(head, batch, under_way)
        sealed.append(batch)
    feed.delete(under_way.feed)
    rounds.end(under_way)
    return sealed


def _under_way() -> Round | None:
    """The round to work on: the one that was left, or a new one; None when there is nothing to seal."""
    last = rounds.current()
    while not last.feed:
        waiting = feed.first(MOST_ITEMS, MOST_BYTES)
        if not waiting:
            return None
        last = rounds.begin(last, waiting, clock.now())
    return last


def _by_shard(items: Iterable[list[str]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for journal in (line for lines in items for line in lines):
        found.setdefault(_shard(journal), []).append(journal)
    return dict(sorted(found.items()))


def _shard(journal: str) -> int:
    payment_id = json.loads(journal).get("payment_id")
    try:
        return identifiers.shard_of(payment_id)
    except (ValueError, TypeError, KeyError):
        return _NO_SHARD
