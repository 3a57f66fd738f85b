"""Two thousand runs of the platform's real code in both regions, each with faults of its own: every promise holds.

A failure names its seed; `python -m tests.simulation --seed N --trace` plays it again, exactly.
"""

import pytest

from tests.simulation.world import World

SEEDS, AT_ONCE = 2_000, 100


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_whatever_happens_in_either_region_every_promise_holds(first):
    findings = {}
    for seed in range(first, first + AT_ONCE):
        broken = World(seed).run()
        if broken:
            findings[f"python -m tests.simulation --seed {seed}"] = broken
    assert not findings


def test_every_run_has_charges_a_race_and_a_fault():
    for seed in range(200):
        world = World(seed)
        world.merchants.begin(4)
        charges = world.merchants.charges
        assert len(charges) >= 3
        assert world.merchants.busy > len(charges)
        assert world.faults.kinds
