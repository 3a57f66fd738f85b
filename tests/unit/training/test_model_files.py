"""A model's files: what serving loads, and what is not a model."""

import json
from math import nan

import numpy as np
import pytest

from functions.fraud.booster import ModelUnavailable
from functions.fraud.features import NAMES
from functions.fraud.model import load_model
from functions.training import calibration, champion, model_files
from functions.training.learner import probabilities, train
from functions.training.model_files import ABOUT, FILES, REFERENCE, TEXT, Damaged
from tests.unit.training.made import traffic


@pytest.fixture(scope="module")
def rows():
    """Charges with as many features as the catalogue has."""
    return traffic(6_000, width=len(NAMES))


@pytest.fixture(scope="module")
def files(rows):
    """The files of a model of these."""
    booster = train(rows.features, rows.label, NAMES, rows.weight)
    knots = calibration.knots(rows.label, probabilities(booster, rows.features), rows.weight)
    return model_files.write(booster, knots, NAMES, rows.features, rows.weight, training={"run": "r"})


def test_serving_scores_as_training_does(rows, files, tmp_path):
    for name in (TEXT, ABOUT):
        (tmp_path / name).write_bytes(files[name])

    serving, learned = load_model(tmp_path), model_files.read(*(files[name] for name in (TEXT, ABOUT, REFERENCE)))

    few = rows.features[:200].copy()
    few[::7, 3] = nan
    mine = calibration.scores(learned.knots, probabilities(learned.booster, few))
    assert serving.version == learned.version
    assert [serving.score(list(row)) for row in few] == list(mine)


def test_the_shipped_model_has_all_files_and_is_of_this_catalogue():
    shipped = champion.learned(champion.shipped())

    assert shipped.names == NAMES
    assert shipped.reference is not None
    assert tuple(shipped.reference.features) == NAMES
    assert json.loads((champion.SHIPPED / ABOUT).read_text())["block_above"] == calibration.BLOCK_ABOVE


def test_files_that_do_not_belong_together_are_refused_by_both(files, tmp_path):
    other = {**files, TEXT: files[TEXT] + b"\n"}
    for name in (TEXT, ABOUT):
        (tmp_path / name).write_bytes(other[name])

    with pytest.raises(Damaged, match="is not the file"):
        model_files.read(other[TEXT], other[ABOUT], other[REFERENCE])
    with pytest.raises(ModelUnavailable, match="is not the file"):
        load_model(tmp_path)


@pytest.mark.parametrize("about", [b"", b"{}", b"[]", b'{"sha256": 1}'])
def test_what_says_nothing_of_a_model_is_damaged(files, about):
    with pytest.raises(Damaged):
        model_files.read(files[TEXT], about, None)


def test_a_version_is_named_last(files):
    """Whoever finds model.json finds the others."""
    assert FILES[-1] == ABOUT
    assert set(FILES) == set(files)


def test_a_catalogue_is_its_names_in_their_order():
    assert model_files.catalogue(("a", "b")) != model_files.catalogue(("b", "a"))
    assert np.char.isalnum(model_files.catalogue(NAMES)) and len(model_files.catalogue(NAMES)) == 16
