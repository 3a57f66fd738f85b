"""Ranking figures of a score against labels, in numpy. A weight says how many charges a row stands for; without weights
each stands for itself, and a row of weight n counts exactly as n equal rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

FALSE_POSITIVES = 0.005
"""The share of good charges that a figure of recall may hit."""


def auc(labels: Labels, scores: Scores, weights: Scores | None = None) -> float:
    """Area under the ROC curve: the chance that a fraud scores above a legitimate charge, ties counting half."""
    weights = _weights(labels, weights)
    _, where = np.unique(scores, return_inverse=True)
    good = np.bincount(where, np.where(labels, 0.0, weights))
    fraud = np.bincount(where, np.where(labels, weights, 0.0))
    below = np.cumsum(good) - good / 2
    return float((fraud * below).sum() / (fraud.sum() * good.sum()))


def average_precision(labels: Labels, scores: Scores, weights: Scores | None = None) -> float:
    """Precision at every distinct threshold, weighted by the recall gained there (as scikit-learn defines it)."""
    order = np.argsort(-scores, kind="stable")
    ranked, weight = scores[order], _weights(labels, weights)[order]
    hits, all_ = np.cumsum(np.where(labels[order], weight, 0.0)), np.cumsum(weight)
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    precision, recall = hits[last] / all_[last], hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def threshold_at(labels: Labels, scores: Scores, false_positive_rate: float, weights: Scores | None = None) -> float:
    """The lowest score such that at most this share of legitimate charges lies above it."""
    good = np.flatnonzero(~labels)
    ranked = good[np.argsort(-scores[good], kind="stable")]
    above = np.cumsum(_weights(labels, weights)[ranked])
    place = int(np.searchsorted(above, above[-1] * false_positive_rate, side="right"))
    return float(scores[ranked[min(place, len(ranked) - 1)]])


def recall_at(labels: Labels, scores: Scores, false_positive_rate: float, weights: Scores | None = None) -> float:
    """The share of frauds above `threshold_at`."""
    return share(scores[labels] > threshold_at(labels, scores, false_positive_rate, weights),
                 None if weights is None else weights[labels])  # fmt: skip


def share(of: Labels, weights: Scores | None = None) -> float:
    """The part of the charges of which something is true."""
    return float(np.average(of, weights=weights))


def figures(labels: Labels, scores: Scores, weights: Scores | None = None) -> dict[str, float]:
    """AUC, average precision and recall at a false positive rate of 0.5 %, each from 0 to 1."""
    return {
        "auc": auc(labels, scores, weights),
        "average_precision": average_precision(labels, scores, weights),
        "recall_at_0.5%_fpr": recall_at(labels, scores, FALSE_POSITIVES, weights),
    }


def _weights(labels: Labels, weights: Scores | None) -> Scores:
    return np.ones(len(labels)) if weights is None else weights
