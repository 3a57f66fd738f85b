"""What champion and challenger said of the same charges, as serving asked them: the last look before a promotion.
Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from functions.training import drift
from functions.training.calibration import BLOCK_ABOVE
from functions.training.metrics import Scores, share

MOST_ABSENT = 0.1
"""The part of the champion's answers that may lack the challenger's, once the region has given one: a function that has
just started answers without it until it has fetched the files."""

MOST_MORE_BLOCKED, BLOCKED_TIMES = 0.001, 0.5
"""By how much the block rates may differ: by 0.1 % of all charges, or half the champion's rate where that is more. The
gate saw labels; this is about today's charges, of which nobody knows yet."""

LEAST_CORRELATION = 0.7
"""Of the two scores. Models of the same features and neighbouring days are above 0.9; below 0.7 one is not what was
judged."""

LEAST_REMEMBERED, STILL_SUSPECT, LEAST_BLOCKED = 0.8, 50, 20
"""Of at least so many charges that the champion blocks, the part to which the challenger must give a score for review.
What is blocked has no label and teaches nothing, so a model may forget what its predecessor has always kept out; the
gate cannot see that."""

MOST_APART = drift.SHIFTED
"""The population stability index of the challenger's scores against the champion's."""

_EDGES = (1.0, 2.0, 5.0, 10.0, 20.0, 35.0, 50.0, 65.0, BLOCK_ABOVE + 0.5)
"""Between the bins of scores: most charges have low ones."""


@dataclass(slots=True)
class Both:
    """The scores of charges that both models were asked about, with what each charge stands for."""

    champion: list[float] = field(default_factory=list)
    challenger: list[float] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    absent: int = 0
    errors: int = 0


def both(found: Iterable[tuple[str, dict[str, Any]]], champion: str, challenger: str, since: int) -> Both:
    """What was said from `since` on, Unix seconds; `found` are regions and records (reading.py)."""
    asked = [(region, one) for region, one in found if one["at"] >= since and one["model"] == champion]
    result, began = Both(), dict[str, int]()
    for region, one in asked:
        if one["shadow_model"] == challenger:
            began[region] = min(began.get(region, one["at"]), one["at"])
    for region, one in asked:
        if one["shadow_model"] != challenger:
            result.absent += one["at"] >= began.get(region, one["at"] + 1)
        elif not _is_answer(one):
            result.errors += 1
        else:
            result.champion.append(one["score"])
            result.challenger.append(one["shadow_score"])
            result.weight.append(one["weight"])
    return result


def judge(of: Both, least: int) -> tuple[list[str], dict[str, Any]]:
    """Why the challenger may not be promoted, as sentences, and every figure."""
    charges = len(of.weight)
    figures: dict[str, Any] = {"charges": charges, "absent": of.absent, "errors": of.errors}
    reasons = [f"errors: {of.errors} answers were no scores"] if of.errors else []
    if charges < max(least, 2):
        return [*reasons, f"too_few_charges: both were asked about {charges}, needs {max(least, 2)}"], figures
    a, b, weight = (np.array(values, dtype=np.float64) for values in (of.champion, of.challenger, of.weight))
    rates = [share(scores > BLOCK_ABOVE, weight) for scores in (a, b)]
    blocked = a > BLOCK_ABOVE
    figures["remembered"] = None
    if blocked.sum() >= LEAST_BLOCKED:
        figures["remembered"] = round(share(b[blocked] >= STILL_SUSPECT, weight[blocked]), 6)
    figures |= {
        "blocked": {"champion": round(rates[0], 6), "challenger": round(rates[1], 6)},
        "correlation": round(_correlation(a, b, weight), 6),
        "index": round(drift.index(_shares(a, weight), _shares(b, weight)), 6),
    }
    return reasons + [sentence for broken, sentence in _limits(of, figures) if broken], figures


def _limits(of: Both, found: dict[str, Any]) -> Sequence[tuple[bool, str]]:
    before, after = found["blocked"]["champion"], found["blocked"]["challenger"]
    margin = max(MOST_MORE_BLOCKED, BLOCKED_TIMES * before)
    remembered = found["remembered"]
    return (
        (
            remembered is not None and remembered < LEAST_REMEMBERED,
            f"forgotten: {remembered} of what the champion blocks is suspect, less than {LEAST_REMEMBERED}",
        ),
        (of.absent > MOST_ABSENT * (of.absent + found["charges"]), f"absent: {of.absent} charges have no second score"),
        (abs(after - before) > margin, f"blocked: {after} against {before}, apart by more than {margin:g}"),
        (
            found["correlation"] < LEAST_CORRELATION,
            f"correlation: {found['correlation']}, less than {LEAST_CORRELATION}",
        ),
        (found["index"] > MOST_APART, f"index: {found['index']}, more than {MOST_APART}"),
    )


def _is_answer(one: dict[str, Any]) -> bool:
    score, probability = one["shadow_score"], one["shadow_probability"]
    return isfinite(score) and isfinite(probability) and 0 <= score <= 100 and 0 <= probability <= 1


def _correlation(a: Scores, b: Scores, weight: Scores) -> float:
    """Pearson's; 1 of scores that are all the same on both sides, 0 where they are on one."""
    a, b = a - np.average(a, weights=weight), b - np.average(b, weights=weight)
    spread = float(np.average(a * a, weights=weight) * np.average(b * b, weights=weight))
    if spread > 0:
        return float(np.average(a * b, weights=weight) / np.sqrt(spread))
    return float(not a.any() and not b.any())


def _shares(scores: Scores, weight: Scores) -> list[float]:
    counts = np.bincount(np.searchsorted(np.array(_EDGES), scores, side="right"), weight, minlength=len(_EDGES) + 1)
    return [float(one) for one in counts / counts.sum()]
