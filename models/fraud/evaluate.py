"""Figures of the shipped model on the held-out period: `python -m models.fraud.evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from functions.fraud.booster import Booster
from functions.fraud.features import NAMES
from functions.fraud.model import BLOCK_ABOVE, load_model
from models.fraud.metrics import auc, average_precision, recall_at
from models.fraud.periods import Period, periods


def figures(period: Period, probability: npt.NDArray[np.float64]) -> dict[str, float]:
    """AUC, average precision and recall at a false positive rate of 0.5 %, each from 0 to 1."""
    return {
        "auc": auc(period.fraud, probability),
        "average_precision": average_precision(period.fraud, probability),
        "recall_at_0.5%_fpr": recall_at(period.fraud, probability, 0.005),
    }


def blocking(period: Period, blocked: npt.NDArray[np.bool_]) -> dict[str, float]:
    """The share of each pattern's charges, and of legitimate ones together (`legitimate`), that is blocked."""
    patterns = np.array([labelled.pattern for labelled in period.charges])
    shares = {f"blocked_{name}": float(blocked[patterns == name].mean()) for name in np.unique(patterns)}
    return {"blocked_legitimate": float(blocked[~period.fraud].mean()), **shares}


def main() -> None:
    """Score the held-out period with the serving code and print the figures as JSON."""
    here = Path(__file__).parent
    model, booster = load_model(here), Booster(here / "model.txt", len(NAMES))
    _, _, held_out = periods()
    probability = np.array([booster.predict(row) for row in held_out.rows])
    blocked = np.array([model.score(row) for row in held_out.rows]) > BLOCK_ABOVE
    counts = {"charges": float(len(blocked)), "fraud": float(held_out.fraud.sum())}
    print(json.dumps({**counts, **figures(held_out, probability), **blocking(held_out, blocked)}, indent=2))


if __name__ == "__main__":
    main()
