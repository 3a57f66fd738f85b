"""Lambda `payments-projector`: the ledger's stream → balances per account and currency."""

from typing import Any

from functions.projector import balances
from payments.observability import logger


def handler(event: dict[str, Any], context: object) -> None:
    """Projects one batch of stream records; all of it or nothing, so a failed batch may come again as it is."""
    journals = balances.project(event["Records"])
    logger.info("projected", extra={"journals": journals})
