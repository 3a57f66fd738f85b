"""Drift: how far the charges of today are from those that a model was trained on, feature by feature.

The population stability index of two distributions over the same bins, e expected and a actual: sum (a - e) ln(a / e).
Below STABLE a feature counts as unchanged, above SHIFTED as another one (Siddiqi, "Credit Risk Scorecards", Wiley
2006). Between equal distributions it is about (bins - 1) (1/n + 1/m), so LEAST_ROWS keeps noise below a
tenth of STABLE (Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
Validation, 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from functions.training.metrics import Scores

STABLE, SHIFTED = 0.1, 0.25
BINS = 10
LEAST_ROWS = 1_000
LEAST_SHARE = 1e-4
"""What an empty bin counts as, since its logarithm would be infinite."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Of one feature: the inner edges (a value belongs to the bin of the edges at or below it), and what part of all
    rows is in each bin. The last share is of the rows that have no value."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """The bins of each feature over the rows that a model was trained on."""

    rows: int
    features: dict[str, Bins]

    def as_json(self) -> dict[str, Any]:
        """As in reference.json."""
        return asdict(self)

    @classmethod
    def of(cls, value: dict[str, Any]) -> Reference:
        """From reference.json. Raises KeyError or TypeError."""
        bins = {name: Bins(tuple(one["edges"]), tuple(one["shares"])) for name, one in value["features"].items()}
        return cls(value["rows"], bins)


def reference(names: Sequence[str], rows: Scores, weights: Scores | None = None) -> Reference:
    """The bins of these rows: quantiles of what is there, fewer where values repeat."""
    weights = np.ones(len(rows)) if weights is None else weights
    return Reference(len(rows), {name: _bins(rows[:, at], weights) for at, name in enumerate(names)})


def drift(of: Reference, names: Sequence[str], rows: Scores, weights: Scores | None = None) -> dict[str, float] | None:
    """The index of each feature, rounded to four digits; None where there are fewer than LEAST_ROWS on either side."""
    if min(len(rows), of.rows) < LEAST_ROWS:
        return None
    weights = np.ones(len(rows)) if weights is None else weights
    return {
        name: round(index(of.features[name].shares, _shares(rows[:, at], weights, of.features[name].edges)), 4)
        for at, name in enumerate(names)
        if name in of.features
    }


def index(expected: Sequence[float], actual: Sequence[float]) -> float:
    """The population stability index of shares over the same bins: 0 where they are equal, and never less."""
    e, a = (np.maximum(np.asarray(shares, dtype=np.float64), LEAST_SHARE) for shares in (expected, actual))
    return float(np.sum((a - e) * np.log(a / e)))


def _bins(values: Scores, weights: Scores) -> Bins:
    there = ~np.isnan(values)
    edges = _quantiles(values[there], weights[there])
    return Bins(edges, _shares(values, weights, edges))


def _quantiles(values: Scores, weights: Scores) -> tuple[float, ...]:
    if not len(values):
        return ()
    order = np.argsort(values, kind="stable")
    ranked, below = values[order], np.cumsum(weights[order])
    places = np.searchsorted(below, below[-1] * np.arange(1, BINS) / BINS, side="right")
    least, most = ranked[0], np.minimum(places, len(ranked) - 1)
    edges = [float(edge) for edge in np.unique(ranked[most]) if edge > least]
    rare = ranked[ranked > least][:1]  # a flag that nearly no row has: no quantile shows it
    return tuple(edges or (float(value) for value in rare))


def _shares(values: Scores, weights: Scores, edges: Sequence[float]) -> tuple[float, ...]:
    where = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right")
    where = np.where(np.isnan(values), len(edges) + 1, where)
    counts = np.bincount(where, weights, minlength=len(edges) + 2)
    return tuple(float(one) for one in counts / counts.sum())
