"""Train the fraud model: `python -m models.fraud.train` writes model.txt, model.json and reference.json beside this
file.

Deterministic: the same code, seed and LightGBM version write the same bytes. The learner, the calibration and the
files' form are those of the daily training (functions/training).
"""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm

from functions.fraud.features import NAMES
from functions.training import calibration, model_files
from functions.training.learner import probabilities, train
from functions.training.metrics import figures
from models.fraud.periods import SEED, periods

HERE = Path(__file__).parent


def main() -> None:
    """Train, calibrate, evaluate on the held-out period, and write the files."""
    learn, calibrate, held_out = periods()
    booster = train(learn.rows, learn.fraud, NAMES)
    found = figures(held_out.fraud, probabilities(booster, held_out.rows))
    files = model_files.write(
        booster,
        calibration.knots(calibrate.fraud, probabilities(booster, calibrate.rows)),
        NAMES,
        learn.rows,
        None,
        training={"command": "python -m models.fraud.train", "seed": SEED, "lightgbm": lightgbm.__version__},
        charges={
            name: {"all": len(period.fraud), "fraud": int(period.fraud.sum())}
            for name, period in (("learn", learn), ("calibrate", calibrate), ("held_out", held_out))
        },
        held_out=found,
    )
    for name, content in files.items():
        (HERE / name).write_bytes(content)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
