"""The model's features and learner on transactions that others made: the Fraud Detection Handbook's (handbook.py)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import duckdb
import lightgbm
import numpy as np
import numpy.typing as npt

from functions.fraud.features import NAMES
from functions.training.metrics import Scores, auc, average_precision
from models.fraud.dataset import Matrix
from models.fraud.handbook import Split, Transactions, card_precision, features, read, unknown

EPOCH = date(1970, 1, 1)
SEEDS = (1, 2, 3)
TREES = 120
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 8,
    "min_data_in_leaf": 40,
    "lambda_l2": 10.0,
    "path_smooth": 20,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


def split(train_start: date, train_days: int, delay_days: int, test_days: int) -> Split:
    """A split by the calendar."""
    return Split((train_start - EPOCH).days, train_days, delay_days, test_days)


def predict(train: Transactions, rows: Matrix, test_rows: Matrix) -> Scores:
    """Scores of `test_rows` by boosters trained on `train` and its `rows`: the mean of their probabilities."""
    constant = [name for name, column in zip(NAMES, rows.T, strict=True) if np.isnan(column).all()]
    use = [number for number, name in enumerate(NAMES) if name not in constant]
    data = lightgbm.Dataset(rows[:, use], label=train.fraud.astype(np.float64), free_raw_data=False)
    boosters = [lightgbm.train({**PARAMETERS, "seed": seed}, data, num_boost_round=TREES) for seed in SEEDS]
    return np.asarray(np.mean([booster.predict(test_rows[:, use]) for booster in boosters], axis=0))


def _masks(all_: Transactions, part: Split) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    train = (all_.day >= part.start) & (all_.day < part.start + part.train)
    return train, (all_.day >= part.test_start) & (all_.day < part.end)


def measured(all_: Transactions, rows: Matrix, part: Split) -> tuple[dict[str, Any], Transactions, Scores]:
    """Figures by the Handbook's protocol, the test's transactions (all of them), and their scores."""
    train, test = _masks(all_, part)
    scores = predict(all_.where(train), rows[train], rows[test])
    judged = unknown(all_, part)[test]
    tested = all_.where(test)
    left = tested.where(judged)
    found: dict[str, Any] = {
        "test_start": str(EPOCH + timedelta(days=part.test_start)),
        "trained": int(train.sum()),
        "tested": len(left.id),
        "fraud": int(left.fraud.sum()),
    }
    if left.fraud.any():  # there are labels
        found |= {
            "auc": round(auc(left.fraud, scores[judged]), 4),
            "average_precision": round(average_precision(left.fraud, scores[judged]), 4),
            "card_precision_100": round(card_precision(left, scores[judged]), 4),
        }
    return found, tested, scores


def one_split(files: Sequence[str], part: Split, predictions: str | None) -> dict[str, Any]:
    """Train and test on one split; writes (transaction_id, score) of the whole test window to `predictions`.

    Raises ValueError if the files have nothing in one of the windows.
    """
    known = read(files)
    if not all(mask.any() for mask in _masks(known, part)):
        raise ValueError("no transactions in the training or in the test window")
    all_, rows = features(known, part.start, part.end, part.delay)
    found, tested, scores = measured(all_, rows, part)
    if predictions:
        table = {"transaction_id": tested.id, "score": scores}
        connection = duckdb.connect(config={"threads": 1})
        connection.register("predictions", table)
        connection.table("predictions").write_parquet(predictions)
    return found


def weekly(files: Sequence[str], weeks: int, train_days: int, delay: int) -> dict[str, Any]:
    """Figures of the last `weeks` whole weeks of the files as tests, each trained on the days that are old enough, and
    their means."""
    all_ = read(files)
    end = int(all_.day.max()) + 1
    parts = [Split(end - 7 * (week + 1) - delay - train_days, train_days, delay) for week in reversed(range(weeks))]
    if parts[0].start < int(all_.day.min()):
        raise ValueError(f"the files begin too late for {weeks} weeks with {train_days} days of training")
    all_, rows = features(all_, parts[0].start, end, delay)
    folds = [measured(all_, rows, part)[0] for part in parts]
    names = ("auc", "average_precision", "card_precision_100")
    return {"folds": folds, "mean": {name: round(float(np.mean([fold[name] for fold in folds])), 4) for name in names}}
