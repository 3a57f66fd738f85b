"""Faults of the platform that are known and left out: with its switch on, the simulator still finds each. A test here
that fails is good news: the fault is gone, and its switch can go.
"""

from itertools import islice
from random import Random

import pytest

from tests.simulation import known
from tests.simulation.faults import Faults
from tests.simulation.world import World

MOST = 400
"""Runs with the kinds of faults that it takes."""


@pytest.mark.parametrize(
    ("switch", "kinds", "finding"),
    [
        ("REUSE_WHILE_A_REGION_STANDS_IN", {"cut"}, "was written again with other entries"),
    ],
)
def test_a_known_fault_is_still_found(switch, kinds, finding, monkeypatch):
    assert not getattr(known, switch)
    monkeypatch.setattr(known, switch, True)
    seeds = islice((seed for seed in range(10_000) if kinds <= set(Faults(Random(seed)).kinds)), MOST)

    found = (sentence for seed in seeds for sentence in World(seed).run())

    assert any(part in sentence for sentence in found for part in finding.split("|"))
