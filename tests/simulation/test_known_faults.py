"""Faults of the platform that are known and left out: with its switch on, the simulator still finds each. A test here
that fails is good news: the fault is gone, and its switch can go."""

import pytest

from tests.simulation import known
from tests.simulation.world import World


@pytest.mark.parametrize(
    ("switch", "seeds", "finding"),
    [
        ("REUSE_WHILE_A_REGION_STANDS_IN", range(0, 100), "was answered in different ways|never comes to rest"),
        ("COMMANDS_WHILE_A_SHARD_MOVES", range(300, 301), "never comes to rest"),
    ],
)
def test_a_known_fault_is_still_found(switch, seeds, finding, monkeypatch):
    assert not getattr(known, switch)
    monkeypatch.setattr(known, switch, True)

    found = (sentence for seed in seeds for sentence in World(seed).run())

    assert any(part in sentence for sentence in found for part in finding.split("|"))
