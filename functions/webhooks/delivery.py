"""One delivery: sign the event and post it to the merchant's endpoint (Standard Webhooks 1.0)."""

import ipaddress
import json
import socket
import time
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from payments import merchants, signing
from payments.observability import logger
from payments.queues import TryLater, postpone, receives
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
        logger.error(
            "endpoint refused: not https, or not a public address", extra={"endpoint_id": endpoint.endpoint_id}
        )
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
            stream=True,
        )
        answer.close()
    except requests.RequestException as error:
        raise TryLater(f"no answer: {type(error).__name__}") from None
    if not 200 <= answer.status_code < 300:
        if answer.status_code == _GONE:
            return _GONE
        raise TryLater(f"the endpoint answered {answer.status_code}")
    return answer.status_code


def back_off(record: dict[str, Any]) -> None:
    """Lets a failed message wait, twice as long after each try, before the queue delivers it again."""
    delay = min(_FIRST_DELAY_SECONDS * 2 ** (receives(record) - 1), _LONGEST_DELAY_SECONDS)
    postpone(record, load(DeliverySettings).delivery_queue_url, delay)


def _allowed(url: str) -> bool:
    """Whether an endpoint may be posted to: https to public addresses only, so that no merchant can make the platform
    call what only the platform can reach (private, loopback, link-local and metadata addresses)."""
    if load(DeliverySettings).private_endpoints_allowed:
        return True
    parts = urlsplit(url)
    return parts.scheme == "https" and bool(parts.hostname) and all(map(_is_public, _addresses(parts.hostname or "")))


def _addresses(host: str) -> list[str]:
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise TryLater(f"no address: {type(error).__name__}") from None


def _is_public(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_global


@cache
def _session() -> requests.Session:
    return requests.Session()
