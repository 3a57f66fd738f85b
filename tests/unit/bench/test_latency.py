"""The latency model: what it draws, how Lambda's pools fill, and that a run can be repeated."""

import random
import statistics

import pytest

from bench.lambda_pool import BURST, COLD_MS, SCALING, Environment, Pool
from bench.latency import CALLS, TAKEOVERS, Call, figures


@pytest.mark.parametrize("call", CALLS.values())
def test_draws_have_the_stated_percentiles(call: Call) -> None:
    chance = random.Random(7)
    drawn = sorted(call.draw(chance) * 1000 for _ in range(20_000))
    assert statistics.median(drawn) == pytest.approx(call.p50, rel=0.03)
    assert drawn[int(len(drawn) * 0.99)] == pytest.approx(call.p99, rel=0.1)


def test_lambda_starts_a_burst_of_environments_at_once_and_then_so_many_a_second() -> None:
    pool = Pool("api")
    pool.settle()
    taken = [pool.take(now=0.0) for _ in range(BURST + 5)]
    assert taken == [Environment(COLD_MS["api"] / 1000)] * BURST + [None] * 5
    assert [pool.take(now=1.0) is None for _ in range(int(SCALING) + 1)] == [False] * int(SCALING) + [True]


def test_what_was_busy_is_warm_and_no_more() -> None:
    pool = Pool("fraud")
    busy = [pool.take(0.0) for _ in range(10)]
    pool.settle()
    for environment in busy:
        assert environment
        pool.give_back(environment)
    taken = [pool.take(1.0) for _ in range(12)]
    assert [environment and environment.starts_in for environment in taken] == [0.0] * 11 + [COLD_MS["fraud"] / 1000]


def test_an_environment_that_was_cold_is_warm_the_next_time() -> None:
    pool = Pool("api", settled=True)
    cold = pool.take(0.0)
    assert cold
    assert cold.starts_in > 0
    pool.give_back(cold)
    assert pool.take(0.1) == Environment()


def test_doubling_the_load_costs_cold_starts_and_the_same_seed_tells_the_same() -> None:
    found = figures(rate=50)
    assert found == figures(rate=50)
    assert found.cold > 0
    assert found.after.charges > 1.3 * found.steady.charges, "as long, and half as many again on average"
    assert found.after.p999 > found.steady.p99


def test_the_longer_a_charge_waits_for_a_silent_region_the_more_environments_are_kept_from_others() -> None:
    cold = [figures(rate=50, takeover=seconds).cold for seconds in TAKEOVERS]
    assert cold == sorted(cold)
    assert cold[-1] > 5 * cold[0]


def test_a_silent_region_is_waited_for_once_by_each_environment() -> None:
    found = figures(rate=50, takeover=1.0)
    assert found.worst_second_p99 > 1_000 > found.steady.p99
    assert found.after.p50 < found.steady.p50, "nothing is forwarded any more"
