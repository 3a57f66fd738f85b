"""Proofs for somebody who does not trust the platform: of one payment's journals, and what an auditor writes down."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local.ledger import Item, Read, Refused, Region
from local.ledger_archive import Archive
from local.ledger_verify import Anchors
from payments import proofs
from payments.proofs import Batch


@dataclass(frozen=True)
class Anchor:
    """The newest batch of a chain at some time; its hash vouches for every journal before."""

    region: str
    shard: int
    number: int
    hash: str
    sealed_at: str


def anchors(region: Region) -> Iterator[Anchor]:
    """The newest batch of each chain, from the archive. Raises `Refused` when one is not what its head says."""
    archive = Archive(region)
    for shard, head in sorted(region.heads().items()):
        newest = archive.newest(shard, head)
        yield Anchor(region.name, shard, newest.number, newest.hash, newest.sealed_at)


def noted(rows: list[dict[str, Any]]) -> dict[tuple[str, int], dict[int, str]]:
    """Anchors that were written down, by chain. Raises `Refused` when they are none."""
    found: dict[tuple[str, int], dict[int, str]] = {}
    try:
        for row in rows:
            chain = found.setdefault((str(row["region"]), int(row["shard"])), {})
            chain[int(row["number"])] = str(row["hash"])
    except (KeyError, TypeError, ValueError):
        raise Refused("these are no anchors: `payments ledger anchors --out FILE` writes them") from None
    return found


def prove(journals: list[Item], regions: dict[str, Region], until: Anchors | None = None) -> dict[str, Any]:
    """The proof that these journals of one payment are in their chains, as docs/check_proof.py reads it.

    Each chain goes on from the first batch with such a journal to the newest, or to the one `until` names. Raises
    `Refused` when a journal is in no batch, or the chain does not lead from it to its end.
    """
    if not journals:
        raise Refused("there are no journals of this payment")
    by_region: dict[str, list[Item]] = {}
    for journal in journals:
        by_region.setdefault(str(journal.get("region")), []).append(journal)
    unknown = set(by_region) - set(regions)
    if unknown:
        raise Refused(f"journals say that they were written in {', '.join(sorted(unknown))}: payments ledger verify")
    chains = [_chain(regions[name], found, until or {}) for name, found in sorted(by_region.items())]
    return {"chains": chains, "payment_id": journals[0]["payment_id"]}


def written(proof: dict[str, Any]) -> str:
    """The proof as a file: one line, in the one form that the check accepts."""
    return proofs.canonical(proof) + "\n"


def _chain(region: Region, journals: list[Item], until: Anchors) -> dict[str, Any]:
    """The part of the proof that one region's chain gives."""
    archive = Archive(region)
    shard = Read.of_record(journals[0], proofs.canonical(journals[0])).shard
    last = _last(region, archive, shard, until)
    proven: list[dict[str, Any]] = []
    for journal in journals:
        text = proofs.canonical(journal)
        batch = _batch_of(archive, shard, text, str(journal["created_at"]), last)
        index = batch.journals.index(text)
        path = [node.hex() for node in proofs.path(batch.leaves, index)]
        proven.append({"index": index, "journal": text, "number": batch.number, "path": path})
    headers = list(_headers(archive, shard, min(row["number"] for row in proven), last))
    return {"hash": last.hash, "headers": headers, "journals": proven}


def _last(region: Region, archive: Archive, shard: int, until: Anchors) -> Batch:
    """The batch where the proof ends: the newest, or the last one that was noted."""
    head = region.heads().get(shard)
    if head is None:
        raise Refused(f"{region.name} has no chain of shard {shard} yet: sealing takes a minute")
    known = until.get((region.name, shard))
    if not known:
        return archive.newest(shard, head)
    last = archive.batch(shard, max(known))
    if last.hash != known[max(known)]:
        raise Refused(f"{last.key} does not have the hash that was noted as an anchor: payments ledger verify")
    return last


def _batch_of(archive: Archive, shard: int, text: str, created_at: str, last: Batch) -> Batch:
    """The batch that has the journal. It was sealed after it was made: halving finds where to begin to look."""
    low, high = 1, last.number
    while low < high:
        middle = (low + high) // 2
        if archive.batch(shard, middle).sealed_at < created_at:
            low = middle + 1
        else:
            high = middle
    for number in range(low, last.number + 1):
        batch = archive.batch(shard, number)
        if text in batch.journals:
            return batch
    raise Refused(f"a journal is not sealed yet (it takes a minute), or was changed (payments ledger verify): {text}")


def _headers(archive: Archive, shard: int, first: int, last: Batch) -> Iterator[dict[str, Any]]:
    """The headers from a batch to the last. Raises `Refused` when one does not name the hash of the one before."""
    previous = ""
    for number in range(first, last.number + 1):
        batch = archive.batch(shard, number)
        if previous and batch.previous != previous:
            raise Refused(f"{batch.key} does not name the hash of the batch before: payments ledger verify")
        previous = batch.hash
        yield batch.header
    if previous != last.hash:
        raise Refused(f"the chain does not lead to {last.key}: payments ledger verify")
