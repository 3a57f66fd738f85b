"""One delivery: sign the event and post it to the merchant's endpoint (Standard Webhooks 1.0)."""

import json
import time
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from payments import merchants, signing
from payments.clients import client
from payments.observability import logger
from payments.queues import TryLater
from payments.settings import load

_TIMEOUT_SECONDS = (2, 8)
"""Connect and read, within the 15 to 30 seconds that Standard Webhooks suggests for both together."""

_FIRST_DELAY_SECONDS = 5
_LONGEST_DELAY_SECONDS = 3_600
_GONE = 410


class DeliverySettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    delivery_queue_url: str
    private_endpoints_allowed: bool = False


def deliver(message: dict[str, Any]) -> int | None:
    """Posts the event and answers the endpoint's status; None when there is no endpoint to post to any more.

    A 2xx ends the delivery, and so does a 410, by which an endpoint says that it is gone. Anything else, redirects
    included, raises `TryLater`.
    """
    endpoint = merchants.endpoint(message["merchant_id"], message["endpoint_id"])
    if endpoint is None:
        return None
    if not _allowed(endpoint.url):
        logger.error("endpoint refused: not https", extra={"endpoint_id": endpoint.endpoint_id})
        return None
    body = json.dumps(message["event"], separators=(",", ":")).encode()
    headers = signing.headers(endpoint.secret, message["event"]["id"], int(time.time()), body)
    try:
        answer = _session().post(
            endpoint.url,
            data=body,
            headers={"content-type": "application/json", **headers},
            timeout=_TIMEOUT_SECONDS,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise TryLater(f"no answer: {type(error).__name__}") from None
    if not answer.ok or answer.is_redirect:
        if answer.status_code == _GONE:
            return _GONE
        raise TryLater(f"the endpoint answered {answer.status_code}")
    return answer.status_code


def back_off(record: dict[str, Any]) -> None:
    """Lets a failed message wait, twice as long after each try, before the queue delivers it again."""
    tries = int(record["attributes"]["ApproximateReceiveCount"])
    delay = min(_FIRST_DELAY_SECONDS * 2 ** (tries - 1), _LONGEST_DELAY_SECONDS)
    queue = load(DeliverySettings).delivery_queue_url
    client("sqs").change_message_visibility(
        QueueUrl=queue,
        ReceiptHandle=record["receiptHandle"],
        VisibilityTimeout=delay,
    )


def _allowed(url: str) -> bool:
    return urlsplit(url).scheme == "https" or load(DeliverySettings).private_endpoints_allowed


@cache
def _session() -> requests.Session:
    return requests.Session()
