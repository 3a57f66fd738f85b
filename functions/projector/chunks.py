"""Chunks: prefixes of a batch that fit one transaction. Pure."""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from functions.projector.arrivals import Arrival
from payments.projection import Key, Sums

MOST_BALANCES = 98
"""A transaction has at most 100 items; the feed's item and the marker are two of them."""

MOST_FEED_BYTES = 256 * 1024
"""Of canonical items in a feed item, before they are compressed: an item has at most 400 KB, and a transaction 4 MB."""


@dataclass(slots=True)
class Chunk:
    """Records that are counted together."""

    arrivals: list[Arrival] = field(default_factory=list)
    sums: Sums = field(default_factory=dict)
    size: int = 0
    """Bytes of the canonical items."""

    def fits(self, arrival: Arrival) -> bool:
        """Whether there is room for one more; there always is for the first."""
        if not self.arrivals:
            return True
        return (
            self.size + _size(arrival) <= MOST_FEED_BYTES
            and len(self.sums.keys() | arrival.sums.keys()) <= MOST_BALANCES
        )

    def add(self, arrival: Arrival) -> None:
        """Counts one more in."""
        self.arrivals.append(arrival)
        self.size += _size(arrival)
        for key, sums in arrival.sums.items():
            counters = self.sums.setdefault(key, Counter())
            for name, amount in sums.items():
                counters[name] += amount

    @property
    def first_unbalanced(self) -> dict[Key, str]:
        """The first journal that is wrong, by the shard's item that names it."""
        found: dict[Key, str] = {}
        for arrival in self.arrivals:
            for key in arrival.unbalanced():
                found.setdefault(key, arrival.name)
        return found


def cut(arrivals: Iterable[Arrival]) -> Iterator[Chunk]:
    """The chunks of a batch, in order; every record is in one."""
    chunk = Chunk()
    for arrival in arrivals:
        if not chunk.fits(arrival):
            yield chunk
            chunk = Chunk()
        chunk.add(arrival)
    if chunk.arrivals:
        yield chunk


def pack(lines: Iterable[str]) -> bytes:
    """Canonical items, one per line, as the feed holds them. JSON has no line feed of its own in it."""
    return zlib.compress("\n".join(lines).encode())


def unpack(packed: bytes) -> list[str]:
    """What was packed. Not `splitlines`: JSON may have other characters in it that end a line for Python."""
    return zlib.decompress(packed).decode().split("\n")


def _size(arrival: Arrival) -> int:
    return len(arrival.line.encode())
