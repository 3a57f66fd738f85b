"""What signing and delivering a webhook costs: `python -m bench.webhooks`. CPU milliseconds, without the network.

`webhook_delivery_ms` is the handler with one message: the merchant's endpoint is a canned value, its name resolves to a
canned address, the merchant's answer is a canned response under the whole of `requests`.
`webhook_delivery_with_dynamodb_ms` adds pynamodb's and botocore's work on reading the endpoint, up to the HTTP
connection.
"""

import io
import json
import socket
from typing import Any
from unittest.mock import patch

import requests
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from requests.adapters import BaseAdapter

from bench import environment  # noqa: F401
from bench.cpu import milliseconds, silence
from functions.webhooks import app, delivery
from payments import merchants, signing
from payments.merchants import MerchantItem, WebhookEndpoint
from payments.observability import logger

BUDGET_MS = 1.0
"""DESIGN section 9."""

_ENDPOINT = WebhookEndpoint("we_1", "https://merchant.example/hooks", signing.new_secret())
_ADDRESSES = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]
"""What the endpoint's name resolves to: asking for it is network."""

_PAYMENT = {
    "id": "pay_68okwvauma2sntuq3uydvtb7ck",
    "object": "payment",
    "status": "succeeded",
    "amount": 4200,
    "currency": "USD",
    "capture": True,
    "customer": "cus_1",
    "description": "order 1",
    "metadata": {"order": "1"},
    "failure": None,
    "review": False,
    "card": {
        "token": "tok_1spfg5le6fsghw3xm2w7lnaykanuj275bkccltb6htbwtcjieuibq",
        "brand": "visa",
        "network": "visa",
        "bin": "424242",
        "last4": "4242",
        "exp_month": 12,
        "exp_year": 2031,
    },
    "created_at": "2026-11-23T01:38:16.997Z",
    "updated_at": "2026-11-23T01:38:17.545Z",
}
_EVENT = {
    "id": "evt_68ij4f4fhwgasahhrgkyc2krdd",
    "type": "payment.succeeded",
    "payment_id": _PAYMENT["id"],
    "merchant_id": "mer_1",
    "shard": 104,
    "sequence": 2,
    "created_at": _PAYMENT["updated_at"],
    "data": _PAYMENT,
}
_BATCH = {
    "Records": [
        {
            "messageId": "1",
            "receiptHandle": "1",
            "attributes": {"ApproximateReceiveCount": "1"},
            "body": json.dumps({"merchant_id": "mer_1", "endpoint_id": "we_1", "event": _EVENT}),
        }
    ]
}


class _CannedMerchant(BaseAdapter):
    """The merchant's endpoint: always 200; counts what it gets."""

    posts = 0

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.posts += 1
        answer = requests.Response()
        answer.status_code, answer.url, answer.request, answer.raw = 200, request.url or "", request, io.BytesIO(b"{}")
        return answer

    def close(self) -> None:
        """There is nothing to close."""


def figures() -> dict[str, float]:
    """CPU milliseconds by name."""
    silence(logger.handlers)
    merchant = _CannedMerchant()
    delivery._session().mount("https://", merchant)
    body = json.dumps(_EVENT, separators=(",", ":")).encode()
    found = {
        "webhook_signature_ms": milliseconds(lambda: signing.headers(_ENDPOINT.secret, "evt_1", 1_800_000_000, body))
    }
    with patch.object(socket, "getaddrinfo", lambda *_, **__: _ADDRESSES):
        with patch.object(merchants, "endpoint", lambda *_: _ENDPOINT):
            found["webhook_delivery_ms"] = _delivery(merchant)
        found["webhook_delivery_with_dynamodb_ms"] = _delivery_with_dynamodb(merchant)
    return found


def _delivery(merchant: _CannedMerchant) -> float:
    before = merchant.posts
    assert app.deliver(_BATCH, None) == {"batchItemFailures": []}
    assert merchant.posts == before + 1, "nothing was delivered"
    return milliseconds(lambda: app.deliver(_BATCH, None))


def _delivery_with_dynamodb(merchant: _CannedMerchant) -> float:
    item = {
        "merchant_id": "mer_1",
        "kind": "webhook_endpoint#we_1",
        "status": "enabled",
        "url": _ENDPOINT.url,
        "secret": _ENDPOINT.secret,
    }
    content = json.dumps({"Item": {name: {"S": value} for name, value in item.items()}}).encode()

    def answer(request: Any, **_: object) -> Any:
        response: Any = AWSResponse(request.url, 200, HTTPHeaders(), None)
        response._content = content
        return response

    client = MerchantItem._get_connection().connection.client
    hooks: Any = client.meta.events
    hooks.register("before-send.dynamodb", answer)
    try:
        return _delivery(merchant)
    finally:
        hooks.unregister("before-send.dynamodb", answer)


if __name__ == "__main__":
    for name, figure in figures().items():
        print(f"{name:36} {figure:8.3f}")
    print(f"{'budget':36} {BUDGET_MS:8.3f}")
