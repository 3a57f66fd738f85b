"""Lambda's execution environments, for `bench.latency`: a call takes an idle one, or Lambda starts one for it."""

import math
from dataclasses import dataclass, field

COLD_MS = {"api": 900, "vault": 1_100, "fraud": 700, "ledger": 700}
"""Assumed: Lambda's own start of a Python environment (about 350 ms with layers) and the imports that `bench.imports`
measures, half as fast again; the vault opens its key store, too."""

BURST, SCALING = 1_000, 1_000 / 10
"""Environments that Lambda adds to a function at once, and a second: 1,000 every 10 seconds, refilled all the time and
never more (Lambda Developer Guide, "Concurrency scaling rate")."""

IDLE_SHARE = 1.1
"""Environments that are warm, over the most that were busy at once: Lambda keeps them for minutes after a peak."""


@dataclass
class Environment:
    """An execution environment: seconds until it has started, and until when it leaves alone a twin that was silent."""

    starts_in: float = 0.0
    paused_until: float = 0.0


@dataclass
class Pool:
    """A function's execution environments: a call takes the idle one that was used last, or Lambda starts one for it.
    There are as many as are asked for until `settle`."""

    name: str
    idle: list[Environment] = field(default_factory=list)
    number: int = 0
    settled: bool = False
    allowance: float = BURST
    filled_at: float = 0.0
    cold: int = 0

    def settle(self) -> None:
        """From now on only what is warm is free."""
        self.settled = True
        more = math.ceil(self.number * IDLE_SHARE) - self.number
        self.idle = [*(Environment() for _ in range(more)), *self.idle]
        self.number += more

    def take(self, now: float) -> Environment | None:
        """An environment; None if the function is throttled."""
        if self.idle:
            return self.idle.pop()
        if self.settled:
            self.allowance = min(BURST, self.allowance + (now - self.filled_at) * SCALING)
            self.filled_at = now
            if self.allowance < 1:
                return None
            self.allowance -= 1
            self.cold += 1
        self.number += 1
        return Environment(COLD_MS[self.name] / 1000 if self.settled else 0.0)

    def give_back(self, environment: Environment) -> None:
        """The call is over."""
        environment.starts_in = 0.0
        self.idle.append(environment)
