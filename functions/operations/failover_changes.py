"""Moves of shards as operators order and see them; what a move does is in the layer, `payments/shard_moves.py`."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from functions.operations.changes import Answered
from payments import clock, identifiers, regions, shard_map, shard_moves
from payments.errors import Busy, Conflict, IdempotencyKeyReused, NotFound, PaymentsError, ProcessingFailed
from payments.shard_map import Action, Move, Overview, Shard
from payments.shard_moves import MoveRefused, MoveRunning

MOST_MOVES = 20
"""Of the trail that are shown."""

BUDGET_SECONDS = 15
"""For moving shards in one request; with the last write's tries it ends within the function's 28 seconds."""


def carry_out(action: Action, region: str, by: str, key: str, reason: str) -> Answered:
    """Fails or restores a region, once for each key, as far as there is time.

    Raises `NotFound`, `Conflict`, `Busy` while another move is running, `IdempotencyKeyReused`, and `ProcessingFailed`
    when the map does not answer: the same request goes on then.
    """
    until = clock.monotonic() + BUDGET_SECONDS
    order = shard_moves.Order(identifiers.move_id("operator", key), by, reason)
    make = shard_moves.fail if action == "fail" else shard_moves.restore
    try:
        outcome = make(region, order, lambda: clock.monotonic() < until)
    except MoveRefused as refused:
        raise _answer_to(refused) from None
    except (BotoCoreError, ClientError):
        raise ProcessingFailed("processing_failed", "This is not finished; send the same request again.") from None
    return Answered(_move(outcome.move), outcome.replayed)


def shown() -> dict[str, Any]:
    """Every region with its state, its shards and its sign of life; the newest move, and the trail."""
    seen, shards = shard_map.overview(), shard_map.shards()
    newest = seen.newest
    return {
        "object": "list",
        "data": [_region(name, seen, shards) for name in seen.states],
        "move": _move(newest) if newest else None,
        "trail": [_move(move) for move in shard_map.trail(newest.move, MOST_MOVES)] if newest else [],
    }


def _region(name: str, seen: Overview, shards: Iterable[Shard]) -> dict[str, Any]:
    state, own = seen.states[name], [shard for shard in shards if shard.primary == name]
    return {
        "object": "region",
        "name": name,
        "state": state.state,
        "changed_at": state.changed_at,
        "changed_by": state.changed_by,
        "shards": len(own),
        "shards_of_others": sum(regions.home(shard.shard) != name for shard in own),
        "highest_epoch": max((shard.epoch for shard in own), default=None),
        "sign_of_life": _sign(seen, name),
    }


def _sign(seen: Overview, name: str) -> dict[str, Any] | None:
    """What the region's watchman told of itself and of the others; None when it never did."""
    sign = seen.signs[name]
    if sign is None:
        return None
    age = (clock.utc() - datetime.fromisoformat(sign.at)).total_seconds()
    return {"at": sign.at, "age_seconds": round(age, 1), "well": sign.well, "sees": msgspec.json.decode(sign.sees)}


def _move(move: Move) -> dict[str, Any]:
    """A move as the API shows it."""
    told = msgspec.structs.asdict(move)
    return {"object": "shard_move", "number": told.pop("move"), **told}


def _answer_to(refused: MoveRefused) -> PaymentsError:
    match refused:
        case shard_moves.UnknownRegion():
            return NotFound("region_not_found", "The platform has no such region.")
        case shard_moves.LastServingRegion():
            return Conflict("last_serving_region", "No other region is sent traffic; nothing was done.")
        case shard_moves.OrderReused():
            sentence = "This idempotency key was used with another request."
            return IdempotencyKeyReused("idempotency_key_reused", sentence, param="Idempotency-Key")
        case MoveRunning(move=move):
            sentence = f"Move {move.move} ({move.action} {move.region}) is under way; nothing was done."
            return Busy("move_running", sentence)
        case _:
            return Busy("region_changed", "Others move shards at this moment; nothing was done. Look again.")
