"""The experiment's protocol: which traffic, and which days of it serve what."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.fraud.actors import DAY, START
from models.fraud.dataset import Matrix, matrix
from models.fraud.generate import Labelled, generate

SEED = 20260105
# Days: profiles fill, the model learns, the score is calibrated, and the rest is held out for evaluation.
WARM_UP, LEARN, CALIBRATE = 28, 46, 53


@dataclass(frozen=True, slots=True)
class Period:
    """Rows of features, whether each is fraud, and the charges they come from."""

    rows: Matrix
    fraud: npt.NDArray[np.bool_]
    charges: list[Labelled]


def periods(seed: int = SEED) -> tuple[Period, Period, Period]:
    """Learning, calibration and held-out period of the generated traffic."""
    traffic = generate(seed)
    rows = matrix((labelled.charge, labelled.stopped, labelled.confirmed_at) for labelled in traffic)
    day = np.array([(labelled.charge.at - START) // DAY for labelled in traffic])
    fraud = np.array([labelled.fraud for labelled in traffic])
    learn, calibrate, held_out = (
        _period(np.flatnonzero((day >= first) & (day < end)), rows, fraud, traffic)
        for first, end in pairwise((WARM_UP, LEARN, CALIBRATE, int(day.max()) + 1))
    )
    return learn, calibrate, held_out


def _period(where: npt.NDArray[np.intp], rows: Matrix, fraud: npt.NDArray[np.bool_], all_: list[Labelled]) -> Period:
    return Period(rows[where], fraud[where], [all_[i] for i in where])
