"""From a probability to the score from 0 to 100: where the knots come from, and the score of many rows.

What `functions.fraud.model.Calibration` does for one charge, `scores` does for many; a test holds them to the same
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import Any

import numpy as np

from functions.training.metrics import Labels, Scores, threshold_at

BLOCK_ABOVE = 80
"""A higher score blocks (docs/interfaces.md)."""

KNOTS = ((20, 0.20), (50, 0.02), (BLOCK_ABOVE, 0.002))
"""Score → the share of legitimate charges of the calibration period that lies above it."""

EDGE = 1e-12


class NotCalibrated(ValueError):
    """The probabilities are too alike: there are no increasing knots."""


@dataclass(frozen=True, slots=True)
class Knots:
    """Straight lines between them: log-odds (strictly increasing) to scores."""

    odds: tuple[float, ...]
    scores: tuple[float, ...]

    def as_json(self) -> dict[str, list[float]]:
        """As in model.json."""
        return {"log_odds": list(self.odds), "scores": list(self.scores)}

    @classmethod
    def of(cls, calibration: dict[str, Any]) -> Knots:
        """From model.json."""
        return cls(tuple(calibration["log_odds"]), tuple(calibration["scores"]))


def log_odds(probability: float) -> float:
    """log(p / (1 - p)), with p kept within EDGE of 0 and 1."""
    p = min(max(probability, EDGE), 1 - EDGE)
    return log(p / (1 - p))


def knots(fraud: Labels, probability: Scores, weights: Scores | None = None) -> Knots:
    """Knots for the probabilities of the calibration period. Raises NotCalibrated."""
    found = [(log_odds(float(probability.min())), 0.0)]
    found += [(log_odds(threshold_at(fraud, probability, rate, weights)), float(score)) for score, rate in KNOTS]
    found.append((log_odds(float(probability.max())), 100.0))
    odds = tuple(x for x, _ in found)
    if any(a >= b for a, b in pairwise(odds)):
        raise NotCalibrated(f"knots do not increase: {found}")
    return Knots(odds, tuple(score for _, score in found))


def scores(of: Knots, probability: Scores) -> Scores:
    """The scores, whole numbers from 0 to 100. Between knots rounding goes away from BLOCK_ABOVE."""
    p = np.clip(probability, EDGE, 1 - EDGE)
    x, odds, marks = np.log(p / (1 - p)), np.array(of.odds), np.array(of.scores)
    i = np.clip(np.searchsorted(odds, x, side="right"), 1, len(odds) - 1)
    share = (x - odds[i - 1]) / (odds[i] - odds[i - 1])
    between = marks[i - 1] + (marks[i] - marks[i - 1]) * share
    rounded = np.where(between > BLOCK_ABOVE, np.ceil(between), np.floor(between))
    return np.asarray(np.where(x <= odds[0], np.round(marks[0]), np.where(x >= odds[-1], np.round(marks[-1]), rounded)))
