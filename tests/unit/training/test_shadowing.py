"""The last look: what both models said of the same charges."""

import math

import numpy as np
import pytest

from functions.training.shadowing import Both, both, judge

SINCE = 1_000


def _record(score, second, *, at=SINCE, model="old", shadow="new", weight=1.0):
    return {
        "at": at,
        "model": model,
        "score": float(score),
        "weight": weight,
        "shadow_model": shadow,
        "shadow_score": float(second),
        "shadow_probability": 0.5,
    }


def _said(seed=1, size=2_000, **changes):
    random = np.random.default_rng(seed)
    first = np.clip(random.exponential(10, size), 0, 79)
    second = np.clip(first + random.normal(0, 2, size), 0, 79)
    return Both(**{"champion": list(first), "challenger": list(second), "weight": [1.0] * size, **changes})


def _words(of, least=1_000):
    return [reason.split(":")[0] for reason in judge(of, least)[0]]


def test_scores_of_neighbouring_models_pass():
    reasons, figures = judge(_said(), 1_000)

    assert not reasons
    assert figures["charges"] == 2_000
    assert figures["correlation"] > 0.9


def test_too_few_charges_say_too_little():
    assert _words(_said(size=999)) == ["too_few_charges"]
    assert _words(Both(), 0) == ["too_few_charges"]


def test_answers_that_are_no_scores_or_not_there_refuse():
    assert _words(_said(errors=1)) == ["errors"]
    assert _words(_said(absent=222)) == []
    assert _words(_said(absent=223)) == ["absent"]


@pytest.mark.parametrize("of", ["champion", "challenger"])
def test_a_model_that_blocks_far_more_or_far_fewer_is_refused(of):
    said = _said()
    for at in range(10):
        getattr(said, of)[at] = 95.0
        getattr(said, "challenger" if of == "champion" else "champion")[at] = 70.0

    assert _words(said) == ["blocked"]


def test_a_model_that_has_forgotten_what_its_predecessor_keeps_out_is_refused():
    """It blocks as many charges, but others."""
    said = _said(size=20_000)
    said.champion[:20], said.challenger[:20] = [90.0] * 20, [49.0] * 5 + [90.0] * 15

    assert _words(said) == ["forgotten"]
    said.challenger[0] = 50.0
    assert _words(said) == []
    said.champion[19], said.challenger[:20] = 79.0, [49.0] * 20
    assert "forgotten" not in _words(said), "of so few nothing can be said"


def test_scores_that_have_nothing_to_do_with_each_other_are_refused():
    said = _said()
    said.challenger = list(np.random.default_rng(3).permutation(said.challenger))

    assert _words(said) == ["correlation"]


def test_scores_that_are_all_higher_are_refused():
    said = _said()
    said.challenger = [min(score + 25, 79.0) if score <= 80 else score for score in said.champion]

    assert "index" in _words(said)


def test_a_charge_counts_as_what_it_stands_for():
    said = _said(weight=[1.0] * 1_990 + [20.0] * 10)
    said.champion[-10:], said.challenger[-10:] = [50.0] * 10, [95.0] * 10

    assert "blocked" in _words(said)
    assert judge(said, 1_000)[1]["blocked"]["challenger"] == pytest.approx(200 / 2_190, abs=0.002)


def test_only_what_both_were_asked_about_since_then_counts():
    found = [
        ("east", _record(1, 2, at=SINCE - 1)),
        ("east", _record(1, 2, model="rules")),
        ("east", _record(1, 2, shadow="", at=SINCE)),
        ("east", _record(1, 2, at=SINCE + 5)),
        ("east", _record(3, 4, shadow="another", at=SINCE + 6)),
        ("west", _record(1, 2, shadow="", at=SINCE + 9)),
        ("west", _record(5, math.nan, at=SINCE + 10)),
        ("west", _record(5, 101, at=SINCE + 10)),
    ]

    said = both(found, "old", "new", SINCE)

    assert (said.champion, said.challenger) == ([1.0], [2.0])
    assert said.absent == 1, "in the east it had been there before; in the west not yet"
    assert said.errors == 2
