"""The population stability index: what it is, and what moves it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.training import drift
from tests.unit.training.made import NAMES, repeated, shuffled, traffic


def _index(reference, rows, weights=None):
    found = drift.drift(reference, NAMES, rows, weights)
    assert found is not None
    return found


def test_the_index_by_hand():
    assert drift.index((0.5, 0.5), (0.5, 0.5)) == 0
    expected = (0.6 - 0.5) * np.log(0.6 / 0.5) + (0.4 - 0.5) * np.log(0.4 / 0.5)
    assert drift.index((0.5, 0.5), (0.6, 0.4)) == pytest.approx(expected)
    assert drift.index((1.0, 0.0), (0.0, 1.0)) > 1, "and finite"


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_the_index_is_never_negative(expected, actual):
    assert drift.index(expected, actual) >= 0


def test_the_same_rows_do_not_drift_and_other_days_hardly():
    rows = traffic(20_000, seed=1)
    reference = drift.reference(NAMES, rows.features, rows.weight)

    assert set(_index(reference, rows.features, rows.weight).values()) == {0.0}
    assert max(_index(reference, traffic(20_000, seed=2).features).values()) < drift.STABLE / 10


def test_a_feature_that_shifts_is_named_and_no_other():
    rows = traffic(20_000)
    reference = drift.reference(NAMES, rows.features)
    moved = rows.features.copy()
    moved[:, 2] += 1

    found = _index(reference, moved)

    assert found["other"] > drift.SHIFTED
    assert found["amount_log"] == found["card_new"] == 0


def test_values_that_stay_away_are_drift():
    rows = traffic(20_000)
    reference = drift.reference(NAMES, rows.features)
    missing = rows.features.copy()
    missing[:10_000, 0] = np.nan

    assert _index(reference, missing)["amount_log"] > drift.SHIFTED
    assert drift.reference(NAMES, missing).features["amount_log"].shares[-1] == 0.5


def test_a_flag_that_nearly_no_row_had_is_seen_to_become_common():
    features = np.zeros((5_000, 3))
    features[:20, 1] = 1
    reference = drift.reference(NAMES, features)
    features[:1_000, 1] = 1

    assert _index(reference, features)["card_new"] > drift.SHIFTED


@given(st.integers(0, 20))
def test_weights_count_as_repeated_rows_and_order_does_not_matter(seed):
    rows = traffic(1_500, seed=seed)

    found = drift.reference(NAMES, rows.features, rows.weight)

    assert found.features == drift.reference(NAMES, repeated(rows).features).features
    other = shuffled(rows, seed)
    assert found == drift.reference(NAMES, other.features, other.weight)


def test_few_rows_say_nothing():
    rows = traffic(5_000)
    reference = drift.reference(NAMES, rows.features)

    assert drift.drift(reference, NAMES, rows.features[: drift.LEAST_ROWS - 1]) is None


def test_a_reference_survives_its_file():
    reference = drift.reference(NAMES, traffic(2_000).features)

    assert drift.Reference.of(json.loads(json.dumps(reference.as_json()))) == reference
