"""Moving shards from one region to another: `fail` and `restore` a region, and going on with a move that was left.

The table knows no transactions, so the order of the writes is what makes it safe to stop anywhere, and for several to
be at the same move:

1. The lock (the newest move, `running`), if no other move is running.
2. The region is marked `failed` or `serving`: traffic leaves, or comes, before shards do.
3. Each shard in ascending order, with epoch + 1, if it has the epoch and primary that were read.
4. The move goes into the trail, and under the id that it was ordered by; then the lock is `done`.

Whoever is at a move that others have finished meanwhile can do no harm, however late he wakes: the region's mark has
the number of a later move, and a shard that is where he would take it from was brought there by one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from payments import clock, regions, shard_map
from payments.shard_map import DONE, FAILED, RUNNING, SERVING, Action, Move, Overview, Shard

LAPSE_SECONDS = 30
"""Without a sign of work on it a running move was left by who began it, and anybody finishes it."""

_NOTE_SECONDS = 5
"""How often who is at a move says so."""

_TRIES = 3
"""Of beginning a move, when others end theirs at the same moment."""

MoreTime = Callable[[], bool]


class MoveRefused(Exception):
    """No move was begun."""


class UnknownRegion(MoveRefused):
    """The platform has no such region."""


class LastServingRegion(MoveRefused):
    """No other region is sent traffic: there is none that could take the shards."""


class OrderReused(MoveRefused):
    """Another move was ordered under the same id."""


class MoveRunning(MoveRefused):
    """Another move is under way."""

    def __init__(self, move: Move):
        super().__init__(f"move {move.move}: {move.action} {move.region}")
        self.move = move


class Overtaken(MoveRefused):
    """Another move was made than the newest one that was known when this one was decided."""


@dataclass(frozen=True, slots=True)
class Order:
    """A move that somebody wants: under an id that names it for good (`mov_…`), and why. With `after` only if the
    newest move is still the one of this number (0: none)."""

    id: str
    by: str
    reason: str
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A move as it stands, and whether it had been made before. It is still `running` when there was no more time."""

    move: Move
    replayed: bool = False


def always() -> bool:
    """There is time for all of it."""
    return True


def fail(region: str, order: Order, more_time: MoreTime = always) -> Outcome:
    """Sends a region no more traffic, and gives all its shards to those that are left, once for each order.

    Asked again, also by others and after a crash, it goes on where it was. Raises `UnknownRegion`, `LastServingRegion`,
    `MoveRunning`, `OrderReused` or `Overtaken`, and what the table raises.
    """
    return _carry_out("fail", region, order, more_time)


def restore(region: str, order: Order, more_time: MoreTime = always) -> Outcome:
    """Sends a region traffic again, and gives it back the shards that are its own by default. Otherwise as `fail`."""
    return _carry_out("restore", region, order, more_time)


def go_on(move: Move, more_time: MoreTime = always) -> Move:
    """Goes on with a running move, whoever began it: as it stands then."""
    targets = _targets(move) if _mark(move) else []
    while left := _left(move, targets):
        for shard in left:
            if not more_time():
                return _noted(move, active_at=None)
            if not _active(move, _NOTE_SECONDS):
                move = _noted(move, active_at=clock.now())
            _assign(move, shard, targets)
    return _end(move)


def lapsed(move: Move) -> bool:
    """Whether a move is running that nobody is at any more."""
    return move.state == RUNNING and not _active(move, LAPSE_SECONDS)


def _carry_out(action: Action, region: str, order: Order, more_time: MoreTime) -> Outcome:
    if region not in regions.endpoints():
        raise UnknownRegion(region)
    move = _begun(action, region, order, more_time)
    if move.state == DONE:
        return Outcome(move, replayed=True)
    return Outcome(go_on(move, more_time))


def _begun(action: Action, region: str, order: Order, more_time: MoreTime) -> Move:
    """The order's move: the one that was begun for it, whenever that was, or a new one."""
    for _ in range(_TRIES):
        seen = shard_map.overview()
        made = seen.newest if seen.newest and seen.newest.id == order.id else shard_map.ended(order.id)
        if made:
            return _same(made, action, region, order)
        if seen.newest and seen.newest.state == RUNNING:
            _finish(seen.newest, more_time)
            continue
        move = _new(action, region, order, seen)
        if shard_map.begin(move, seen.newest):
            return move
    raise Overtaken("others make moves all the time")


def _same(made: Move, action: Action, region: str, order: Order) -> Move:
    if (made.action, made.region, made.reason) != (action, region, order.reason):
        raise OrderReused(order.id)
    return made


def _finish(running: Move, more_time: MoreTime) -> None:
    """Finishes a move that was left. Raises `MoveRunning` when it was not, or there is no time."""
    if not lapsed(running) or go_on(running, more_time).state == RUNNING:
        raise MoveRunning(running)


def _new(action: Action, region: str, order: Order, seen: Overview) -> Move:
    number = seen.newest.move if seen.newest else 0
    if order.after not in (None, number):
        raise Overtaken(f"move {number} is the newest")
    if action == "fail" and not set(seen.serving()) - {region}:
        raise LastServingRegion(region)
    now = clock.now()
    return Move(number + 1, order.id, action, region, order.by, order.reason, at=now, active_at=now)


def _mark(move: Move) -> bool:
    """Marks the region as the move wants it. False: a later move has marked it, so this one is over."""
    wanted = FAILED if move.action == "fail" else SERVING
    while (state := shard_map.state(move.region)).move < move.move:
        changed = replace(state, state=wanted, changed_at=clock.now(), changed_by=move.by, move=move.move)
        shard_map.mark(state, changed)
    return state.move == move.move


def _targets(move: Move) -> list[str]:
    """Where shards go: home, or spread over the regions that are left, which stay the same while the move has the
    lock. None are left when later moves have failed them."""
    if move.action == "restore":
        return [move.region]
    return [region for region in shard_map.overview().serving() if region != move.region]


def _left(move: Move, targets: list[str]) -> list[Shard]:
    """The shards that are still to be moved; none when a later move has brought one of them where it is."""
    left = [shard for shard in shard_map.shards() if _concerned(move, shard)] if targets else []
    return [] if any(shard.move > move.move for shard in left) else left


def _concerned(move: Move, shard: Shard) -> bool:
    if move.action == "fail":
        return shard.primary == move.region
    return regions.home(shard.shard) == move.region != shard.primary


def _assign(move: Move, shard: Shard, targets: list[str]) -> None:
    """Moves one shard, unless somebody has; whoever did is seen when the shards are read again."""
    target = targets[shard.shard % len(targets)]
    shard_map.assign(shard, Shard(shard.shard, target, shard.epoch + 1, clock.now(), move.id, move.move))


def _active(move: Move, seconds: float) -> bool:
    if move.active_at is None:
        return False
    return clock.utc() - datetime.fromisoformat(move.active_at) < timedelta(seconds=seconds)


def _noted(move: Move, active_at: str | None) -> Move:
    noted = replace(move, moved=_moved(move), active_at=active_at)
    return noted if shard_map.note(noted) else shard_map.ended(move.id) or noted


def _end(move: Move) -> Move:
    kept = shard_map.keep(replace(move, state=DONE, moved=_moved(move), active_at=None, ended_at=clock.now()))
    shard_map.note(kept)
    return kept


def _moved(move: Move) -> int:
    return sum(shard.moved_by == move.id for shard in shard_map.shards())
