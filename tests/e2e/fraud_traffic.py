"""Labelled charges of the generator of models/fraud, in `fraud-scores` (docs/interfaces.md, "Scores, labels and
models"): what a local cloud would have seen in weeks.

They differ from what the shipped model was trained on, so that a challenger has something to learn: a terminal is
fraud here, and what looks like a customer's account in strange hands is harmless.
"""

import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import compress

from functions.fraud.booster import Booster
from functions.fraud.charge import Charge, entities, value_in_cents
from functions.fraud.features import NAMES
from functions.fraud.model import load_model
from functions.fraud.profiles import stored_key
from models.fraud.actors import DAY, START
from models.fraud.dataset import Memory, rows
from models.fraud.generate import Labelled, Scale, generate

SCALE = Scale(
    days=22, shoppers=100, guests=700, kiosks=1, gateways=0, agencies=0, fleets=0,
    testing=0, stolen=0, takeovers=60, stealthy=0, compromises=0, bust_outs=0,
)  # fmt: skip
"""Three weeks, and all these kinds of charges on almost every day."""

SEED = 12
FRAUD, HARMLESS = "kiosk", "takeover"

SHIPPED = Path(__file__).resolve().parents[2] / "models/fraud"
CATALOGUE = sha256(",".join(NAMES).encode()).hexdigest()[:16]
TABLE = "fraud-scores"

_BUCKETS = 64
_AT_ONCE, _WRITERS = 25, 4
_LIFETIME = 200 * DAY


@dataclass(frozen=True, slots=True)
class Kept:
    """A charge with its features, and whether it was fraud."""

    charge: Charge
    row: list[float]
    fraud: bool


def traffic() -> list[Kept]:
    """Charges in order of time, up to now. Their features are the same whenever this is called."""
    made, now = generate(SEED, SCALE), int(datetime.now(UTC).timestamp())
    known = [(one.charge, one.stopped and one.pattern != HARMLESS, one.confirmed_at) for one in made]
    return [_kept(one, row, now) for one, row in zip(made, rows(known, Memory()), strict=True)]


def seed(dynamodb: Any, kept: Iterable[Kept]) -> None:
    """Put charges with their labels, as scored by the shipped model."""
    _write(dynamodb, [{**item, **_label(one)} for one, item in _scored(kept)])


def seed_shadow(dynamodb: Any, kept: Iterable[Kept], challenger: str) -> None:
    """Put charges of this moment that a challenger scored beside the shipped model, and as it did.

    The real function scores some in the few seconds that a local shadow lasts; to be judged it needs hundreds.
    """
    now = int(datetime.now(UTC).timestamp())
    moved = [
        replace(one, charge=replace(one.charge, payment_id=f"{one.charge.payment_id}_again", at=now)) for one in kept
    ]
    items = [item for _, item in _scored(moved)]
    same = [{"shadow_score": item["score"], "shadow_probability": item["probability"]} for item in items]
    _write(
        dynamodb, [{**item, **one, "shadow_model": {"S": challenger}} for item, one in zip(items, same, strict=True)]
    )


def key(payment_id: str, at: int) -> dict[str, Any]:
    """The key of a charge of this Unix second."""
    bucket = int.from_bytes(sha256(payment_id.encode()).digest()[:8]) % _BUCKETS
    return {"day": {"S": f"{datetime.fromtimestamp(at, UTC).date()}#{bucket}"}, "payment_id": {"S": payment_id}}


def _kept(one: Labelled, row: list[float], now: int) -> Kept:
    named = f"pay_seeded_{one.charge.payment_id.removeprefix('pay_')}"
    return Kept(replace(one.charge, payment_id=named, at=_moved(one.charge.at, now)), row, one.pattern == FRAUD)


def _moved(at: int, now: int) -> int:
    """The three weeks as the last six days, the way local training divides them (HELD_OUT_DAYS is 1, TRAINING_DAYS 7):
    the first is what it trains on, the second is yesterday, which calibrates, and the third is today, which judges."""
    day, today = (at - START) / DAY, now // DAY * DAY
    times = ((0, today - 6 * DAY), (8, today - DAY), (15, today), (SCALE.days, now))
    (first, begin), (last, end) = next((one, other) for one, other in pairwise(times) if day < other[0])
    return int(begin + (day - first) / (last - first) * (end - begin))


def _scored(kept: Iterable[Kept]) -> Iterator[tuple[Kept, dict[str, Any]]]:
    """Each charge with its item, without a label."""
    model, booster = load_model(SHIPPED), Booster(SHIPPED / "model.txt", len(NAMES))
    for one in kept:
        charge, score = one.charge, model.score(one.row)
        packed = struct.pack(f"<{len(one.row)}d", *one.row)
        keys = {
            kind: {"S": stored_key(name, b"seeded")} for kind, name in entities(charge).items() if kind != "merchant"
        }
        yield (
            one,
            {
                **key(charge.payment_id, charge.at),
                "at": {"N": str(charge.at)},
                "merchant": {"S": charge.merchant},
                "value": {"N": str(value_in_cents(charge))},
                "currency": {"S": charge.currency},
                "features": {"B": compress(packed)},
                "features_hash": {"S": sha256(packed).hexdigest()[:16]},
                "catalogue": {"S": CATALOGUE},
                "score": {"N": str(score)},
                "probability": {"N": repr(booster.predict(one.row))},
                "model": {"S": model.version},
                "decision": {"S": "block" if score > 80 else "review" if score >= 60 else "allow"},
                "weight": {"N": "1"},
                "keys": {"M": keys},
                "unusual": {"BOOL": False},
                "expires_at": {"N": str(charge.at + _LIFETIME)},
            },
        )


def _label(one: Kept) -> dict[str, Any]:
    said = "fraud" if one.fraud else "good"
    return {"label": {"S": said}, "label_source": {"S": "review"}, "labelled_at": {"N": str(one.charge.at)}}


def _write(dynamodb: Any, items: list[dict[str, Any]]) -> None:
    parts = [items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE)]

    def write(part: list[dict[str, Any]]) -> None:
        left = {TABLE: [{"PutRequest": {"Item": item}} for item in part]}
        while left:
            left = dynamodb.batch_write_item(RequestItems=left).get("UnprocessedItems", {})

    with ThreadPoolExecutor(_WRITERS) as writers:
        list(writers.map(write, parts))
