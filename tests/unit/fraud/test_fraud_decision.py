"""What a score means for a merchant, why it is high, and which features it came from."""

import struct
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.fraud import reasons as fraud_reasons
from functions.fraud.booster import Booster, ModelUnavailable
from functions.fraud.charge import Charge
from functions.fraud.decision import LISTS_UNAVAILABLE, Limits, blind, decide, features_hash
from functions.fraud.features import NAMES
from functions.fraud.model import Model, load_model
from functions.fraud.reasons import CODES, MOST_REASONS, WORTH_SAYING, reasons
from functions.fraud.rules import CODES as RULE_CODES
from functions.fraud.rules import Verdict
from models.fraud.dataset import Memory
from payments.reasons import TEXTS

SHIPPED = Path(__file__).parents[3] / "models" / "fraud"
NOON = 1_795_435_200  # 23 November 2026, 12:00 UTC
CHARGE = Charge("pay_1", "mer_1", 950_000, "USD", NOON, "tok_1", "cus_1", "dev_1")
EVERY_CODE = {
    *CODES.values(),
    fraud_reasons.MODEL_SCORE,
    fraud_reasons.MODEL_UNAVAILABLE,
    fraud_reasons.PROFILES_UNAVAILABLE,
    *RULE_CODES,
    LISTS_UNAVAILABLE,
    "scoring_unavailable",
}


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(SHIPPED)


@pytest.fixture
def row() -> list[float]:
    return Memory().features(CHARGE)


def rows() -> np.ndarray:
    random = np.random.default_rng(2)
    made = random.normal(0, 20, (300, len(NAMES)))
    made[random.random(made.shape) < 0.2] = nan
    made[random.random(made.shape) < 0.2] = 0
    return made


def test_contributions_by_the_c_api_equal_lightgbms_own_to_the_bit() -> None:
    expected = lightgbm.Booster(model_file=str(SHIPPED / "model.txt")).predict(rows(), pred_contrib=True)
    served = Booster(SHIPPED / "model.txt", len(NAMES))
    assert [served.contributions(row.tolist()) for row in rows()] == np.asarray(expected).tolist()


def test_contributions_add_up_to_the_log_odds_of_the_prediction() -> None:
    served = Booster(SHIPPED / "model.txt", len(NAMES))
    for row in rows()[:50].tolist():
        assert 1 / (1 + np.exp(-sum(served.contributions(row)))) == pytest.approx(served.predict(row), rel=1e-9)


def test_asking_why_changes_no_prediction() -> None:
    asked, left_alone = (Booster(SHIPPED / "model.txt", len(NAMES)) for _ in range(2))
    for row in rows()[:20].tolist():
        asked.contributions(row[::-1])
        assert asked.predict(row) == left_alone.predict(row)


def test_every_feature_has_a_code_and_every_code_a_text() -> None:
    assert set(NAMES) <= set(CODES)
    assert set(TEXTS) >= EVERY_CODE
    assert all(code.isidentifier() and code.islower() for code in EVERY_CODE)


def test_contributions_of_one_code_are_summed_and_the_largest_comes_first() -> None:
    contributions = {"card_count_1h": 0.4, "card_count_24h": 0.4, "amount_log": 0.7, "hour": -3.0, "weekday": 2.0}
    found = reasons(contributions, [1.0] * 5)
    assert found == ("card_velocity", "amount")


def test_what_lowers_the_score_or_hardly_raises_it_is_no_reason() -> None:
    contributions = dict.fromkeys(NAMES, 0.0) | {"amount_log": -2.0, "hour": WORTH_SAYING / 2}
    assert reasons(contributions, [1.0] * len(NAMES)) == ("model_score",)


def test_what_was_not_sent_is_no_reason_but_that_nothing_is_known_is_one() -> None:
    """Many cards from its IP address: untrue of a charge that came without one."""
    contributions = {"ip_cards": 2.0, "email_count_24h": 1.0, "device_age_days": 0.5, "amount_log": 0.3}
    assert reasons(contributions, [nan, nan, nan, 9.0]) == ("device_history", "amount")
    assert reasons(contributions, [9.0, nan, nan, 9.0]) == ("many_cards_on_ip", "device_history", "amount")


@given(st.dictionaries(st.sampled_from(NAMES), st.floats(-50, 50), min_size=1))
def test_reasons_are_few_known_and_no_other_raises_the_score_more(contributions: dict[str, float]) -> None:
    found = reasons(contributions, [1.0] * len(contributions))
    sums = {code: sum(c for n, c in contributions.items() if CODES[n] == code) for code in CODES.values()}
    assert 1 <= len(found) == len(set(found)) <= MOST_REASONS
    if found != ("model_score",):
        unsaid = max((total for code, total in sums.items() if code not in found), default=-inf)
        said = [sums[code] for code in found]
        assert said == sorted(said, reverse=True)
        assert said[-1] >= WORTH_SAYING
        assert len(found) < MOST_REASONS or said[-1] >= unsaid - 1e-9


@pytest.mark.parametrize(
    ("asked", "score", "decision"),
    [
        (None, 59, "allow"),
        (None, 60, "review"),
        (None, 80, "review"),
        (None, 81, "block"),
        ({"block": None, "review": None}, 60, "review"),
        ({"block": 100, "review": None}, 100, "review"),  # never blocked by its score
        ({"block": 50, "review": None}, 49, "allow"),  # what the platform reviews, this merchant blocks
        ({"block": 50, "review": None}, 50, "review"),
        ({"block": 50, "review": None}, 51, "block"),
        ({"block": 70, "review": 10}, 9, "allow"),
        ({"block": 70, "review": 10}, 10, "review"),
        ({"block": None, "review": 0}, 0, "review"),  # a merchant who wants to have everything looked at
        ({"block": 90}, 85, "review"),
    ],
)
def test_a_merchants_limits_decide_what_its_score_means(
    asked: dict[str, int] | None, score: int, decision: str
) -> None:
    assert Limits.of(asked).decide(score) == decision


@given(st.integers(50, 100), st.none() | st.integers(0, 100))
def test_a_higher_score_is_never_treated_better(block: int, review: int | None) -> None:
    limits = Limits.of({"block": block, "review": review})
    told = [("allow", "review", "block").index(limits.decide(score)) for score in range(101)]
    assert told == sorted(told)


def test_a_blocked_or_reviewed_charge_says_why_and_an_allowed_one_does_not(model: Model, row: list[float]) -> None:
    blocked = decide(row, model)
    reviewed = decide(row, model, limits=Limits(block=100, review=60))
    allowed = decide(row, model, limits=Limits(block=100, review=100))

    assert [found.decision for found in (blocked, reviewed, allowed)] == ["block", "review", "allow"]
    assert blocked.score == reviewed.score == allowed.score > 80
    assert blocked.reasons == reviewed.reasons != ()
    assert allowed.reasons == ()
    assert not any(found.degraded or found.rule for found in (blocked, reviewed, allowed))


def test_an_allowed_charge_is_not_explained_because_that_costs_a_hundred_predictions(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(model, "contributions", asked.append)
    ordinary = Memory().features(replace(CHARGE, amount=4200))
    assert decide(ordinary, model).decision == "allow"
    assert not asked


def test_a_score_counts_although_nobody_can_say_why(
    model: Model, row: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise ModelUnavailable("contributions")

    monkeypatch.setattr(model, "contributions", away)
    found = decide(row, model)
    assert (found.decision, found.reasons, found.degraded) == ("block", ("model_score",), False)


def test_a_model_that_fails_sends_the_charge_to_review_and_not_away(
    model: Model, row: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise ModelUnavailable("predict")

    monkeypatch.setattr(model, "score", away)
    found = decide(row, model, limits=Limits(block=100, review=100))
    assert (found.decision, found.degraded, found.model) == ("review", True, "rules")
    assert blind().decision == "review"


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("with_model", [True, False])
@pytest.mark.parametrize("amount", [4200, 950_000])
def test_what_lists_and_rules_say_and_the_score_come_to_the_stricter(
    model: Model, amount: int, with_model: bool, complete: bool
) -> None:
    row = Memory().features(replace(CHARGE, amount=amount))
    whole = complete and with_model
    by_score = "review" if not with_model else "block" if amount > 4200 else "allow"
    expected = {
        None: by_score if complete or by_score == "block" else "review",
        "review": "block" if by_score == "block" else "review",
        "allow": "allow" if complete else "review",
        "block": "block",
    }
    for said, decision in expected.items():
        verdict = Verdict(said, "card_testing", "global/r") if said else None
        found = decide(row, model if with_model else None, verdict, complete)
        assert (found.decision, found.degraded) == (decision, not whole), said
        assert found.rule == ("global/r" if said else None)
        assert not said or found.reasons[0] == "card_testing"


def test_without_profiles_only_a_block_is_more_than_a_review() -> None:
    for said, decision in ((None, "review"), ("review", "review"), ("allow", "review"), ("block", "block")):
        found = blind(Verdict(said, "card_testing", "global/r") if said else None, True)
        assert (found.decision, found.degraded) == (decision, True)


def test_the_hash_is_of_the_rows_bytes() -> None:
    from hashlib import sha256

    assert features_hash([1, 2.5]) == sha256(struct.pack("<dd", 1.0, 2.5)).hexdigest()[:16]


@given(st.lists(st.floats(), min_size=1, max_size=40))
def test_equal_rows_have_one_hash_whatever_their_nan_and_zero_look_like(numbers: list[float]) -> None:
    other_nan = struct.unpack("<d", b"\x01\0\0\0\0\0\xf8\xff")[0]
    same = [other_nan if x != x else -0.0 if x == 0 else x for x in numbers]
    assert features_hash(same) == features_hash(numbers)
    changed = [numbers[0] + 1.0 if abs(numbers[0]) < 1e9 else 0.0, *numbers[1:]]
    assert features_hash(changed) != features_hash(numbers)
