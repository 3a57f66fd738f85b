"""What a journal means to settlement: the facts that reconciliation compares with what the card networks say.

Pure. A fact is what one journal did to a payment's claim on a card network (docs/reconciliation.md, "A fact"). The
signed sum of a journal's facts is what it adds to the networks' clearing accounts, whatever journal it is.
"""

import zlib


def part_of(reference: str, parts: int) -> int:
    """The part, 0 to `parts` - 1, that a reference belongs to: CRC-32 of its UTF-8, modulo `parts`."""
    return zlib.crc32(reference.encode()) % parts
