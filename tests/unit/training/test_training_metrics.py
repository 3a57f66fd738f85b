"""Figures of ranking and calibration: of weighted rows as of repeated ones, and as serving has them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from functions.fraud import model as serving
from functions.training import calibration
from functions.training.metrics import auc, average_precision, recall_at, share, threshold_at


@st.composite
def ranked(draw):
    """Labels of both kinds, scores with ties, and whole weights."""
    size = draw(st.integers(4, 40))
    labels = draw(arrays.arrays(bool, size))
    labels[:2] = True, False
    scores = draw(arrays.arrays(np.int64, size, elements=st.integers(0, 12))) / 12
    weights = draw(arrays.arrays(np.int64, size, elements=st.integers(1, 5)))
    return labels, scores, weights.astype(float)


@given(ranked(), st.floats(0, 0.9))
def test_a_weight_counts_as_so_many_equal_rows(found, rate):
    labels, scores, weights = found
    many = weights.astype(int)
    apart = np.repeat(labels, many), np.repeat(scores, many)

    assert auc(labels, scores, weights) == pytest.approx(auc(*apart))
    assert average_precision(labels, scores, weights) == pytest.approx(average_precision(*apart))
    assert threshold_at(labels, scores, rate, weights) == threshold_at(*apart, rate)
    assert recall_at(labels, scores, rate, weights) == pytest.approx(recall_at(*apart, rate))


@given(ranked(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(found, random):
    labels, scores, weights = found
    order = list(range(len(labels)))
    random.shuffle(order)

    for figure in (auc, average_precision):
        assert figure(labels, scores, weights) == pytest.approx(figure(labels[order], scores[order], weights[order]))
    assert threshold_at(labels, scores, 0.1, weights) == threshold_at(labels[order], scores[order], 0.1, weights[order])


@given(ranked(), st.floats(0, 0.9))
def test_no_more_good_charges_than_allowed_lie_above_the_threshold(found, rate):
    labels, scores, weights = found

    cut = threshold_at(labels, scores, rate, weights)

    assert share(scores[~labels] > cut, weights[~labels]) <= rate + 1e-9


def test_figures_of_a_ranking_by_hand():
    labels = np.array([True, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.1])

    assert auc(labels, scores) == 0.75
    assert average_precision(labels, scores) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert threshold_at(labels, scores, 0.0) == 0.8
    assert recall_at(labels, scores, 0.0) == 0.5
    assert recall_at(labels, scores, 0.5) == 1.0


def test_training_and_serving_block_above_the_same_score():
    assert calibration.BLOCK_ABOVE == serving.BLOCK_ABOVE
    assert calibration.KNOTS[-1][0] == serving.BLOCK_ABOVE


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=50),
    st.lists(st.floats(-20, 20), min_size=5, max_size=5, unique=True),
)
def test_many_scores_at_once_are_those_that_serving_gives_one_by_one(probabilities, odds):
    knots = calibration.Knots(tuple(sorted(odds)), (0.0, 20.0, 50.0, 80.0, 100.0))

    found = calibration.scores(knots, np.array(probabilities))

    one_by_one = serving.Calibration(knots.odds, knots.scores)
    for probability, score in zip(probabilities, found, strict=True):
        assert abs(score - one_by_one.score(probability)) <= 1, "log in numpy and in math may differ in the last bit"
        assert (score > 80) == (one_by_one.score(probability) > 80) or np.isclose(
            serving.log_odds(probability), knots.odds[3], rtol=1e-12
        )


@given(st.integers(0, 50))
def test_weighted_knots_are_those_of_repeated_rows(seed):
    random = np.random.default_rng(seed)
    fraud, probability = random.random(3_000) < 0.05, random.random(3_000)
    weights = random.integers(1, 4, 3_000)

    found = calibration.knots(fraud, probability, weights.astype(float))

    assert found == calibration.knots(np.repeat(fraud, weights), np.repeat(probability, weights))
    scores = calibration.scores(found, probability)
    assert share(scores[~fraud] > 80, weights[~fraud].astype(float)) == pytest.approx(0.002, abs=0.0007)


def test_probabilities_that_are_all_alike_are_not_calibrated():
    with pytest.raises(calibration.NotCalibrated, match="do not increase"):
        calibration.knots(np.array([True, False, False]), np.array([0.5, 0.5, 0.5]))
