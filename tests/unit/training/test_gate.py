"""The gate: what passes, what does not, and that it says why."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.training import gate
from functions.training.gate import Judged, judge
from tests.unit.training.made import NAMES, made, repeated, shuffled, traffic


def _model(rows, quality=2.0, seed=0, blocks=0.97):
    """What a model would say: the better, the further apart frauds and good charges are."""
    noise = np.random.default_rng(seed).normal(size=len(rows))
    probability = 1 / (1 + np.exp(-(noise + rows.label * quality)))
    return Judged(probability, np.where(probability > blocks, 90.0, 10.0))


def test_a_model_passes_against_itself():
    rows = traffic(20_000)
    model = _model(rows)

    verdict = judge(rows, NAMES, model, model)

    assert verdict.passed
    overall = verdict.figures["overall"]
    assert overall["champion"] == overall["challenger"]
    assert overall["frauds"] + overall["good"] == len(rows)


def test_a_better_model_passes_and_a_worse_one_is_told_why():
    rows = traffic(20_000)
    good, bad = _model(rows, 4.0), _model(rows, 1.0)

    assert judge(rows, NAMES, bad, good).passed
    verdict = judge(rows, NAMES, good, bad)
    assert not verdict.passed
    words = [reason.split(":")[0] for reason in verdict.reasons]
    assert {"overall", "new card", "known card", "currency USD", "merchant mer_1"} <= set(words)
    before, after = (verdict.figures["overall"][name] for name in ("champion", "challenger"))
    assert f"overall: recall {after['recall']} against {before['recall']}, worse by more than 0.02" in verdict.reasons


def test_a_model_that_gives_up_one_segment_is_refused_though_it_is_better_on_the_whole():
    """It finds more frauds than the champion, but none on new cards any more."""
    rows = traffic(20_000, frauds=0.2)
    champion, challenger = _model(rows, 2.0), _model(rows, 5.0)
    new = rows.features[:, 1] == 1
    challenger.probability[new] = np.random.default_rng(9).random(int(new.sum())) * 0.1

    verdict = judge(rows, NAMES, champion, challenger)

    overall = verdict.figures["overall"]
    assert overall["challenger"]["recall"] > overall["champion"]["recall"]
    assert "new card" in {reason.split(":")[0] for reason in verdict.reasons}


def test_a_model_that_blocks_more_good_charges_is_refused():
    rows = traffic(20_000)
    champion = _model(rows)
    probability = champion.probability
    stricter = Judged(probability, np.where(probability > 0.90, 90.0, 10.0))

    reasons = judge(rows, NAMES, champion, stricter).reasons

    assert any(reason.startswith("overall: blocked_good") for reason in reasons)
    assert not any("recall" in reason or "average_precision" in reason for reason in reasons), "it ranks alike"


def test_segments_with_few_frauds_are_not_judged():
    label = np.arange(4_000) % 20 == 0
    merchant = np.where((np.arange(4_000) % 40 == 0) & (np.arange(4_000) < 1_960), "mer_few", "mer_many")
    rows = made(np.zeros((4_000, 3)), label, merchant=merchant)
    assert int(label[merchant == "mer_few"].sum()) == gate.LEAST_FRAUDS - 1

    segments = judge(rows, NAMES, _model(rows), _model(rows)).figures["segments"]

    assert "merchant mer_many" in segments
    assert "merchant mer_few" not in segments


def test_margins_are_not_those_of_rounding():
    """Exactly the margin is not yet worse."""
    figures = {"average_precision": 0.9, "recall": 0.8, "blocked_good": 0.002}
    at = {"average_precision": 0.89, "recall": 0.78, "blocked_good": 0.0025}
    beyond = {"average_precision": 0.889, "recall": 0.779, "blocked_good": 0.0026}

    assert not gate._worse("overall", {"champion": figures, "challenger": at}, gate.OVERALL)
    assert len(gate._worse("overall", {"champion": figures, "challenger": beyond}, gate.OVERALL)) == 3


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 100))
def test_weights_count_as_repeated_rows_and_order_does_not_matter(seed):
    rows = traffic(1_500, seed=seed)
    models = [_model(rows, 2.0, 1), _model(rows, 1.5, 2)]
    many = np.repeat(np.arange(len(rows)), rows.weight.astype(int))
    order = np.random.default_rng(seed).permutation(len(rows))

    found = judge(rows, NAMES, *models)

    other = judge(shuffled(rows, seed), NAMES, *(Judged(one.probability[order], one.score[order]) for one in models))
    assert other.reasons == found.reasons
    _same(other.figures, found.figures)
    apart = judge(repeated(rows), NAMES, *(Judged(one.probability[many], one.score[many]) for one in models))
    for name in ("champion", "challenger"):
        _same(apart.figures["overall"][name], found.figures["overall"][name])


def _same(one, other):
    """Equal but for the order of addition."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            _same(one[name], other[name])
    else:
        assert one == pytest.approx(other, abs=2e-6)


def test_a_gate_without_fraud_is_none():
    rows = traffic(100, frauds=0.0)
    with pytest.raises(ValueError, match="needs frauds"):
        judge(rows, NAMES, _model(rows), _model(rows))
