"""Train the fraud model: `python -m models.fraud.train` writes model.txt and model.json beside this file.

Deterministic: the same code, seed and LightGBM version write the same bytes.
"""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from functions.fraud.features import NAMES
from functions.fraud.model import BLOCK_ABOVE, log_odds
from models.fraud.evaluate import figures
from models.fraud.metrics import threshold_at
from models.fraud.periods import SEED, Period, periods

HERE = Path(__file__).parent
TREES = 200
# Of features that tell the same, trees choose by chance, and reasons then name any of them. These mostly repeat what
# card, device and amount say more plainly: their gain counts half, which changes what is said and hardly any score.
REPEATING = ("amount_to_customer_mean", "amount_to_merchant_mean", "amount_merchant_surprise", "email_count_24h")
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 16,
    "min_data_in_leaf": 40,
    "lambda_l2": 5.0,
    "feature_fraction": 0.6,
    "feature_contri": [0.5 if name in REPEATING else 1.0 for name in NAMES],
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "seed": SEED,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
# Score → the share of legitimate charges of the calibration period that lies above it.
KNOTS = ((20, 0.20), (50, 0.02), (BLOCK_ABOVE, 0.002))


def train(period: Period) -> lightgbm.Booster:
    """A booster of TREES trees over the catalogue's features."""
    data = lightgbm.Dataset(period.rows, label=period.fraud.astype(np.float64), feature_name=list(NAMES))
    return lightgbm.train(PARAMETERS, data, num_boost_round=TREES)


def calibration(period: Period, probability: npt.NDArray[np.float64]) -> dict[str, list[float]]:
    """Knots of functions.fraud.model.Calibration for the probabilities of the calibration period."""
    knots = [(log_odds(float(probability.min())), 0.0)]
    knots += [(log_odds(threshold_at(period.fraud, probability, rate)), float(score)) for score, rate in KNOTS]
    knots.append((log_odds(float(probability.max())), 100.0))
    odds = [x for x, _ in knots]
    if any(a >= b for a, b in pairwise(odds)):
        raise ValueError(f"knots do not increase: {knots}")
    return {"log_odds": odds, "scores": [score for _, score in knots]}


def main() -> None:
    """Train, calibrate, evaluate on the held-out period, and write both files."""
    learn, calibrate, held_out = periods()
    booster = train(learn)
    text = booster.model_to_string().encode()
    digest = sha256(text).hexdigest()
    about = {
        "version": f"lightgbm-{digest[:12]}",
        "sha256": digest,
        "features": list(NAMES),
        "block_above": BLOCK_ABOVE,
        "calibration": calibration(calibrate, np.asarray(booster.predict(calibrate.rows))),
        "false_positive_rates": {str(score): rate for score, rate in KNOTS},
        "training": {"command": "python -m models.fraud.train", "seed": SEED, "lightgbm": lightgbm.__version__},
        "charges": {
            name: {"all": len(period.fraud), "fraud": int(period.fraud.sum())}
            for name, period in (("learn", learn), ("calibrate", calibrate), ("held_out", held_out))
        },
        "held_out": figures(held_out, np.asarray(booster.predict(held_out.rows))),
    }
    (HERE / "model.txt").write_bytes(text)
    (HERE / "model.json").write_text(json.dumps(about, indent=2) + "\n")
    print(json.dumps(about["held_out"], indent=2))


if __name__ == "__main__":
    main()
