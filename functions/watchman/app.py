"""Lambda `payments-watchman`: in every region, for most of every minute, looks whether the others are there."""

from typing import Any, Protocol

from functions.watchman.rounds import Watch, run
from payments import regions
from payments.observability import count, logger

_SPARE_MS = 15_000
"""What the last write of a move may take, with all its tries."""

_watch = Watch()


class Context(Protocol):
    """What of Lambda's context the watchman asks."""

    def get_remaining_time_in_millis(self) -> int: ...


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Makes rounds for most of a minute; how many. Who only wants to know whether it lives (`ping`) is told so."""
    if event.get("ping"):
        logger.info("asked whether it lives")
        return {"region": regions.here()}
    rounds = run(_watch, lambda: context.get_remaining_time_in_millis() > _SPARE_MS)
    count("WatchmanRounds", rounds)
    logger.info("watched", extra={"rounds": rounds})
    return {"rounds": rounds}
