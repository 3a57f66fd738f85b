"""The chaos audit: load with random faults, then all seven promises. `make nightly` runs ten seeds."""

import os

import pytest

SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1,2,3").split(",")]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_promises_hold_after_a_minute_of_chaos(losing_cloud, losing_cli, seed):
    run = losing_cli("chaos", "--minutes", "1", "--seed", str(seed), check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    assert f"seed {seed}," in run.stdout
    assert run.stdout.count("yes") >= 7
