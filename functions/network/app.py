"""Lambda `payments-network`: takes accepted charges (`charge_authorized`) and what merchants do with them
(`payment_command`) to the card network, asks it which of two requests under one key stands, and holds payments that
another region has written over against their journals."""

from typing import Any

from functions.network import agreement, authorization, conflicts, operations
from payments import events, queues
from payments.observability import logger


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Works off a batch of SQS records, each an EventBridge envelope; answers which of them failed."""
    return queues.each(event["Records"], _work)


def _work(envelope: dict[str, Any], record: dict[str, Any]) -> None:
    payment_id, operation_id = envelope["detail"]["payment_id"], envelope["detail"].get("operation")
    if operation_id == events.CONFLICT:
        payment = conflicts.resolve(payment_id)
        done = "conflict resolved"
    elif operation_id == events.AGREEMENT:
        payment = agreement.reach(payment_id)
        done = "held against its journals"
    elif operation_id:
        payment = operations.finish(payment_id, operation_id)
        done = "operation finished"
    else:
        payment = authorization.authorize(payment_id)
        done = "authorized"
    logger.info(done, extra={"payment_id": payment_id, "operation_id": operation_id, "status": str(payment.status)})
