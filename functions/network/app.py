"""Lambda `payments-network`: takes accepted charges (`charge_authorized`) and what merchants do with them
(`payment_command`) to the card network, asks it which of two requests under one key stands, and holds payments that
another region has written over against their journals."""

from typing import Any

import msgspec

from functions.network import agreement, authorization, conflicts, operations
from payments import events, queues
from payments.books import REPLICATION_PATIENCE, ReplicationGap
from payments.observability import logger
from payments.settings import load

_SOON = 2
"""Receives after which a message that waits for replication comes again at once when that should be over; after those
that follow it comes as late as any other, so that a region that is cut off does not make dead letters of them."""


class NetworkQueueSettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    network_queue_url: str


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Works off a batch of SQS records, each an EventBridge envelope; answers which of them failed."""
    return queues.each(event["Records"], _work_off)


def _work_off(envelope: dict[str, Any], record: dict[str, Any]) -> None:
    try:
        _work(envelope["detail"])
    except ReplicationGap:
        if queues.receives(record) <= _SOON:
            url = load(NetworkQueueSettings).network_queue_url
            queues.postpone(record, url, int(REPLICATION_PATIENCE.total_seconds()) + 1)
        raise


def _work(detail: dict[str, Any]) -> None:
    payment_id, operation_id = detail["payment_id"], detail.get("operation")
    if operation_id == events.CONFLICT:
        payment = conflicts.resolve(payment_id)
        done = "conflict resolved"
    elif operation_id == events.AGREEMENT:
        payment = agreement.reach(payment_id, detail["seen_at"])
        done = "held against its journals"
    elif operation_id:
        payment = operations.finish(payment_id, operation_id)
        done = "operation finished"
    else:
        payment = authorization.authorize(payment_id)
        done = "authorized"
    logger.info(done, extra={"payment_id": payment_id, "operation_id": operation_id, "status": str(payment.status)})
