"""The gate: may a challenger take the champion's place? Both are held against the same held-out charges. Pure.

A challenger need not be better: it has seen newer days, which the held-out ones cannot show. It must not be worse by
more than a margin, overall or in any segment with enough frauds to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from functions.training.calibration import BLOCK_ABOVE
from functions.training.metrics import (
    FALSE_POSITIVES,
    Labels,
    Scores,
    average_precision,
    share,
    threshold_at,
)
from functions.training.rows import Rows
from functions.training.segments import segments

LEAST_FRAUDS = 50
"""Of a segment that is judged. The recall of 50 frauds has a standard error of up to 7 points; two models on the same
frauds differ by less."""


@dataclass(frozen=True, slots=True)
class Margins:
    """By how much the challenger may be worse: parts of 1."""

    average_precision: float
    recall: float
    blocked_good: float


OVERALL = Margins(average_precision=0.01, recall=0.02, blocked_good=0.0005)
"""Retraining on other days moves these figures by less than that. 0.05 % of good charges is a quarter of what the score
for blocking is calibrated to (0.2 %)."""

SEGMENT = Margins(average_precision=0.10, recall=0.10, blocked_good=0.003)
"""A standard error and a half of the smallest segment. Good charges in a segment are fewer, too; a segment may not be
given up."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model says of the held-out charges."""

    probability: Scores
    score: Scores


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the challenger passed, why not, and every figure."""

    reasons: list[str]
    figures: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the challenger."""
        return not self.reasons


def judge(rows: Rows, names: Sequence[str], champion: Judged, challenger: Judged) -> Verdict:
    """Compares both on all charges, and on every segment with at least LEAST_FRAUDS frauds.

    Recall is at a threshold of each model's own, where 0.5 % of all good charges lie above it; segments share that one.
    Raises ValueError where there is no fraud or no good charge.
    """
    if not rows.label.any() or rows.label.all():
        raise ValueError("a gate needs frauds and good charges")
    cuts = [threshold_at(rows.label, one.probability, FALSE_POSITIVES, rows.weight) for one in (champion, challenger)]
    everything = np.ones(len(rows), dtype=bool)
    figures: dict[str, Any] = {"overall": _compared(rows, everything, champion, challenger, cuts)}
    reasons = _worse("overall", figures["overall"], OVERALL)
    figures["segments"] = {}
    for name, of in segments(rows, names):
        frauds = int(rows.label[of].sum())
        if frauds < LEAST_FRAUDS:
            continue
        found = _compared(rows, of, champion, challenger, cuts)
        figures["segments"][name] = found
        reasons += _worse(name, found, SEGMENT)
    return Verdict(reasons, figures)


def _compared(rows: Rows, of: Labels, champion: Judged, challenger: Judged, cuts: Sequence[float]) -> dict[str, Any]:
    return {
        "frauds": int(rows.label[of].sum()),
        "good": int((~rows.label[of]).sum()),
        "charges": round(float(rows.weight[of].sum())),
        "champion": _figures(rows, of, champion, cuts[0]),
        "challenger": _figures(rows, of, challenger, cuts[1]),
    }


def _figures(rows: Rows, of: Labels, judged: Judged, cut: float) -> dict[str, float | None]:
    fraud, good = of & rows.label, of & ~rows.label
    return {
        "average_precision": _round(average_precision(rows.label[of], judged.probability[of], rows.weight[of])),
        "recall": _round(share(judged.probability[fraud] > cut, rows.weight[fraud])),
        "blocked_good": _round(share(judged.score[good] > BLOCK_ABOVE, rows.weight[good])) if good.any() else None,
    }


def _worse(name: str, found: dict[str, Any], margins: Margins) -> list[str]:
    """A sentence for every figure in which the challenger is worse by more than its margin."""
    before, after = found["champion"], found["challenger"]
    losses = {
        "average_precision": (before["average_precision"] - after["average_precision"], margins.average_precision),
        "recall": (before["recall"] - after["recall"], margins.recall),
        "blocked_good": ((after["blocked_good"] or 0) - (before["blocked_good"] or 0), margins.blocked_good),
    }
    return [
        f"{name}: {figure} {after[figure]} against {before[figure]}, worse by more than {margin:g}"
        for figure, (loss, margin) in losses.items()
        if round(loss, 6) > margin
    ]


def _round(value: float) -> float:
    return round(value, 6)
