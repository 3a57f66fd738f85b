"""Whether a region is down, and whether that is to be followed by a failover. Pure: what was seen and the time come in.

Moving a region's shards without need costs a minute of captures and refunds, and may cost far more: so several
independent signals must agree, for some time, seen from a region that is well itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.shard_map import RUNNING, Overview

ROUNDS = 3
"""Rounds in a row that must agree."""

SIGNALS = 3
"""Signals that must fail, the tables among them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a region in a round: whether its tables answered, its public health, its functions, and
    whether its sign of life is fresh and says that it is well. None: not asked, or there is none to be had."""

    tables: bool
    health: bool | None = None
    functions: bool | None = None
    sign: bool | None = None

    @property
    def failed(self) -> list[str]:
        """The names of the signals that say that it is down."""
        return [name for name in ("tables", "health", "functions", "sign") if getattr(self, name) is False]


@dataclass(frozen=True, slots=True)
class Streak:
    """How many rounds in a row have agreed, and when the last one was (monotonic seconds)."""

    rounds: int = 0
    last: float = 0.0


def is_down(seen: Seen) -> bool:
    """Whether a round speaks for a region being down.

    A fresh sign of life speaks against it whatever else is silent: who can tell all regions that he is well is cut off
    from this one, not down.
    """
    return not seen.tables and not seen.sign and len(seen.failed) >= SIGNALS


def is_well(own: Seen, signed: bool) -> bool:
    """Whether the region that looks may judge others: its own tables answer, it could write its sign of life where all
    regions agree, and its health or its functions answer. Who is cut off from the rest is not well."""
    return own.tables and signed and bool(own.health or own.functions)


def counted(before: Streak, agrees: bool, now: float, longest_gap: float) -> Streak:
    """The streak after another round. Rounds that are too far apart are not in a row."""
    if not agrees:
        return Streak()
    return Streak(before.rounds + 1 if now - before.last <= longest_gap else 1, now)


def doubts(region: str, here: str, seen: Overview, now: datetime, quiet_minutes: float) -> list[str]:
    """Why a region that is down is not failed over by itself; nothing when it is."""
    newest, serving = seen.newest, seen.serving()
    found = []
    if here not in serving:
        found.append("this region is sent no traffic itself")
    if not set(serving) - {region}:
        found.append("no other region is serving")
    if newest and newest.state == RUNNING:
        found.append(f"move {newest.move} is running")
    elif newest and now - datetime.fromisoformat(newest.ended_at or newest.at) < timedelta(minutes=quiet_minutes):
        found.append(f"move {newest.move} was less than {quiet_minutes:g} minutes ago")
    return found
