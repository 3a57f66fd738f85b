"""A settlement file as it arrives, gzip or not, becomes clean lines, block by block in little memory.

What no line may have is not taken out but marked, so that the row is found to be bad later.
"""

import gzip
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

LONGEST_LINE = 4_096
"""Bytes of a line that are read; a row of any layout is a tenth of it."""

LARGEST_FILE = 10 * 2**30
"""Bytes of an unzipped file: several times a network's day, and no bomb."""

CONTROL, TOO_LONG, NOT_UTF8 = "\x1a", "\x1b", "\ufffd"
"""What stands for any control character, at the end of a line that was cut, and for bytes that are no UTF-8."""

_BLOCK = 2**20
_KEPT = LONGEST_LINE + 8
"""Bytes of an unfinished line that are kept: enough to see that it is too long."""

_ID_DIGITS = 32
_MAGIC, _BOM = b"\x1f\x8b", b"\xef\xbb\xbf"
_CONTROLS = bytes(CONTROL.encode()[0] if (code < 32 and code != 10) or code == 127 else code for code in range(256))


class Unreadable(Exception):
    """The file cannot be read to its end; the message is the code of the refusal."""


class Content:
    """The content of a file; `file` is its id once all `blocks` are read."""

    def __init__(self, source: Path):
        self._source, self._digest = source, sha256()

    @property
    def file(self) -> str:
        """The first 32 hex digits of the SHA-256 of the content."""
        return self._digest.hexdigest()[:_ID_DIGITS]

    def blocks(self) -> Iterator[bytes]:
        """Whole lines, each with a `\\n` after it. Raises `Unreadable`: `damaged` or `too_large`."""
        rest, mark = b"", _BOM
        for block in self._unzipped():
            rest += block
            if end := rest.rfind(b"\n") + 1:
                yield _clean(rest[:end].removeprefix(mark))
                rest, mark = rest[end:], b""
            if len(rest) > _KEPT:
                rest = rest[:_KEPT]
        if rest := rest.removeprefix(mark):
            yield _clean(rest + b"\n")

    def _unzipped(self) -> Iterator[bytes]:
        size = 0
        with self._source.open("rb") as opened:
            zipped = opened.read(len(_MAGIC)) == _MAGIC
            opened.seek(0)
            for block in _unpacked(opened) if zipped else iter(lambda: opened.read(_BLOCK), b""):
                size += len(block)
                if size > LARGEST_FILE:
                    raise Unreadable("too_large")
                self._digest.update(block)
                yield block


def id_as_it_is(source: Path) -> str:
    """The id of a file that is unreadable: by its bytes as they arrived."""
    with source.open("rb") as opened:
        digest = sha256()
        for block in iter(lambda: opened.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()[:_ID_DIGITS]


def _unpacked(opened: BinaryIO) -> Iterator[bytes]:
    with gzip.open(opened) as unzipped:
        try:
            while block := unzipped.read(_BLOCK):
                yield block
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise Unreadable("damaged") from None


def _clean(lines: bytes) -> bytes:
    lines = _cut(lines.replace(b"\r\n", b"\n").translate(_CONTROLS))
    if lines.isascii():
        return lines
    return lines.decode(errors="replace").encode()


def _cut(lines: bytes) -> bytes:
    """Lines that are too long are cut, and marked. Looks at every few thousandth byte, not at every line."""
    kept, start = [], 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + LONGEST_LINE + 1) + 1
        if end:
            kept.append(lines[start:end])
        else:
            end = lines.index(b"\n", start) + 1
            kept.append(lines[start : start + LONGEST_LINE] + TOO_LONG.encode() + b"\n")
        start = end
    return b"".join(kept)
