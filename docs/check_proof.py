#!/usr/bin/env python3
"""Checks that a payment's journals are in the ledger's chains: python check_proof.py FILE [--anchor HASH]...

Nothing of the payment platform is needed, and nothing but Python's standard library. The proof is made by `payments
ledger prove`. What it must show, for each journal:

1. Its leaf, SHA-256(0x00 | journal), leads along its audit path to its batch's Merkle root (RFC 6962, section 2.1).
2. The batch's hash is the SHA-256 of its header, and each later batch of the chain names the hash of the one before it.
3. The last hash is the one the proof ends with. With --anchor (may be repeated) each chain must have one of these
   hashes, at or after its last journal: hashes that you wrote down yourself (`payments ledger anchors`), so that nobody
   can have made another chain since.

Whether these are all of a payment's journals, no such proof can say: `payments ledger verify` compares them all.
"""

import argparse
import hashlib
import json
import re
import sys
from typing import Any

GENESIS = "0" * 64
HEADER = {"region": str, "shard": int, "number": int, "previous": str, "root": str, "sealed_at": str, "count": int}


class Refused(Exception):
    """The proof does not prove what it says."""


def main() -> int:
    """Prints what was checked; 0 when the proof holds, 1 when not."""
    arguments = argparse.ArgumentParser(description="Checks a proof of `payments ledger prove`.")
    arguments.add_argument("file")
    arguments.add_argument("--anchor", action="append", default=[], help="a hash you wrote down; may be repeated")
    asked = arguments.parse_args()
    try:
        with open(asked.file, "rb") as file:
            lines = check(file.read(), asked.anchor)
    except (Refused, OSError) as error:
        print(f"REFUSED: {error}")
        return 1
    print("\n".join(lines))
    return 0


def check(content: bytes, anchors: list[str]) -> list[str]:
    """What the proof proves, in sentences. Raises `Refused`."""
    proof = parsed(content)
    need(isinstance(proof, dict) and set(proof) == {"chains", "payment_id"}, "it is no proof")
    payment, chains = proof["payment_id"], proof["chains"]
    need(isinstance(payment, str) and isinstance(chains, list) and bool(chains), "it is no proof")
    lines = [f"payment {payment}"]
    for chain in chains:
        lines += check_chain(chain, payment, anchors)
    journals = [row["journal"] for chain in chains for row in chain["journals"]]
    need(len(set(journals)) == len(journals), "a journal is in it twice")
    if anchors:
        lines.append(f"OK: {len(journals)} journals, vouched for by what you wrote down.")
    else:
        lines.append(f"OK: {len(journals)} journals. Compare the hashes above with those you wrote down (--anchor).")
    return lines


def check_chain(chain: Any, payment: str, anchors: list[str]) -> list[str]:
    """One region's chain, with the journals that are in it."""
    need(isinstance(chain, dict) and set(chain) == {"hash", "headers", "journals"}, "a chain has another form")
    headers, rows = chain["headers"], chain["journals"]
    need(isinstance(headers, list) and isinstance(rows, list) and bool(headers and rows), "a chain is empty")
    hashes = check_headers(headers)
    first, last = headers[0], headers[-1]
    end = hashes[last["number"]]
    need(chain["hash"] == end, "the chain does not end with the hash that it says")
    lines = [check_journal(row, payment, headers) for row in rows]
    numbers = [row["number"] for row in rows]
    need(min(numbers) == first["number"], "the chain begins before its journals")
    name = f"{first['region']}, shard {first['shard']}"
    lines.append(f"chain of {name}: batches {first['number']} to {last['number']}, {last['sealed_at']}, hash {end}")
    if anchors:
        vouching = [number for number, value in hashes.items() if value in anchors and number >= max(numbers)]
        need(bool(vouching), f"no anchor vouches for the chain of {name}")
        lines.append(f"  batch {vouching[0]} is what you wrote down")
    return lines


def check_headers(headers: list[Any]) -> dict[int, str]:
    """The hash of every batch by number; each names the one before it."""
    hashes: dict[int, str] = {}
    for header in headers:
        need(isinstance(header, dict) and set(header) == set(HEADER), "a batch has another form")
        need(all(type(header[name]) is kind for name, kind in HEADER.items()), "a batch has another form")
        need(header["count"] > 0 and header["number"] > 0, "a batch has another form")
        first = headers[0]
        need((header["region"], header["shard"]) == (first["region"], first["shard"]), "a batch is of another chain")
        need(header["number"] == first["number"] + len(hashes), "the batches are not numbered one after the other")
        before = hashes.get(header["number"] - 1)
        need(before is None or header["previous"] == before, f"batch {header['number']} does not follow the one before")
        need(header["number"] > 1 or header["previous"] == GENESIS, "the first batch names one before it")
        hashes[header["number"]] = hashlib.sha256(canonical(header).encode()).hexdigest()
    return hashes


def check_journal(row: Any, payment: str, headers: list[Any]) -> str:
    """One journal leads to the root of its batch, and is what it is said to be."""
    need(isinstance(row, dict) and set(row) == {"index", "journal", "number", "path"}, "a journal has another form")
    index, text, number, path = row["index"], row["journal"], row["number"], row["path"]
    right = type(index) is int and isinstance(text, str) and type(number) is int and isinstance(path, list)
    need(right and all(is_hash(node) for node in path), "a journal has another form")
    journal = parsed(text.encode() + b"\n")
    need(isinstance(journal, dict) and journal.get("payment_id") == payment, "a journal is of another payment")
    header: dict[str, Any] = next((found for found in headers if found["number"] == number), {})
    need(bool(header), "a journal's batch is not in the chain")
    need(journal.get("region") == header["region"], "a journal was written in another region")
    leaf = hashlib.sha256(b"\x00" + text.encode()).digest()
    root = root_of(leaf, index, header["count"], [bytes.fromhex(node) for node in path])
    need(root.hex() == header["root"], "a journal's audit path does not lead to its batch's root")
    return f"journal {number}/{index}: {text}"


def root_of(leaf: bytes, index: int, count: int, path: list[bytes]) -> bytes:
    """The root that the path leads to from leaf `index` of `count` (RFC 6962, 2.1.1, from the leaf upwards)."""
    need(0 <= index < count, "a journal has no such place in its batch")
    last = count - 1
    for node in path:
        need(last > 0, "an audit path is too long")
        if index % 2 or index == last:
            leaf = hashlib.sha256(b"\x01" + node + leaf).digest()
            while not index % 2 and index:
                index, last = index >> 1, last >> 1
        else:
            leaf = hashlib.sha256(b"\x01" + leaf + node).digest()
        index, last = index >> 1, last >> 1
    need(last == 0, "an audit path is too short")
    return leaf


def parsed(content: bytes) -> Any:
    """The JSON of a line; it must be written in the one canonical way, so that not a bit of it is free."""
    try:
        found = json.loads(content.decode())
        same = canonical(found).encode() + b"\n" == content
    except (ValueError, RecursionError) as error:
        raise Refused(f"it is no JSON: {error}") from None
    need(same, "it is not in canonical form")
    return found


def canonical(value: object) -> str:
    """JSON with sorted keys, no blanks, and no escapes that are not needed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def is_hash(text: object) -> bool:
    """Whether it is 32 bytes in lower-case hex."""
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) is not None


def need(holds: bool, otherwise: str) -> None:
    """Raises `Refused` unless it holds."""
    if not holds:
        raise Refused(otherwise)


if __name__ == "__main__":
    sys.exit(main())
