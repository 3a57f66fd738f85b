"""Figures of the fraud model.

`python -m models.fraud.evaluate`: the shipped model on the held-out period of the generated traffic.

`python -m models.fraud.evaluate --transactions FILE.parquet [more] --train-start 2018-07-25 --train-days 7
[--delay-days 7] [--test-days 7] [--predictions OUT.parquet]`: the same features and learner on the Handbook's
transactions, trained on one window and tested on a later one. `--weekly N` instead of `--train-start`: the mean over
the last N test weeks of the files.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from functions.fraud.booster import Booster
from functions.fraud.features import NAMES
from functions.fraud.model import BLOCK_ABOVE, load_model
from functions.training.metrics import FALSE_POSITIVES, figures, threshold_at
from models.fraud import outside
from models.fraud.periods import Period, periods


def money(period: Period, blocked: npt.NDArray[np.bool_]) -> dict[str, float]:
    """US dollars: of fraud, of fraud blocked, of good charges blocked, and what blocking saves net of all of the latter
    (as if every good charge that is blocked were lost for good)."""
    dollars = np.array([labelled.charge.amount / 100 for labelled in period.charges])
    stopped, lost = dollars[period.fraud & blocked].sum(), dollars[~period.fraud & blocked].sum()
    named = {"fraud": dollars[period.fraud].sum(), "fraud_blocked": stopped, "good_blocked": lost}
    return {name: round(float(amount), 2) for name, amount in {**named, "saved": stopped - lost}.items()}


def by_pattern(
    period: Period, probability: npt.NDArray[np.float64], blocked: npt.NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Of each pattern: charges, the share blocked, and for fraud the recall at 0.5 % false positives overall and the
    dollars of it, all and blocked."""
    patterns = np.array([labelled.pattern for labelled in period.charges])
    dollars = np.array([labelled.charge.amount / 100 for labelled in period.charges])
    above = probability > threshold_at(period.fraud, probability, FALSE_POSITIVES)
    table = {}
    for name in np.unique(patterns):
        of = patterns == name
        line = {"charges": int(of.sum()), "blocked": round(float(blocked[of].mean()), 4)}
        if period.fraud[of].any():
            line["recall_at_0.5%_fpr"] = round(float(above[of].mean()), 4)
            line["dollars"] = round(float(dollars[of].sum()))
            line["dollars_blocked"] = round(float(dollars[of & blocked].sum()))
        table[str(name)] = line
    return table


def shipped() -> dict[str, object]:
    """Score the held-out period with the serving code."""
    here = Path(__file__).parent
    model, booster = load_model(here), Booster(here / "model.txt", len(NAMES))
    _, _, held_out = periods()
    probability = np.array([booster.predict(row) for row in held_out.rows])
    blocked = np.array([model.score(row) for row in held_out.rows]) > BLOCK_ABOVE
    return {
        "charges": len(blocked),
        "fraud": int(held_out.fraud.sum()),
        **figures(held_out.fraud, probability),
        "blocked_legitimate": float(blocked[~held_out.fraud].mean()),
        "dollars": money(held_out, blocked),
        "patterns": by_pattern(held_out, probability, blocked),
    }


def _arguments(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="python -m models.fraud.evaluate", description="Figures of the fraud model.")
    parser.add_argument("--transactions", nargs="+", metavar="FILE.parquet", help="the Handbook's columns")
    parser.add_argument("--train-start", type=date.fromisoformat, help="first day of training, YYYY-MM-DD")
    parser.add_argument("--train-days", type=int, default=7)
    parser.add_argument("--delay-days", type=int, default=7, help="days until a label is known")
    parser.add_argument("--test-days", type=int, default=7)
    parser.add_argument("--weekly", type=int, metavar="N", help="instead of --train-start: the last N weeks as tests")
    parser.add_argument("--predictions", metavar="OUT.parquet", help="transaction_id and score of the test window")
    asked = parser.parse_args(arguments)
    if asked.transactions and (asked.train_start is None) == (asked.weekly is None):
        parser.error("--transactions needs either --train-start or --weekly")
    if asked.predictions and asked.weekly:
        parser.error("--predictions is of one split: give --train-start")
    return asked


def main(arguments: Sequence[str] | None = None) -> None:
    """Print figures as JSON: of the shipped model, or of a split or of weekly splits of transactions."""
    asked = _arguments(arguments)
    if not asked.transactions:
        found = shipped()
    elif asked.weekly:
        found = outside.weekly(asked.transactions, asked.weekly, asked.train_days, asked.delay_days)
    else:
        found = outside.one_split(
            asked.transactions,
            outside.split(asked.train_start, asked.train_days, asked.delay_days, asked.test_days),
            asked.predictions,
        )
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
