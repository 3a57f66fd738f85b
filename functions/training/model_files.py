"""A model as files: model.txt (LightGBM's text), model.json (what is said of it), reference.json (drift's bins).

The first two are what serving loads (`functions.fraud.model.load_model`); only training reads the third. Pure: bytes in
and out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import lightgbm

from functions.training import drift
from functions.training.calibration import BLOCK_ABOVE, KNOTS, Knots
from functions.training.metrics import Scores

TEXT, ABOUT, REFERENCE = "model.txt", "model.json", "reference.json"
FILES = (TEXT, REFERENCE, ABOUT)
"""In the order in which they are put: what names the version comes last."""


class Damaged(ValueError):
    """The files do not belong together, or one is not what it should be."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A model that can be asked for many rows at once."""

    version: str
    names: tuple[str, ...]
    booster: lightgbm.Booster
    knots: Knots
    reference: drift.Reference | None


def catalogue(names: Sequence[str]) -> str:
    """What scores say of the features they were made of: the first 16 hex digits of the SHA-256 of their names."""
    return sha256(",".join(names).encode()).hexdigest()[:16]


def write(
    booster: lightgbm.Booster, knots: Knots, names: Sequence[str], rows: Scores, weights: Scores | None, **more: Any
) -> dict[str, bytes]:
    """The three files of a model that was trained on these rows; `more` is what else is said of it, in this order."""
    text = booster.model_to_string().encode()
    digest = sha256(text).hexdigest()
    about = {
        "version": f"lightgbm-{digest[:12]}",
        "sha256": digest,
        "features": list(names),
        "block_above": BLOCK_ABOVE,
        "calibration": knots.as_json(),
        "false_positive_rates": {str(score): rate for score, rate in KNOTS},
        **more,
    }
    reference = drift.reference(names, rows, weights)
    return {
        TEXT: text,
        REFERENCE: (json.dumps(reference.as_json()) + "\n").encode(),
        ABOUT: (json.dumps(about, indent=2) + "\n").encode(),
    }


def read(text: bytes, about: bytes, reference: bytes | None) -> Learned:
    """The model of these files. Raises Damaged."""
    try:
        said = json.loads(about)
        bins = drift.Reference.of(json.loads(reference)) if reference else None
        if sha256(text).hexdigest() != said["sha256"]:
            raise Damaged(f"{TEXT} is not the file that {ABOUT} describes")
        booster = lightgbm.Booster(model_str=text.decode())
        return Learned(said["version"], tuple(said["features"]), booster, Knots.of(said["calibration"]), bins)
    except (ValueError, KeyError, TypeError, lightgbm.basic.LightGBMError) as error:
        raise error if isinstance(error, Damaged) else Damaged(repr(error)) from error
