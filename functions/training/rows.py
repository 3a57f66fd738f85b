"""Rows of features with what is known of their charges, as columns; and the file that holds them.

A canonical order (by time, then by draw) makes the same rows the same file and the same model, however they were read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

COLUMNS: dict[str, str] = {
    "label": "|b1",
    "weight": "<f8",
    "at": "<i8",
    "draw": "<f8",
    "value": "<i8",
    "currency": "|S3",
    "merchant": "|S40",
    "score": "<f8",
    "probability": "<f8",
    "model": "|S40",
    "shadow_model": "|S40",
    "shadow_score": "<f8",
    "shadow_probability": "<f8",
}
"""Type of each column but the features. Texts are bytes of bounded length: a merchant's id has 28 characters, a version
21."""

Column = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """Charges as columns. `draw` is a number from 0 to 1 that belongs to the payment; `label` is true for a fraud.

    What is not known of a shadow is NaN or an empty text.
    """

    features: npt.NDArray[np.float64]
    label: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float64]
    at: npt.NDArray[np.int64]
    draw: npt.NDArray[np.float64]
    value: npt.NDArray[np.int64]
    currency: npt.NDArray[np.bytes_]
    merchant: npt.NDArray[np.bytes_]
    score: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]
    model: npt.NDArray[np.bytes_]
    shadow_model: npt.NDArray[np.bytes_]
    shadow_score: npt.NDArray[np.float64]
    shadow_probability: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, which: slice | Column) -> Rows:
        """Some of the rows: a view where `which` is a slice, a copy where it is a mask or an order."""
        return Rows(**{name: getattr(self, name)[which] for name in NAMES})

    def weighted(self, weight: npt.NDArray[np.float64]) -> Rows:
        """The rows with other weights."""
        return replace(self, weight=weight)


NAMES = tuple(field.name for field in fields(Rows))


def draw(payment_id: str) -> float:
    """A number from 0 to 1 that is always the same for a payment: who has a low one is in a small sample, too."""
    return int.from_bytes(sha256(f"training#{payment_id}".encode()).digest()[:8], "big") / 2**64


def rows(found: Sequence[dict[str, Any]], width: int) -> Rows:
    """Rows of plain records: `features` are the bytes of `width` little-endian doubles, the rest as in COLUMNS."""
    features = np.frombuffer(b"".join(one["features"] for one in found), dtype="<f8").reshape(len(found), width)
    return Rows(
        features, **{name: np.array([one[name] for one in found], dtype=kind) for name, kind in COLUMNS.items()}
    )


def joined(parts: Sequence[Rows], width: int) -> Rows:
    """All rows, one part after the other."""
    parts = parts or [rows((), width)]
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in NAMES))


def in_order(of: Rows) -> Rows:
    """The rows in the canonical order: the same ones, without a copy, where they are in it already."""
    later = np.diff(of.at)
    if np.all((later > 0) | ((later == 0) & (np.diff(of.draw) >= 0))):
        return of
    return of.take(np.lexsort((of.draw, of.at)))


def save(path: Path, parts: Sequence[Rows], width: int) -> None:
    """Writes an .npz file of all rows, one part after the other, without a second copy of them in memory. The same rows
    make the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in NAMES:
            columns = [getattr(part, name) for part in parts]
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                _write(file, columns, COLUMNS.get(name, "<f8"), (width,) if name == "features" else ())


def load(path: Path) -> Rows:
    """The rows of such a file."""
    with np.load(path, allow_pickle=False) as file:
        return Rows(*(file[name] for name in NAMES))


def _write(file: Any, columns: Iterable[Column], kind: str, shape: tuple[int, ...]) -> None:
    columns = list(columns)
    header = {"descr": kind, "fortran_order": False, "shape": (sum(map(len, columns)), *shape)}
    np.lib.format.write_array_header_1_0(file, header)
    for column in columns:
        file.write(np.ascontiguousarray(column, dtype=kind).data.cast("B") if column.size else b"")
