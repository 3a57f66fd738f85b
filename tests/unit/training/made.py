"""Rows for the tests of training: columns of numbers, and what is said of them."""

import numpy as np

from functions.training.rows import COLUMNS, Rows, draw

DAY = 86_400
NAMES = ("amount_log", "card_new", "other")


def made(features, label, **columns):
    """Rows with these features and labels; every other column as given, or the same for all."""
    size = len(label)
    usual = {
        "weight": 1.0,
        "at": 0,
        "value": 2_500,
        "currency": "USD",
        "merchant": "mer_1",
        "model": "m",
        "shadow_model": "",
        "draw": np.array([draw(str(number)) for number in range(size)]),
    }
    given = {**dict.fromkeys(COLUMNS, np.nan), **usual, **columns, "label": label}
    features = np.asarray(features, dtype=float).reshape(size, -1)
    return Rows(features, **{name: np.broadcast_to(given[name], size).astype(kind) for name, kind in COLUMNS.items()})


def traffic(size, *, days=10, frauds=0.1, seed=1, width=3):
    """Charges in order of time, whose features tell frauds from good charges fairly well."""
    random = np.random.default_rng(seed)
    label = random.random(size) < frauds
    features = random.normal(size=(size, width)) + label[:, None] * 1.5
    features[:, 1] = random.random(size) < 0.3
    return made(
        features,
        label,
        at=np.sort(random.integers(0, days * DAY, size)),
        value=random.integers(100, 200_000, size),
        weight=random.choice([1.0, 20.0], size),
    )


def repeated(rows):
    """Every row as often as its weight says, with the weight one."""
    where = np.repeat(np.arange(len(rows)), rows.weight.astype(int))
    return rows.take(where).weighted(np.ones(len(where)))


def shuffled(rows, seed):
    """The rows in another order."""
    return rows.take(np.random.default_rng(seed).permutation(len(rows)))
