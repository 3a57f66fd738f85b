"""Names of discrepancies in paths. They are made of what strangers wrote into files: any character may be in them.

Letters, digits, `.`, `_`, `~` and `-` stand for themselves, each byte of anything else is `=` and two hex digits
(`capture#cap_…` is `capture=23cap_…`). No gateway, proxy or router reads anything into that.
"""

import re
from urllib.parse import unquote

from payments.errors import NotFound

_PLAIN = re.compile(r"[^A-Za-z0-9._~-]")
_ESCAPED = re.compile(r"(?:[A-Za-z0-9._~-]|=[0-9A-F]{2})+")
_BYTE = re.compile(r"=([0-9A-F]{2})")


def identifier(network_ref: str, record: str) -> str:
    """What the paths have after `discrepancies/`."""
    return f"{escaped(network_ref)}/{escaped(record)}"


def escaped(name: str) -> str:
    """A name as it stands in a path."""
    return _PLAIN.sub(lambda found: "".join(f"={byte:02X}" for byte in found[0].encode()), name)


def unescaped(part: str) -> str:
    """The name of a path's part, which a client may have percent-encoded besides. Raises `NotFound`."""
    part = unquote(part)
    if not _ESCAPED.fullmatch(part):
        raise not_found()
    try:
        return _BYTE.sub(lambda found: chr(int(found[1], 16)), part).encode("latin-1").decode()
    except UnicodeDecodeError:
        raise not_found() from None


def not_found() -> NotFound:
    """There is no such discrepancy."""
    return NotFound("discrepancy_not_found", "There is no such discrepancy.")
