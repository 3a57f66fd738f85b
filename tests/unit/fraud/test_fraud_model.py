"""The shipped model: exact against LightGBM, calm about ordinary charges, and blocking what the demo shows."""

import json
import shutil
from dataclasses import replace
from math import nan
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from functions.fraud.booster import Booster, ModelUnavailable
from functions.fraud.charge import Charge
from functions.fraud.decision import Decision, decide, features_hash
from functions.fraud.features import NAMES
from functions.fraud.model import Calibration, Model, load_model
from functions.fraud.rules import Verdict
from models.fraud.dataset import Memory

SHIPPED = Path(__file__).parents[3] / "models" / "fraud"
MONDAY = 1_795_392_000  # 23 November 2026, 00:00 UTC
HOURS = [MONDAY + hour * 3600 for hour in range(7 * 24)]
TRIED_TOO_OFTEN = Verdict("block", "card_attempts_limit", "global/card_attempts_limit")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(SHIPPED)


def decisions(model: Model, charges: list[Charge]) -> list[Decision]:
    memory, made = Memory(), []
    for charge in charges:
        made.append(decide(memory.features(charge), model))
        memory.count(charge, made[-1].blocked)
    return made


def charge(number: int, amount: int, at: int, card: str = "tok_1") -> Charge:
    return Charge(f"pay_{number}", "mer_1", amount, "USD", at, card, "cus_1", "dev_1")


def test_one_row_by_the_c_api_equals_lightgbms_own_prediction_to_the_bit() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(0, 20, (2000, len(NAMES)))
    rows[random.random(rows.shape) < 0.2] = nan
    rows[random.random(rows.shape) < 0.2] = 0
    expected = lightgbm.Booster(model_file=str(SHIPPED / "model.txt")).predict(rows)
    served = Booster(SHIPPED / "model.txt", len(NAMES))
    assert [served.predict(row.tolist()) for row in rows] == list(np.asarray(expected))


def test_the_shipped_model_has_200_trees_and_is_small() -> None:
    assert lightgbm.Booster(model_file=str(SHIPPED / "model.txt")).num_trees() == 200
    assert (SHIPPED / "model.txt").stat().st_size < 1_000_000


@pytest.mark.parametrize("sent", ["everything", "no device", "no customer", "card only"])
@pytest.mark.parametrize("amount", [1000, 4200, 20_000])
def test_a_new_customers_ordinary_charge_is_far_from_blocked_at_any_hour(model: Model, sent: str, amount: int) -> None:
    changes = {"no device": {"device": None}, "no customer": {"customer": None}}
    left_out = {**changes, "card only": {"device": None, "customer": None}}.get(sent, {})
    for at in HOURS:
        (decision,) = decisions(model, [replace(charge(1, amount, at), **left_out)])
        assert decision.score <= 60


def test_card_testing_is_blocked_at_any_hour(model: Model) -> None:
    """The demo's recipe: twelve cards on one device, a second apart, amounts 100 to 111; then a charge of 950000."""
    for at in HOURS:
        tries = [charge(i, 100 + i, at + i, card=f"tok_{i}") for i in range(12)]
        *_, last = decisions(model, [*tries, charge(12, 950_000, at + 12, card="tok_0")])
        assert last.blocked
        assert {"many_cards_on_device", "device_velocity"} <= set(last.reasons)


def test_one_extreme_amount_from_a_stranger_is_blocked_at_any_hour(model: Model) -> None:
    for at in HOURS:
        (decision,) = decisions(model, [charge(1, 950_000, at)])
        assert decision.blocked
        assert decision.reasons[0] == "amount"


def test_a_blocked_amount_stays_blocked_when_tried_again(model: Model) -> None:
    assert all(decision.blocked for decision in decisions(model, [charge(i, 950_000, MONDAY + i) for i in range(20)]))


@pytest.mark.parametrize("cards", [1, 10, 200])
def test_many_ordinary_charges_of_one_customer_are_not_blocked_by_the_model(model: Model, cards: int) -> None:
    for at in HOURS[::24]:
        stream = [charge(i, 4200, at + i, card=f"tok_{i % cards}") for i in range(200)]
        assert not any(decision.blocked for decision in decisions(model, stream))


def test_what_rules_block_is_blocked_whatever_the_model_says(model: Model) -> None:
    row = Memory().features(charge(9, 4200, MONDAY))
    assert decide(row, model, TRIED_TOO_OFTEN).answer() == {
        "score": 100,
        "decision": "block",
        "reasons": ["card_attempts_limit"],
        "model": "rules",
        "degraded": False,
        "features_hash": features_hash(row),
        "rule": "global/card_attempts_limit",
    }


def test_without_a_model_the_rules_still_speak() -> None:
    row = Memory().features(charge(0, 4200, MONDAY))
    seen = features_hash(row)
    assert decide(row, None) == Decision(0, "review", ("model_unavailable",), "rules", True, seen)
    assert decide(row, None, TRIED_TOO_OFTEN) == Decision(
        100, "block", ("card_attempts_limit",), "rules", True, seen, "global/card_attempts_limit"
    )


def test_scores_are_integers_that_pass_80_exactly_above_its_knot() -> None:
    calibration = Calibration((-4.0, 0.0, 4.0), (0.0, 80.0, 100.0))
    at_knot, above = calibration.score(0.5), calibration.score(0.5000001)
    assert (at_knot, above) == (80, 81)
    assert (calibration.score(0.0), calibration.score(1.0)) == (0, 100)
    scores = [calibration.score(p / 1000) for p in range(1001)]
    assert scores == sorted(scores)


def test_a_model_of_another_catalogue_or_a_damaged_file_is_refused(tmp_path: Path) -> None:
    for name in ("model.txt", "model.json"):
        shutil.copy(SHIPPED / name, tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**about, "features": about["features"][::-1]}))
    with pytest.raises(ModelUnavailable, match="other features"):
        load_model(tmp_path)
    (tmp_path / "model.txt").write_text("tree")
    with pytest.raises(ModelUnavailable, match="not the file"):
        load_model(tmp_path)
    with pytest.raises(ModelUnavailable, match="BoosterCreateFromModelfile"):
        Booster(tmp_path / "model.txt", len(NAMES))
    with pytest.raises(ModelUnavailable):
        load_model(tmp_path / "nowhere")
