"""One event, one delivery message for each of the merchant's enabled endpoints."""

import json
from typing import Any

import msgspec

from payments import merchants
from payments.clients import client
from payments.settings import load


class FanOutSettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    delivery_queue_url: str


def send(event: dict[str, Any]) -> int:
    """Queues the event for each endpoint of its merchant; the number of deliveries queued."""
    endpoints = merchants.endpoints(event["merchant_id"])
    queue = load(FanOutSettings).delivery_queue_url
    for endpoint in endpoints:
        message = {"merchant_id": event["merchant_id"], "endpoint_id": endpoint.endpoint_id, "event": event}
        client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(message))
    return len(endpoints)
