"""Lambda `payments-sweeper`: every minute, finds accepted charges that nobody has taken to the card network."""

from typing import Any

from functions.sweeper import orphans
from payments.observability import logger


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Publishes the orphans of the shards that this region is the primary of; how many there were."""
    published = orphans.republish()
    logger.info("swept", extra={"published": published})
    return {"published": published}
