"""Rounds of the watchman: give a sign of life, look at the other regions, judge, and act on it.

What is remembered from round to round is only how often in a row a region seemed down; a new process begins anew, and
nothing is lost but seconds. Two watchmen of one region at a time do no harm: what they do is done once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from functions.watchman import judgement, signals
from functions.watchman.judgement import Seen, Streak
from functions.watchman.settings import settings
from payments import clock, identifiers, regions, shard_map, shard_moves
from payments.observability import count, logger
from payments.shard_map import RUNNING, Move, Overview, Sign
from payments.shard_moves import MoveRefused, Order

JUDGED_DOWN, FAILED_OVER, MOVE_LATE = "RegionsJudgedDown", "AutomaticFailovers", "ShardMovesLate"
"""Metrics (docs/interfaces.md, "Metrics of our own")."""

BY = "watchman"
"""Whose moves these are, in the trail."""

LATE_MINUTES = 2
"""After which a move that is still running is told of; it takes seconds."""

MoreTime = Callable[[], bool]


@dataclass
class Watch:
    """What a process remembers: of each region the streak of rounds that found it down and what it saw last, and which
    regions were failed already."""

    streaks: dict[str, Streak] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    told: set[str] = field(default_factory=set)
    """What was logged in this run: a region is down for hours, and a round lasts seconds."""


def run(watch: Watch, more_time: MoreTime) -> int:
    """Makes rounds for as long as the settings say; how many. `more_time` says whether a move may still be begun."""
    until, rounds = clock.monotonic() + settings().watch_seconds, 0
    watch.told.clear()
    while True:
        following = clock.monotonic() + settings().round_seconds
        make_round(watch, more_time)
        rounds += 1
        if following >= until:
            return rounds
        clock.wait(max(0.0, following - clock.monotonic()))


def make_round(watch: Watch, more_time: MoreTime) -> None:
    """One round. Where the map cannot be read this region judges nobody."""
    here = regions.here()
    signed = _sign(watch, here)
    others = [name for name in regions.endpoints() if name != here]
    looked = signals.look(others, here, watch.failed)
    try:
        found = shard_map.overview()
        _finish(watch, found.newest, more_time)
        watch.seen = {name: replace(seen, sign=_is_alive(found.signs[name])) for name, seen in looked.items()}
        watch.failed = frozenset(found.states) - frozenset(found.serving())
        for name in others:
            _judge(watch, name, judgement.is_well(watch.seen[here], signed), found, more_time)
    except (BotoCoreError, ClientError) as error:
        watch.streaks.clear()
        _tell(watch, "the shard map does not answer", fault=type(error).__name__)


def _sign(watch: Watch, here: str) -> bool:
    """Gives this region's sign of life, as of the round before; whether that could be written."""
    own = watch.seen.get(here)
    sees = {name: msgspec.to_builtins(seen) for name, seen in watch.seen.items() if name != here}
    told = Sign(here, clock.now(), own is None or own.tables, msgspec.json.encode(sees).decode())
    try:
        shard_map.sign(told)
    except (BotoCoreError, ClientError) as error:
        _tell(watch, "no sign of life could be given", fault=type(error).__name__)
        return False
    return True


def _is_alive(sign: Sign | None) -> bool | None:
    """Whether a sign of life is fresh and says that the region is well; None where there never was any."""
    if sign is None:
        return None
    age = clock.utc() - datetime.fromisoformat(sign.at)
    return sign.well and age < timedelta(seconds=settings().sign_seconds)


def _judge(watch: Watch, region: str, well: bool, found: Overview, more_time: MoreTime) -> None:
    seen, before = watch.seen[region], watch.streaks.pop(region, Streak())
    if region in watch.failed:
        return
    if not seen.tables and seen.sign:
        _tell(watch, "a region cannot be reached, but gives signs of life", region=region, failed=seen.failed)
    down = judgement.is_down(seen)
    if down and not well:
        _tell(watch, "a region seems down, but this one is not well itself", region=region, failed=seen.failed)
    streak = judgement.counted(before, down and well, clock.monotonic(), settings().longest_gap)
    watch.streaks[region] = streak
    if streak.rounds < judgement.ROUNDS:
        return
    reasons = judgement.doubts(region, regions.here(), found, clock.utc(), settings().quiet_minutes)
    if _tell(watch, "a region is down", region=region, failed=seen.failed, not_failed_over_because=reasons):
        count(JUDGED_DOWN)
    if not reasons:
        _fail_over(region, seen, found.newest, more_time)


def _fail_over(region: str, seen: Seen, newest: Move | None, more_time: MoreTime) -> None:
    """Fails a region over, if nobody has moved anything since the map was read."""
    number, here = newest.move if newest else 0, regions.here()
    reason = f"{', '.join(seen.failed)} failed in {judgement.ROUNDS} rounds, seen from {here}"
    order = Order(identifiers.move_id(BY, here, region, str(number + 1)), BY, reason, after=number)
    try:
        outcome = shard_moves.fail(region, order, more_time)
    except MoveRefused as refused:
        logger.warning("a failover was not begun", extra={"region": region, "why": type(refused).__name__})
        return
    count(FAILED_OVER)
    logger.critical("failed a region over", extra={"region": region, "reason": reason, "moved": outcome.move.moved})


def _finish(watch: Watch, newest: Move | None, more_time: MoreTime) -> None:
    """Finishes a move that whoever began it has left."""
    if newest is None or newest.state != RUNNING:
        return
    if clock.utc() - datetime.fromisoformat(newest.at) > timedelta(minutes=LATE_MINUTES):
        count(MOVE_LATE)
    if shard_moves.lapsed(newest):
        ended = shard_moves.go_on(newest, more_time)
        _tell(watch, "went on with a move that was left", move=ended.move, state=ended.state)


def _tell(watch: Watch, what: str, **facts: object) -> bool:
    """Logs it, once in a run; whether it was new."""
    line = f"{what} {sorted(facts.items())}"
    new = line not in watch.told
    if new:
        watch.told.add(line)
        logger.warning(what, extra=facts)
    return new
