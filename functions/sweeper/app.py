"""Lambdas `payments-sweeper`: every minute, sees to what the shards of this region have left undone; and
`payments-ledger-audit`: the full balance check. Contract of the latter: docs/interfaces.md, "Balance check"."""

from typing import Any

from functions.sweeper import balance, expiry, orphans
from functions.sweeper.audit import check
from payments import clock, identifiers, regions
from payments.observability import logger


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Sends lost messages again, voids authorizations whose time is over, and checks that the books balance.

    Answers how many charges (`published`) and operations were sent again, how many authorizations have `expired`, and
    how many items of the general ledger were found `unbalanced`.
    """
    now = clock.utc()
    own = [shard for shard in range(identifiers.SHARDS) if regions.primary(shard) == regions.here()]
    unbalanced = balance.check(own, now)
    expired = expiry.expire(own, now)
    published, operations = orphans.republish(own, now)
    swept = {"published": published, "operations": operations, "expired": expired, "unbalanced": unbalanced}
    logger.info("swept", extra=swept)
    return swept


def audit(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Checks a segment of the ledger, or gives the verdict over all of them."""
    answer = check(event, context)
    logger.info("audited", extra={"segment": event.get("segment"), "journals": answer["journals"]})
    return answer
