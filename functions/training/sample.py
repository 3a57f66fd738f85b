"""A sample of bounded size out of a stream of rows: frauds first, and every row stands for those that were left out for
it.

A row is kept while its draw lies under the threshold of its class, which is halved when the class has become too large.
So the sample depends on the rows alone, not on their order; and the weights, divided by the threshold, add up to what
they did.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from functions.training.labels import DAY
from functions.training.rows import Rows, in_order, joined

MOST_ROWS = 2_000_000
"""What a training takes in 840 s and 5.3 GB (docs/fraud_training.md, "Limits")."""


class Sample:
    """Takes rows in parts, and keeps at most `most` of them, of which up to a quarter are frauds."""

    def __init__(self, most: int = MOST_ROWS) -> None:
        self._most = {True: most // 4, False: most - most // 4}
        self._under = {True: 1.0, False: 1.0}
        self._parts: list[Rows] = []

    def add(self, part: Rows) -> None:
        """Takes more rows, all of one day, and of no earlier one than before."""
        self._parts.append(self._kept(part))
        for fraud, most in self._most.items():
            while sum(int((part.label == fraud).sum()) for part in self._parts) > most:
                self._under[fraud] /= 2
                self._parts = [self._kept(part) for part in self._parts]
        self._parts = [part for part in self._parts if len(part)]

    def days(self) -> Iterator[Rows]:
        """What was kept, with the weights that it now has, day by day in the canonical order. Each part given must be
        of one day, and days in order."""
        while self._parts:  # let go day by day, so that there are never two copies of all
            day = self._parts[0].at[0] // DAY
            ends = next((n for n, part in enumerate(self._parts) if part.at[0] // DAY != day), len(self._parts))
            of_day, self._parts = self._parts[:ends], self._parts[ends:]
            rows = in_order(joined(of_day, of_day[0].features.shape[1]))
            yield rows.weighted(rows.weight / self._thresholds(rows))

    def rates(self) -> dict[str, float]:
        """What part of the frauds and of the good charges was kept."""
        return {"fraud": self._under[True], "good": self._under[False]}

    def _kept(self, part: Rows) -> Rows:
        keep = part.draw < self._thresholds(part)
        return part if keep.all() else part.take(keep)

    def _thresholds(self, part: Rows) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.where(part.label, self._under[True], self._under[False])
