"""A seed is a run, the same one every time: in this process, and in another one with other hashes."""

import os
import subprocess
import sys

import pytest

from tests.simulation.world import World


def traced(seed):
    lines = []
    World(seed, lines.append).run()
    return lines


@pytest.mark.parametrize("seed", [3, 24, 300])
def test_the_same_seed_is_the_same_run(seed):
    first, second = traced(seed), traced(seed)

    assert first == second
    assert len(first) > 100


def test_another_seed_is_another_run():
    assert traced(3) != traced(4)


def test_the_command_prints_the_run_in_any_process():
    asked = [sys.executable, "-m", "tests.simulation", "--seed", "24", "--trace"]
    printed = [
        subprocess.run(asked, env=child(PYTHONHASHSEED=seed), capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    ]

    told = [output.splitlines()[:-1] for output in printed]
    assert told[0] == told[1] == traced(24)


def child(**changes):
    """The environment of a process that has the same code."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **changes}
