"""A model: its probability, calibrated to the score from 0 to 100."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from math import ceil, floor, isfinite, log
from pathlib import Path

from functions.fraud.booster import Booster, ModelUnavailable
from functions.fraud.features import NAMES

# A higher score blocks (docs/interfaces.md).
BLOCK_ABOVE = 80


def log_odds(probability: float) -> float:
    """log(p / (1 - p)), with p kept within 1e-12 of 0 and 1."""
    p = min(max(probability, 1e-12), 1 - 1e-12)
    return log(p / (1 - p))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Straight lines between knots: `odds` (log-odds, strictly increasing) to `scores` (0 to 100).

    The knots come from the rate of legitimate charges above them (model.json says which). One knot has the score
    BLOCK_ABOVE: exactly the log-odds above it score higher, because rounding goes away from it.
    """

    odds: tuple[float, ...]
    scores: tuple[float, ...]

    def score(self, probability: float) -> int:
        """The score, an integer from 0 to 100, of a probability."""
        x = log_odds(probability)
        if x <= self.odds[0]:
            return round(self.scores[0])
        if x >= self.odds[-1]:
            return round(self.scores[-1])
        i = bisect_right(self.odds, x)
        left, right = self.odds[i - 1], self.odds[i]
        low, high = self.scores[i - 1], self.scores[i]
        score = low + (high - low) * (x - left) / (right - left)
        return ceil(score) if score > BLOCK_ABOVE else floor(score)

    @property
    def sound(self) -> bool:
        """Whether every probability has a score from 0 to 100, and a higher one never a lower."""
        pairs = list(zip(self.odds, self.scores, strict=False))
        return (
            len(self.odds) == len(self.scores) > 0
            and all(isfinite(x) and 0 <= y <= 100 for x, y in pairs)
            and all(low[0] < high[0] and low[1] <= high[1] for low, high in pairwise(pairs))
        )


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a model says of a row: `score` is the answer's, `probability` what it was calibrated from."""

    model: str
    score: int
    probability: float


@dataclass(frozen=True, slots=True)
class Pointers:
    """Versions of the models that are to be asked; None: the shipped one as champion, none in shadow."""

    champion: str | None = None
    shadow: str | None = None


class Model:
    """A model ready to score rows of the feature catalogue."""

    def __init__(self, version: str, booster: Booster, calibration: Calibration) -> None:
        self.version = version
        self._booster = booster
        self._calibration = calibration

    def score(self, row: Sequence[float]) -> int:
        """The score, an integer from 0 to 100, of a row in the order of features.NAMES. Raises ModelUnavailable."""
        return self._calibration.score(self._booster.predict(row))

    def opinion(self, row: Sequence[float]) -> Opinion:
        """Score and probability of a row in the order of features.NAMES. Raises ModelUnavailable."""
        probability = self._booster.predict(row)
        return Opinion(self.version, self._calibration.score(probability), probability)

    def contributions(self, row: Sequence[float]) -> dict[str, float]:
        """What each feature of the row, by its name, adds to the log-odds of fraud. Raises ModelUnavailable."""
        return dict(zip(NAMES, self._booster.contributions(row), strict=False))  # what all rows begin with is left out


def load_model(directory: Path) -> Model:
    """The model in `directory`: model.txt (LightGBM's text format) and model.json (what train.py says of it).

    Raises ModelUnavailable if a file is missing, if the two do not belong together, or if the model was trained on
    another catalogue.
    """
    text, about = directory / "model.txt", directory / "model.json"
    try:
        facts = json.loads(about.read_bytes())
        digest = sha256(text.read_bytes()).hexdigest()
        calibration = Calibration(tuple(facts["calibration"]["log_odds"]), tuple(facts["calibration"]["scores"]))
        version, features, trained = facts["version"], facts["features"], facts["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"{directory}: {error!r}") from error
    if digest != trained:
        raise ModelUnavailable(f"{text} is not the file that {about} describes")
    if not calibration.sound:
        raise ModelUnavailable(f"{about} has no calibration that can be used")
    if features != list(NAMES):
        raise ModelUnavailable(f"{text} was trained on other features")
    return Model(version, Booster(text, len(NAMES)), calibration)
