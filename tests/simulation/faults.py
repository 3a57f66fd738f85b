"""What goes wrong in a run: chosen by the seed at its beginning, a few kinds each time, so that each kind is met alone
and with others.
"""

from dataclasses import dataclass
from enum import Enum
from random import Random

QUIET_AT = 240.0
"""Second of a run from which on nothing goes wrong any more."""

LONGEST_CUT = 150.0
"""Seconds that replication stops, or a region is frozen. The platform takes replication to be no further behind than
the five minutes of `authorization.TOKEN_PATIENCE`: see README, "What is left out"."""


class Fate(Enum):
    """What becomes of one request."""

    ANSWERED = "answered"
    LOST = "lost"
    """It never arrives, and nobody answers."""
    UNANSWERED = "unanswered"
    """It is done, and nobody hears of it."""
    LATE = "late"
    """It is done after whoever asked has given up."""
    REFUSED = "refused"
    """It is refused at once: throttled, no connection, or met by another transaction."""


KINDS = ("lost", "unanswered", "late", "refused", "crash", "duplicate", "drop", "freeze", "kill", "cut", "lag", "flip")


@dataclass(frozen=True)
class Window:
    """A time in which a region is frozen, or killed and frozen, or replication is cut."""

    kind: str
    region: int
    begins: float
    ends: float


class Faults:
    """The faults of one seed. Every kind has its rate, for each request, or its windows of time."""

    def __init__(self, random: Random):
        self._random = random
        self.kinds = sorted(random.sample(KINDS, random.randint(1, 5)))
        self._rates = {kind: random.choice((0.01, 0.03, 0.1)) for kind in self.kinds}
        self._fates = [fate for fate in Fate if fate.value in self._rates]
        self.windows = [self._window(kind) for kind in ("freeze", "kill", "cut") if kind in self._rates]
        self.lag = 30.0 if "lag" in self._rates else 1.5
        self.skew = random.uniform(-0.4, 0.4)
        self.moves = [self._move() for _ in range(random.randint(1, 3))] if "flip" in self._rates else []
        """When a shard gets another primary region, and which shard."""
        self.quiet = False

    def fate(self) -> Fate:
        """What becomes of the next request."""
        return next((fate for fate in self._fates if self.strikes(fate.value)), Fate.ANSWERED)

    def strikes(self, kind: str) -> bool:
        """Whether this kind of fault happens here and now."""
        rate = self._rates.get(kind)
        return rate is not None and not self.quiet and self._random.random() < rate

    @property
    def stand_in(self) -> bool:
        """Whether a region may do the work of a shard's primary in this run."""
        return bool(set(self.kinds) - {"duplicate", "drop", "lag"})

    @property
    def long_silence(self) -> bool:
        """Whether a shard may move while its regions do not hear of each other for longer than commands wait: both may
        then do something that the other would not have."""
        return bool(self.moves) and any(window.ends - window.begins > 10 for window in self.windows)

    def _move(self) -> tuple[float, int]:
        """Some moves are what a region's trouble leads to: they take its own shard away, while it lasts."""
        if self.windows and self._random.random() < 0.6:
            window = self._random.choice(self.windows)
            return self._random.uniform(window.begins, min(window.begins + 30, window.ends)), window.region
        return self._random.uniform(1, QUIET_AT * 0.8), self._random.randrange(2)

    def _window(self, kind: str) -> Window:
        begins = self._random.choice((self._random.uniform(0, 5), self._random.uniform(15, 90)))
        lengths = (1, 20), (20, LONGEST_CUT), (80, LONGEST_CUT)
        ends = begins + self._random.uniform(*self._random.choice(lengths))
        return Window(kind, self._random.randrange(2), begins, min(ends, QUIET_AT))
