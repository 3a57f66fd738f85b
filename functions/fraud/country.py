"""The country of an IP address, from a file in MaxMind's DB format (version 2.0 of its specification), memory-mapped.

What is read of the format is what a country needs: its own reader is 25 ms of import less than maxminddb, and needs no
extension module. The file is the one of the package python-geoacumen.
"""

from __future__ import annotations

import mmap
import socket
from importlib.util import find_spec
from pathlib import Path
from struct import unpack_from
from typing import Any

_METADATA = b"\xab\xcd\xefMaxMind.com"
# Types of the data section, by the control byte's first three bits; an extended type is 7 and the next byte.
_EXTENDED, _POINTER, _TEXT, _DOUBLE, _MAP, _ARRAY, _BOOLEAN = 0, 1, 2, 3, 7, 11, 14
_POINTER_BASE = (0, 2048, 526336, 0)


class CountryUnavailable(Exception):
    """The file of countries is missing or not of this format."""


class Countries:
    """A country for every address that the file knows."""

    def __init__(self, path: Path) -> None:
        """Map the file. Raises CountryUnavailable."""
        try:
            with path.open("rb") as file:
                self._bytes: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            start = self._bytes.rfind(_METADATA)
            about, _ = self._value(start + len(_METADATA), start + len(_METADATA))
            self._nodes, self._bits = about["node_count"], about["record_size"]
            self._data = self._nodes * self._bits // 4 + 16
            self._skip = 96 if about["ip_version"] == 6 else 0
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise CountryUnavailable(f"{path}: {error!r}") from error
        if start < 0 or self._bits not in (24, 28, 32):
            raise CountryUnavailable(f"{path}: not a database of MaxMind's format")

    def __call__(self, ip: str) -> str | None:
        """ISO 3166-1 alpha-2 code of an IPv4 or IPv6 address in text, or None: unknown, private, or no address."""
        packed = _packed(ip)
        if packed is None or (len(packed) == 16 and not self._skip):
            return None
        node = 0
        for _ in range(self._skip if len(packed) == 4 else 0):
            node = self._child(node, 0)
            if node >= self._nodes:
                return None
        number = int.from_bytes(packed)
        for position in range(len(packed) * 8 - 1, -1, -1):
            if node >= self._nodes:
                break
            node = self._child(node, number >> position & 1)
        if node <= self._nodes:
            return None
        found, _ = self._value(self._data + node - self._nodes - 16, self._data)
        code = found.get("country", {}).get("iso_code") if isinstance(found, dict) else None
        return code if isinstance(code, str) and len(code) == 2 else None

    def _child(self, node: int, bit: int) -> int:
        data = self._bytes
        if self._bits == 28:
            at = node * 7
            high: int = data[at + 3] & 15 if bit else data[at + 3] >> 4
            return high << 24 | int.from_bytes(bytes(data[at + 4 * bit : at + 4 * bit + 3]))
        width = self._bits // 8
        at = (node * 2 + bit) * width
        return int.from_bytes(bytes(data[at : at + width]))

    def _value(self, at: int, base: int) -> tuple[Any, int]:
        """The value at a position, pointers counted from `base`, and the position after it."""
        data = self._bytes
        control = data[at]
        kind, size, at = control >> 5, control & 31, at + 1
        if kind == _POINTER:
            length = (size >> 3) + 1
            high = 0 if length == 4 else (size & 7) << 8 * length
            target = high + int.from_bytes(data[at : at + length]) + _POINTER_BASE[length - 1]
            return self._value(base + target, base)[0], at + length
        if kind == _EXTENDED:
            kind, at = data[at] + 7, at + 1
        if size > 28:
            extra = size - 28
            size = (29, 285, 65821)[extra - 1] + int.from_bytes(data[at : at + extra])
            at += extra
        if kind == _MAP:
            pairs = {}
            for _ in range(size):
                name, at = self._value(at, base)
                pairs[name], at = self._value(at, base)
            return pairs, at
        if kind == _ARRAY:
            members = []
            for _ in range(size):
                member, at = self._value(at, base)
                members.append(member)
            return members, at
        if kind == _BOOLEAN:
            return bool(size), at
        raw = data[at : at + size]
        if kind == _TEXT:
            return raw.decode(), at + size
        return unpack_from(">d", raw)[0] if kind == _DOUBLE else int.from_bytes(raw), at + size


def _packed(ip: str) -> bytes | None:
    """4 or 16 bytes; an IPv4 address that is written as IPv6 is the IPv4 address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            packed = socket.inet_pton(family, ip)
        except (OSError, ValueError):
            continue
        return packed[12:] if packed[:12] == bytes(10) + b"\xff\xff" else packed
    return None


def packaged() -> Path:
    """Where the file of the package python-geoacumen is. Raises CountryUnavailable."""
    spec = find_spec("geoacumen")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise CountryUnavailable("the package python-geoacumen is not installed")
    return Path(next(iter(folders))) / "db" / "Geoacumen-Country.mmdb"
