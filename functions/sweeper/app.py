"""Lambdas `payments-sweeper`: every minute, sees to what the shards of this region have left undone;
`payments-ledger-audit`: the full balance check (docs/interfaces.md, "Balance check"); and `payments-conflicts`: sees
to payments that another region has written over."""

from typing import Any

from functions.sweeper import balance, conflicts, expiry, orphans
from functions.sweeper.audit import check
from payments import clock, identifiers, regions
from payments.observability import logger


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Sends lost messages again, voids authorizations whose time is over, and checks that the books balance.

    Answers how many charges (`published`), operations and conflicts were sent (again), how many authorizations have
    `expired`, and how many items of the general ledger were found `unbalanced`.
    """
    now = clock.utc()
    own = [shard for shard in range(identifiers.SHARDS) if regions.primary(shard) == regions.here()]
    unbalanced = balance.check(own, now)
    expired = expiry.expire(own, now)
    try:
        published, operations = orphans.republish(own, now)
    finally:  # it raises for a shard that could not be swept
        asked = conflicts.ask(own, now)
    swept = {"published": published, "operations": operations, "conflicts": asked}
    swept |= {"expired": expired, "unbalanced": unbalanced}
    logger.info("swept", extra=swept)
    return swept


def audit(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Checks a segment of the ledger, or gives the verdict over all of them."""
    answer = check(event, context)
    logger.info("audited", extra={"segment": event.get("segment"), "journals": answer["journals"]})
    return answer


def conflict(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Reads a batch of the stream of `payments`; answers the first record that failed, from which on it comes again."""
    for record in event["Records"]:
        try:
            conflicts.follow(record)
        except Exception as error:  # noqa: BLE001 - whatever it is: the record is repeated, then a dead letter
            change = record.get("dynamodb", {})
            logger.error("record not followed", extra={"keys": change.get("Keys"), "fault": type(error).__name__})
            return {"batchItemFailures": [{"itemIdentifier": change.get("SequenceNumber")}]}
    logger.info("read", extra={"records": len(event["Records"])})
    return {"batchItemFailures": []}
