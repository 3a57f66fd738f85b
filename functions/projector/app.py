"""Lambdas `payments-projector`: the ledger's stream → balances, history, feed; `payments-notary`: feed → archive."""

from dataclasses import asdict
from typing import Any, Protocol

from functions.projector import balances, notary
from payments.observability import logger

_SPARE_MS = 40_000
"""What a round may take: no other one begins when less is left. One that is cut off is finished the minute after."""


class Context(Protocol):
    """What of Lambda's context the notary asks."""

    def get_remaining_time_in_millis(self) -> int: ...


def handler(event: dict[str, Any], context: object) -> None:
    """Projects one batch of stream records; when it fails, it goes on where it was when the batch comes again."""
    journals = balances.project(event["Records"])
    logger.info("projected", extra={"journals": journals})


def notarize(event: dict[str, Any], context: Context) -> dict[str, int]:
    """Seals what the feed has; how many rounds, batches and journals it was."""
    sealed = asdict(notary.seal(lambda: context.get_remaining_time_in_millis() > _SPARE_MS))
    logger.info("sealed", extra=sealed)
    return sealed
