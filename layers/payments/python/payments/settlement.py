"""What a journal means to settlement: the facts that reconciliation compares with what the card networks say.

Pure. A fact is what one journal did to a payment's claim on a card network (docs/reconciliation.md, "A fact"). The
signed sum of a journal's facts is what it adds to the networks' clearing accounts, whatever journal it is.
"""

from hashlib import md5


def part_of(reference: str, parts: int) -> int:
    """The part, 0 to `parts` - 1, that a reference belongs to: the first 32 bits of the MD5 of its UTF-8, modulo
    `parts`; 0 for what has no reference. MD5 because DuckDB has it, too; it only spreads."""
    return int(md5(reference.encode(), usedforsecurity=False).hexdigest()[:8], 16) % parts if reference else 0
