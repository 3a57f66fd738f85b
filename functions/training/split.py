"""Which days serve what: the newest judge, those before them calibrate, the rest train. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from functions.training.labels import DAY
from functions.training.rows import Rows, in_order

LEAST_FRAUDS = 50
"""Frauds that judge and that calibrate: with fewer, one fraud more or less moves recall by more than the gate's
margin."""
LEAST_GOOD = 5_000
"""Good charges that judge and that calibrate, weights aside: 0.2 % of them, the strictest knot, are ten."""


@dataclass(frozen=True, slots=True)
class Split:
    """Three periods in order of time."""

    train: Rows
    calibrate: Rows
    held_out: Rows

    def sizes(self) -> dict[str, dict[str, float]]:
        """Of each period: rows, frauds among them, and how many charges they stand for."""
        return {
            name: {"all": len(rows), "fraud": int(rows.label.sum()), "charges": round(float(rows.weight.sum()))}
            for name, rows in (("train", self.train), ("calibrate", self.calibrate), ("held_out", self.held_out))
        }


def split(rows: Rows, held_out_days: int) -> Split:
    """The periods of these rows, by UTC days that have any. The newest `held_out_days` are held out, as many before
    them calibrate."""
    rows = in_order(rows)
    days = rows.at // DAY
    there = np.unique(days)
    bounds = [there[max(len(there) - n * held_out_days, 0)] if len(there) else 0 for n in (2, 1)]
    first, second = (int(np.searchsorted(days, bound)) for bound in bounds)
    return Split(rows.take(slice(0, first)), rows.take(slice(first, second)), rows.take(slice(second, None)))


def lacking(of: Split, least_frauds: int, least_good: int) -> list[str]:
    """What there is too little of to learn anything from it, as sentences; nothing if there is enough."""
    found = []
    for name, rows, frauds, good in (
        ("train", of.train, least_frauds, least_good),
        ("calibrate", of.calibrate, min(LEAST_FRAUDS, least_frauds), min(LEAST_GOOD, least_good)),
        ("held_out", of.held_out, min(LEAST_FRAUDS, least_frauds), min(LEAST_GOOD, least_good)),
    ):
        has = int(rows.label.sum())
        for kind, count, least in (("frauds", has, frauds), ("good charges", len(rows) - has, good)):
            if count < least:
                found.append(f"too_little_data: {name} has {count} {kind}, needs {least}")
    return found
