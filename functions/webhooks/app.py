"""Lambdas `payments-webhooks-fanout` and `payments-webhooks-deliver`: events → deliveries → merchants' endpoints."""

from typing import Any

from functions.webhooks import delivery, fan_out
from payments import queues
from payments.observability import logger


def fanout(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Turns each event of a batch (SQS records of EventBridge envelopes) into one delivery per endpoint."""
    return queues.each(event["Records"], _fan_out)


def deliver(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Delivers a batch (SQS records that `fanout` sent); what fails is delivered again later, then dead-lettered."""
    return queues.each(event["Records"], _deliver)


def _fan_out(envelope: dict[str, Any], record: dict[str, Any]) -> None:
    count = fan_out.send(envelope["detail"])
    logger.info("fanned out", extra={"event_id": envelope["detail"]["id"], "deliveries": count})


def _deliver(message: dict[str, Any], record: dict[str, Any]) -> None:
    try:
        status = delivery.deliver(message)
    except queues.TryLater:
        delivery.back_off(record)
        raise
    logger.info("delivered", extra={"event_id": message["event"]["id"], "status": status})
