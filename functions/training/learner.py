"""The learner: one set of parameters, for the shipped model (models/fraud) and for the daily ones.

Deterministic: the same rows in the same order, seed and LightGBM version make the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np

from functions.training.metrics import Labels, Scores

SEED = 20260105
TREES = 200
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 16,
    "min_data_in_leaf": 40,
    "lambda_l2": 5.0,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "seed": SEED,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}

REPEATING = frozenset(
    {"amount_to_customer_mean", "amount_to_merchant_mean", "amount_merchant_surprise", "email_count_24h"}
)
"""Features that mostly repeat what card, device and amount say more plainly. Of features that tell the same, trees
choose by chance, and reasons then name any of them: the gain of these counts half, which changes what is said and
hardly any score."""

AT_ONCE = 100_000
"""Rows that are predicted at a time: LightGBM copies what it is given."""


def train(rows: Scores, fraud: Labels, names: Sequence[str], weights: Scores | None = None) -> lightgbm.Booster:
    """A booster of TREES trees over these columns, with their names in the catalogue's order."""
    data = lightgbm.Dataset(rows, label=fraud.astype(np.float64), weight=weights, feature_name=list(names))
    gains = [0.5 if name in REPEATING else 1.0 for name in names]
    return lightgbm.train({**PARAMETERS, "feature_contri": gains}, data, num_boost_round=TREES)


def probabilities(booster: lightgbm.Booster, rows: Scores) -> Scores:
    """The probability of fraud, 0 to 1, of each row."""
    parts = [np.asarray(booster.predict(rows[at : at + AT_ONCE])) for at in range(0, len(rows), AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty(0)
