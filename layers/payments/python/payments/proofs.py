"""The proof that the ledger is what it was: Merkle trees of journals (RFC 6962, section 2.1), chained by hashes.

Journals of one origin region and shard are gathered into batches. A batch names the hash of the one before it, so the
newest hash vouches for every journal since the first. Pure, and small enough to be written again by whoever does not
trust this code: `docs/check_proof.py` is that.
"""

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

GENESIS = "0" * 64
"""What the first batch of a chain names as the hash before it."""

FEEDS = tuple(f"feed#{number}" for number in range(16))
"""Partitions of the feed: what was counted and is not sealed yet. One takes 1,000 write units a second."""

_LEAF, _NODE = b"\x00", b"\x01"


class InvalidBatch(ValueError):
    """An archived batch is not what it says: its hash, root or form is wrong. The message says which."""


def canonical(record: Mapping[str, Any]) -> str:
    """The one way to write a journal's item: JSON, keys sorted, no blanks, no escapes that JSON does not ask for."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def leaf(journal: str) -> bytes:
    """The leaf of a journal in its canonical form."""
    return sha256(_LEAF + journal.encode()).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root of the Merkle tree over one leaf or more."""
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return sha256(_NODE + root(leaves[:split]) + root(leaves[split:])).digest()


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of a leaf: the hashes that lead from it to the root, lowest first (RFC 6962, 2.1.1)."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*path(leaves[:split], index), root(leaves[split:])]
    return [*path(leaves[split:], index - split), root(leaves[:split])]


def root_of_path(start: bytes, index: int, count: int, hashes: Sequence[bytes]) -> bytes | None:
    """The root that an audit path leads to from the leaf at `index` of `count`; None when there is no such index or
    the path has the wrong length."""
    if not 0 <= index < count:
        return None
    if count == 1:
        return None if hashes else start
    if not hashes:
        return None
    split = _split(count)
    left = index < split
    part = root_of_path(start, index if left else index - split, split if left else count - split, hashes[:-1])
    if part is None:
        return None
    return sha256(_NODE + (part + hashes[-1] if left else hashes[-1] + part)).digest()


@dataclass(frozen=True)
class Batch:
    """Journals of one region and shard, in canonical form, as one link of their chain. Numbers count from 1."""

    region: str
    shard: int
    number: int
    previous: str
    sealed_at: str
    journals: tuple[str, ...]

    @cached_property
    def leaves(self) -> list[bytes]:
        """The leaves of the batch's tree, in its order."""
        return [leaf(journal) for journal in self.journals]

    @cached_property
    def root(self) -> str:
        """The tree's root, hex."""
        return root(self.leaves).hex()

    @cached_property
    def hash(self) -> str:
        """The batch's hash, hex, which the next one names."""
        return sha256(canonical(self.header).encode()).hexdigest()

    @property
    def header(self) -> dict[str, Any]:
        """What the hash is of."""
        return {
            "region": self.region,
            "shard": self.shard,
            "number": self.number,
            "previous": self.previous,
            "root": self.root,
            "sealed_at": self.sealed_at,
            "count": len(self.journals),
        }

    @property
    def key(self) -> str:
        """Where the batch is in the archive."""
        return f"{prefix(self.region, self.shard)}{self.number:012d}.json.gz"

    @property
    def content(self) -> str:
        """What the archive keeps of it."""
        return canonical({**self.header, "hash": self.hash, "journals": list(self.journals)})

    def archived(self) -> bytes:
        """The archive's object; the same batch always gives the same bytes."""
        return gzip.compress(self.content.encode(), mtime=0)


def feed_of(position: str) -> str:
    """The feed's partition of an item at a position, which is a sequence number of the ledger's stream."""
    return FEEDS[int(position) % len(FEEDS)]


def prefix(region: str, shard: int) -> str:
    """Where the chain of a region and shard is in the archive."""
    return f"journals/{region}/{shard:03d}/"


def parse(archived: bytes) -> Batch:
    """The batch of an archive's object.

    Raises `InvalidBatch` unless it says of itself, in canonical form and nothing more, what is true of its journals.
    """
    try:
        text = gzip.decompress(archived).decode()
        content = json.loads(text)
        batch = Batch(**{name: content[name] for name in _FIELDS} | {"journals": tuple(content["journals"])})
        right = _typed(batch) and text == batch.content
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidBatch(f"not a batch: {type(error).__name__}") from None
    if not right:
        raise InvalidBatch("its root, hash or count is not that of its journals, or its form is another")
    return batch


_FIELDS = ("region", "shard", "number", "previous", "sealed_at")


def _typed(batch: Batch) -> bool:
    """Whether the fields of an untrusted batch are of their types, and it has journals."""
    texts = (batch.region, batch.previous, batch.sealed_at, *batch.journals)
    numbers = (batch.shard, batch.number)
    return bool(batch.journals) and all(type(text) is str for text in texts) and all(type(n) is int for n in numbers)


def _split(count: int) -> int:
    """The largest power of two below `count`: how many leaves the left side has."""
    return 1 << (count - 1).bit_length() - 1
