"""Errors planted in card networks' settlement files, to see whether reconciliation finds each of them, and no others.

Pure and seeded: files in, files out, with a mark for whatever was planted that says what reconciliation must make of
it. Every error is about a payment of its own, captures and refunds that the file has; disputes are left alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from local.planting_field import Field, Mark, NoneLeft, Tolerance
from local.planting_kinds import KINDS
from local.settlement_export import File


class NotEnough(Exception):
    """There are too few lines for what is to be planted; the message says for what."""


@dataclass(frozen=True)
class Planted:
    """The files with what was planted in them."""

    files: tuple[File, ...]
    marks: tuple[Mark, ...]


def plant(files: Iterable[File], wanted: Mapping[str, int], seed: int, tolerance: Tolerance) -> Planted:
    """Plant of each kind (`KINDS`) as many as wanted. Raises `NotEnough`."""
    field = Field(files, seed, tolerance)
    marks = [mark for kind, number in wanted.items() for _ in range(number) for mark in _marks(kind, field)]
    return Planted(tuple(field.harvest()), tuple(marks))


def truncated(text: str) -> str:
    """The file as it arrives when its transfer broke off: the last third of its lines is not there."""
    lines = text.splitlines(keepends=True)
    return "".join(lines[: max(1, len(lines) * 2 // 3)])


def _marks(kind: str, field: Field) -> list[Mark]:
    try:
        return [replace(mark, kind=kind) for mark in KINDS[kind](field)]
    except NoneLeft as error:
        raise NotEnough(f"{kind}: {error}") from None
