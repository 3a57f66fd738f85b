"""Charges in order of time → the matrix the model learns from, by the serving code itself."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from functions.fraud.charge import Charge, entities
from functions.fraud.features import NAMES, NOTHING, remember, row
from functions.fraud.history import History, changed

Matrix = npt.NDArray[np.float64]


class Memory:
    """The profiles of one region, in memory: what the fraud-profiles table holds."""

    def __init__(self) -> None:
        self._histories: dict[str, History] = {}

    def features(self, charge: Charge) -> list[float]:
        """The charge's row, in the order of features.NAMES, from what went before."""
        return row(charge, self.known(charge))

    def known(self, charge: Charge) -> dict[str, History]:
        """Histories of the charge's entities, by kind."""
        return {kind: self._histories.get(key, NOTHING) for kind, key in entities(charge).items()}

    def count(self, charge: Charge, blocked: bool) -> None:
        """Remember the charge, blocked or not."""
        for kind, key in entities(charge).items():
            own = self._histories.get(key, NOTHING)
            self._histories[key] = changed(own, remember(kind, own, charge, blocked))


def matrix(charges: Iterable[tuple[Charge, bool]]) -> Matrix:
    """Rows of features, one per (charge, blocked) in order of time, each from the charges before it."""
    memory = Memory()
    rows: list[list[float]] = []
    for charge, blocked in charges:
        rows.append(memory.features(charge))
        memory.count(charge, blocked)
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(NAMES))
