"""Ranking figures of a score against labels, in numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


def auc(labels: Labels, scores: Scores) -> float:
    """Area under the ROC curve: the chance that a fraud scores above a legitimate charge, ties counting half."""
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    positives = int(labels.sum())
    negatives = len(labels) - positives
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(labels: Labels, scores: Scores) -> float:
    """Precision at every distinct threshold, weighted by the recall gained there (as scikit-learn defines it)."""
    order = np.argsort(-scores, kind="stable")
    hits, ranked = np.cumsum(labels[order]), scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def threshold_at(labels: Labels, scores: Scores, false_positive_rate: float) -> float:
    """The lowest score such that at most this share of legitimate charges lies above it."""
    legitimate = np.sort(scores[~labels])[::-1]
    return float(legitimate[int(len(legitimate) * false_positive_rate)])


def recall_at(labels: Labels, scores: Scores, false_positive_rate: float) -> float:
    """The share of frauds above `threshold_at`."""
    return float((scores[labels] > threshold_at(labels, scores, false_positive_rate)).mean())
