"""Which rows there are, what they stand for, and which days serve what."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.training import rows as columns
from functions.training.labels import due_days, taught
from functions.training.learner import train
from functions.training.sample import Sample
from functions.training.split import lacking, split
from tests.unit.training.made import DAY, NAMES, made, shuffled, traffic

AS_OF = 100 * DAY


def _charge(age_days, **more):
    return {"at": AS_OF - age_days * DAY, "decision": "allow", **more}


# Labels


@pytest.mark.parametrize(
    ("charge", "what"),
    [
        (_charge(29), "young"),
        (_charge(30), "good"),
        (_charge(31, decision="review"), "good"),
        (_charge(31, decision="block"), "blocked"),
        (_charge(31, decision="block", label="fraud", labelled_at=AS_OF), "fraud"),
        (_charge(31, decision="block", label="good", labelled_at=AS_OF), "good"),
        (_charge(31, label="fraud", labelled_at=AS_OF), "fraud"),
        (_charge(31, label="fraud", labelled_at=AS_OF + 1), "good"),
        (_charge(31, decision="block", label="good", labelled_at=AS_OF + 1), "blocked"),
        (_charge(3, label="fraud", labelled_at=AS_OF), "young"),
    ],
)
def test_what_a_charge_teaches(charge, what):
    assert taught(charge, AS_OF, 30) == what


def test_locally_labels_are_due_at_once():
    assert taught(_charge(0), AS_OF, 0) == "good"
    assert 100 in due_days(AS_OF + 5, 60, 0), "today's charges, too"


@given(st.integers(0, 10**9), st.integers(0, 60))
def test_every_due_charge_of_the_last_days_is_on_one_of_the_days_that_are_read(as_of, label_days):
    days = due_days(as_of, 60, label_days)

    for seconds in (0, 59 * DAY, 60 * DAY - 1):
        assert (as_of - label_days * DAY - seconds) // DAY in days


# The sample


def _all(sample):
    return columns.joined(list(sample.days()), 3)


@settings(deadline=None)
@given(st.integers(0, 1_000), st.integers(40, 2_000))
def test_a_sample_is_small_stands_for_all_and_does_not_depend_on_the_order(seed, most):
    rows = traffic(1_500, days=1, seed=seed)
    first, second = Sample(most), Sample(most)
    for part in np.array_split(np.arange(len(rows)), 7):
        first.add(rows.take(part))
    for part in np.array_split(np.random.default_rng(seed).permutation(len(rows)), 3):
        second.add(rows.take(part))

    kept, again = _all(first), _all(second)

    assert len(kept) <= most
    _equal(kept, again)
    if most >= 2_000:
        assert float(kept.weight.sum()) == float(rows.weight.sum())
    assert kept.label.sum() == rows.label.sum() or kept.label.sum() > most // 16, "frauds are kept first"


def test_weights_of_what_is_left_make_up_for_what_is_not():
    rows = traffic(40_000, days=1)
    sample = Sample(4_000)
    sample.add(rows)

    kept = _all(sample)

    assert len(kept) <= 4_000
    for of in (True, False):
        before, after = (float(one.weight[one.label == of].sum()) for one in (rows, kept))
        assert after == pytest.approx(before, rel=0.15)


# The file


def test_rows_survive_their_file_and_make_the_same_bytes(tmp_path):
    rows = traffic(300, days=3)
    columns.save(tmp_path / "one.npz", [rows], 3)
    columns.save(tmp_path / "two.npz", [rows.take(slice(0, 100)), rows.take(slice(100, None))], 3)

    _equal(columns.load(tmp_path / "one.npz"), rows)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_file_of_nothing_has_no_rows(tmp_path):
    columns.save(tmp_path / "none.npz", [], 65)

    found = columns.load(tmp_path / "none.npz")
    assert (len(found), found.features.shape) == (0, (0, 65))
    assert lacking(split(found, 7), 1, 1)


# The split


@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 100))
def test_periods_follow_one_another_and_lose_nothing(days, held_out_days, seed):
    rows = traffic(200, days=days, seed=seed)

    found = split(rows, held_out_days)

    parts = [found.train, found.calibrate, found.held_out]
    assert sum(map(len, parts)) == len(rows)
    for before, after in ((parts[0], parts[1]), (parts[0], parts[2]), (parts[1], parts[2])):
        if len(before) and len(after):
            assert before.at.max() // DAY < after.at.min() // DAY, "no day is in two periods"
    assert len(np.unique(found.held_out.at // DAY)) == min(held_out_days, len(np.unique(rows.at // DAY)))


def test_days_without_charges_are_no_days():
    rows = made(np.zeros((4, 3)), [True] * 4, at=[0, 5 * DAY, 6 * DAY, 9 * DAY])

    found = split(rows, 1)

    assert [list(part.at // DAY) for part in (found.train, found.calibrate, found.held_out)] == [[0, 5], [6], [9]]


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 100))
def test_the_same_rows_make_the_same_model_in_any_order(seed):
    rows = traffic(600, seed=seed)

    one, other = (split(of, 2).train for of in (rows, shuffled(rows, seed)))

    models = [train(of.features, of.label, NAMES, of.weight).model_to_string() for of in (one, other)]
    assert models[0] == models[1]


def test_what_is_lacking_is_said():
    found = split(traffic(1_000, frauds=0.1), 2)

    assert lacking(found, 10, 10) == []
    reasons = lacking(found, 500, 10)
    assert reasons and all(reason.startswith("too_little_data: ") and "frauds, needs" in reason for reason in reasons)


def _equal(one, other):
    for field in dataclasses.fields(columns.Rows):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
