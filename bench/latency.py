"""The charge path's latency on AWS, simulated: `python -m bench.latency [--rate N]`.

A model, not a measurement: one cell (an account in a region) of the platform, its functions as pools of execution
environments, its calls with the service times of `CALLS`. Prints p50 and p99 of a charge in steady state; while the
other region's load arrives, after a failover; and while the other region does not answer and nobody has noticed, for
several values of `TAKEOVER_SECONDS`. Every assumption is a constant, here or in `bench.lambda_pool`, with where it
comes from; docs/scale.md says what follows from it.
"""

import argparse
import math
import random
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from bench.lambda_pool import Environment, Pool
from functions.api.routing import PAUSE_SECONDS, TAKEOVER_SECONDS

RATE = 2_000
"""Charges a second that a cell takes in steady state; twice that after a failover (docs/scale.md)."""

BUDGET_P99_MS = 300
"""The promise (DESIGN section 1)."""


@dataclass(frozen=True)
class Call:
    """Milliseconds of a call as its caller sees it: the median, and the time that one in a hundred exceeds."""

    p50: float
    p99: float

    def draw(self, chance: random.Random) -> float:
        """A service time in seconds. Log-normal: the usual shape of service times, never below zero, a long tail."""
        sigma = math.log(self.p99 / self.p50) / _Z99
        return chance.lognormvariate(math.log(self.p50), sigma) / 1000


_Z99 = 2.326
"""The 99th percentile of the standard normal distribution."""

CALLS = {
    "gateway": Call(6, 20),
    "invoke": Call(5, 18),
    "express": Call(12, 40),
    "transition": Call(2, 8),
    "read": Call(3.5, 12),
    "write": Call(5, 15),
    "transaction": Call(11, 30),
    "publish": Call(9, 35),
    "hop": Call(62, 90),
}
"""Assumed. AWS publishes no percentiles of these but for DynamoDB ("single-digit milliseconds"): `read` and `write` are
that, a `transaction` is two rounds of it (prepare, commit; Idziorek et al., "Distributed transactions at scale in
Amazon DynamoDB", USENIX ATC 2023). The others are what talks and blogs of AWS users report for warm paths: API
Gateway's own overhead, Step Functions' per Lambda invocation, per start of an Express execution and per transition,
EventBridge's PutEvents, the round trip between us-east-1 and us-west-2 (`hop`). Replace them by X-Ray's figures of a
deployment before deciding by them."""

CPU_MS = {"api": 3.0, "vault": 0.37, "fraud": 0.9, "ledger": 1.5}
"""Measured by `bench` on this machine (vault, fraud with its features and model) or estimated from it (api, ledger):
CPU of a warm call at a whole vCPU."""

FAILOVER_SECONDS = 10.0
"""In which the other region's load arrives, once Route 53 has moved the name: its TTL (cdk/stacks/traffic.py), which
clients' resolvers reach one after the other, evenly. Those that remember it for longer make the rise gentler."""

FORWARDED_SHARE = 0.5
"""Of charges, where DNS does not know the merchant's primary region: each region has half of the shards."""

TAKEOVERS = tuple(sorted({1.0, 2.0, 12.0, float(TAKEOVER_SECONDS)}))
"""Seconds that a charge waits for its shard's primary: ours, and others to compare."""

# What the saga asks, in order. What one function asks side by side is one step: the slowest counts.
STEPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "vault": (("read",), ("write",)),
    "fraud": (("read", "read"), ("write", "write", "write", "write", "write")),
    "ledger": (("transaction",),),
}
_TRANSITIONS = 7
_WARM_UP, _STEADY, _AFTER = 3.0, 10.0, 15.0


@dataclass(frozen=True)
class Percentiles:
    """How many charges, and their latencies in milliseconds."""

    charges: int
    p50: float
    p99: float
    p999: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.0f} ms, p99 {self.p99:.0f} ms, p99.9 {self.p999:.0f} ms"


@dataclass
class Seen:
    """Seconds of each charge that was answered, by when it came: (arrival, latency)."""

    charges: list[tuple[float, float]] = field(default_factory=list)
    failed: int = 0

    def percentiles(self, since: float, until: float) -> Percentiles:
        """Of charges that came in this time."""
        times = sorted(latency * 1000 for at, latency in self.charges if since <= at < until)
        return Percentiles(len(times), *(times[int(len(times) * share)] for share in (0.5, 0.99, 0.999)))


class Cell:
    """A region's part of a cell in simpy's virtual time. Its twin in the other region has the same load, and forwards
    as much to it as it forwards; after `_WARM_UP` and `_STEADY` the twin is lost, and a charge waits for it for
    `takeover` seconds. None: it has been failed over, so its load comes here, and nothing is forwarded any more."""

    def __init__(self, rate: float, chance: random.Random, takeover: float | None = None) -> None:
        self.world = simpy.Environment()
        self.seen = Seen()
        self._rate, self._chance, self._takeover = rate, chance, takeover
        self.pools = {name: Pool(name) for name in ("api", *STEPS)}

    def run(self) -> None:
        """Steady load, then the loss."""
        self.world.process(self._arrivals())
        self.world.run(until=_WARM_UP)
        for pool in self.pools.values():
            pool.settle()
        self.world.run(until=_WARM_UP + _STEADY + _AFTER)

    @property
    def lost(self) -> bool:
        """Whether the twin is."""
        return self.world.now >= _WARM_UP + _STEADY

    def _arrivals(self) -> Generator[Any, Any, None]:
        while True:
            yield self.world.timeout(self._chance.expovariate(self.load(self.world.now)))
            self.world.process(self._charge())

    def load(self, now: float) -> float:
        """Charges a second: the cell's own, and after a failover more and more of the other region's."""
        moved = (now - _WARM_UP - _STEADY) / FAILOVER_SECONDS
        return self._rate * (1 if self._takeover else 1 + min(1.0, max(0.0, moved)))

    def _charge(self) -> Generator[Any, Any, None]:
        start, foreign = self.world.now, self._chance.random() < FORWARDED_SHARE
        yield self._after("gateway")
        environment = self.pools["api"].take(self.world.now)
        if environment is None:
            self.seen.failed += 1
            return
        yield self.world.timeout(environment.starts_in + CPU_MS["api"] / 1000)
        yield from self._handled(environment, foreign)
        self.pools["api"].give_back(environment)
        self.seen.charges.append((start, self.world.now - start))

    def _handled(self, environment: Environment, foreign: bool) -> Generator[Any, Any, None]:
        """What the API function does with a charge: its twin does it, or itself."""
        if foreign and not self.lost:
            yield self._after("hop")
            twin = yield from self._invoked("api")
            yield from self._saga()
            self.pools["api"].give_back(twin)
            return
        if foreign and self._takeover and self.world.now >= environment.paused_until:
            yield self.world.timeout(self._takeover)
            environment.paused_until = self.world.now + PAUSE_SECONDS
        yield from self._saga()

    def _saga(self) -> Generator[Any, Any, None]:
        yield self._after("express")
        for name in STEPS:
            environment = yield from self._invoked(name)
            for calls in STEPS[name]:
                yield self.world.timeout(max(self._draw(call) for call in calls))
            self.pools[name].give_back(environment)
        yield self._after("publish")
        yield self.world.timeout(sum(self._draw("transition") for _ in range(_TRANSITIONS)))

    def _invoked(self, name: str) -> Generator[Any, Any, Environment]:
        """The environment that an invocation got, its CPU time spent; what is throttled is tried again, as the saga
        does."""
        yield self._after("invoke")
        while (environment := self.pools[name].take(self.world.now)) is None:
            yield self.world.timeout(self._chance.uniform(0, 1))
        yield self.world.timeout(environment.starts_in + CPU_MS[name] / 1000)
        return environment

    def _draw(self, call: str) -> float:
        return CALLS[call].draw(self._chance)

    def _after(self, call: str) -> Any:
        return self.world.timeout(self._draw(call))


@dataclass(frozen=True)
class Figures:
    """Latencies in steady state and in the ten seconds after the loss, and of the worst second of these; cold starts of
    the whole run, and charges that a throttled API function failed."""

    steady: Percentiles
    after: Percentiles
    worst_second_p99: float
    cold: int
    failed: int


def figures(rate: float = RATE, seed: int = 1, takeover: float | None = None) -> Figures:
    """What the model says of a cell of this load; `takeover` as in `Cell`."""
    cell = Cell(rate, random.Random(seed), takeover)
    cell.run()
    lost, seen = _WARM_UP + _STEADY, cell.seen
    seconds = [seen.percentiles(lost + second, lost + second + 1).p99 for second in range(int(FAILOVER_SECONDS))]
    return Figures(
        seen.percentiles(_WARM_UP, lost),
        seen.percentiles(lost, lost + FAILOVER_SECONDS),
        max(seconds),
        sum(pool.cold for pool in cell.pools.values()),
        seen.failed,
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description="The charge path on AWS, simulated.")
    parser.add_argument("--rate", type=float, default=RATE, help="charges a second of a cell in steady state")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = figures(asked.rate, asked.seed)
    print(f"simulated, assumptions in bench/latency.py: a cell of {asked.rate:,.0f} charges a second")
    print(f"  steady: {found.steady} (promised: p99 {BUDGET_P99_MS} ms)")
    print(f"  failed over, the load doubles within {FAILOVER_SECONDS:.0f} s: {_told(found)}")
    for takeover in TAKEOVERS:
        waited = figures(asked.rate, asked.seed, takeover)
        print(f"  the twin does not answer, takeover after {takeover:.0f} s: {_told(waited)}")


def _told(found: Figures) -> str:
    worst = f"p99 of the worst second {found.worst_second_p99:,.0f} ms"
    return f"{found.after}; {worst}; {found.cold:,} cold starts, {found.failed:,} charges failed by throttling"


if __name__ == "__main__":
    main()
