"""Lambda `payments-network`: takes accepted charges (`charge_authorized` events) to the card network."""

from typing import Any

from functions.network import authorization
from payments import queues
from payments.observability import logger


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Works off a batch of SQS records, each an EventBridge envelope; answers which of them failed."""
    return queues.each(event["Records"], _work)


def _work(envelope: dict[str, Any], record: dict[str, Any]) -> None:
    payment = authorization.authorize(envelope["detail"]["payment_id"])
    logger.info("authorized", extra={"payment_id": payment.payment_id, "status": str(payment.status)})
