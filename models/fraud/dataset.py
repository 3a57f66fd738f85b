"""Charges in order of time → the matrix the model learns from, by the serving code itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Protocol

import numpy as np
import numpy.typing as npt

from functions.fraud.charge import Charge, entities
from functions.fraud.features import NAMES, NOTHING, remember, remember_fraud, row
from functions.fraud.history import Change, History, apply

Matrix = npt.NDArray[np.float64]


class Memory:
    """The profiles of one region, in memory: what the fraud-profiles table holds."""

    def __init__(self) -> None:
        # Changed in place: copying them would be most of the work of a million charges.
        self._histories: dict[str, History] = {}

    def features(self, charge: Charge) -> list[float]:
        """The charge's row, in the order of features.NAMES, from what went before."""
        return row(charge, self.known(charge))

    def known(self, charge: Charge) -> dict[str, History]:
        """Histories of the charge's entities, by kind."""
        return self._known(entities(charge))

    def count(self, charge: Charge, blocked: bool) -> None:
        """Remember the charge, blocked or not."""
        keys = entities(charge)
        known = self._known(keys)
        self._apply(keys, remember(charge, known, known, blocked))

    def confirm(self, charge: Charge, at: int) -> None:
        """Remember that the charge, let through, is confirmed as fraud at Unix second `at`."""
        keys = entities(charge)
        known = self._known(keys)
        self._apply(keys, remember_fraud(charge, known, known, at))

    def _known(self, keys: dict[str, str]) -> dict[str, History]:
        return {kind: self._histories.get(key, NOTHING) for kind, key in keys.items()}

    def _apply(self, keys: dict[str, str], changes: dict[str, Change]) -> None:
        for kind, difference in changes.items():
            key = keys[kind]
            if key not in self._histories:
                self._histories[key] = History({}, {})
            apply(self._histories[key], difference)


class Profiles(Protocol):
    """What a stream of charges is told to and asked of."""

    def features(self, charge: Charge) -> list[float]: ...

    def count(self, charge: Charge, blocked: bool) -> None: ...

    def confirm(self, charge: Charge, at: int) -> None: ...


def rows(charges: Iterable[tuple[Charge, bool, int | None]], memory: Profiles, first: int = 0) -> Iterator[list[float]]:
    """A row of features for each (charge, blocked, confirmed at Unix second or None), from what was known before it.

    In order of time. A confirmation is known to the charges of its own second and later. Charges before Unix second
    `first` only fill the profiles.
    """
    waiting: list[tuple[int, int, Charge]] = []
    for number, (charge, blocked, confirmed_at) in enumerate(charges):
        while waiting and waiting[0][0] <= charge.at:
            at, _, fraud = heappop(waiting)
            memory.confirm(fraud, at)
        if charge.at >= first:
            yield memory.features(charge)
        memory.count(charge, blocked)
        if confirmed_at is not None:
            heappush(waiting, (confirmed_at, number, charge))


def matrix(charges: Iterable[tuple[Charge, bool, int | None]]) -> Matrix:
    """The `rows` of a stream as one matrix."""
    made = list(rows(charges, Memory()))
    return np.array(made, dtype=np.float64).reshape(len(made), len(NAMES))
