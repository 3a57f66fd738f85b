"""Webhooks: one delivery per endpoint, signed as the published verifier expects, retried until they arrive."""

import json

import boto3
import pytest
import requests
from moto.backends import get_backend
from standardwebhooks.webhooks import Webhook

from functions.webhooks import app, delivery
from payments import clients, queues, signing
from payments.merchants import MerchantItem
from tests.functional.samples import MERCHANT

EVENT = {
    "id": "evt_1",
    "type": "payment.succeeded",
    "merchant_id": MERCHANT,
    "payment_id": "pay_1",
    "data": {"amount": 1},
}
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/payments-webhooks-deliver"


@pytest.fixture
def secret(tables):
    value = signing.new_secret()
    endpoint(secret=value)
    return value


def endpoint(endpoint_id="we_1", url="https://merchant.example/hook", secret="", status="enabled"):
    MerchantItem(MERCHANT, f"webhook_endpoint#{endpoint_id}", url=url, secret=secret, status=status).save()


@pytest.fixture
def posts(monkeypatch):
    """Answers deliveries as told, and records them."""

    class Session:
        answer, sent = 200, []

        def post(self, url, data, headers, timeout, allow_redirects, stream):
            self.sent.append((url, data, headers))
            assert allow_redirects is False
            if isinstance(self.answer, Exception):
                raise self.answer
            response = requests.Response()
            response.status_code = self.answer
            response._content_consumed = True
            return response

    session = Session()
    session.sent = []
    monkeypatch.setattr(delivery, "_session", lambda: session)
    return session


@pytest.fixture
def backoffs(monkeypatch):
    seen = []

    class Queue:
        def change_message_visibility(self, **call):
            seen.append(call["VisibilityTimeout"])

    monkeypatch.setattr(queues, "client", lambda _: Queue())
    return seen


def deliver(tries=1, **message):
    body = {"merchant_id": MERCHANT, "endpoint_id": "we_1", "event": EVENT, **message}
    return app.deliver(
        {
            "Records": [
                {
                    "messageId": "m",
                    "receiptHandle": "r",
                    "body": json.dumps(body),
                    "attributes": {"ApproximateReceiveCount": str(tries)},
                }
            ]
        },
        None,
    )["batchItemFailures"]


def test_a_delivery_is_signed_as_the_published_verifier_expects(secret, posts, backoffs):
    assert deliver() == []

    url, body, headers = posts.sent[0]
    assert url == "https://merchant.example/hook"
    assert Webhook(secret).verify(body, headers) == EVENT
    assert headers["webhook-id"] == "evt_1"


@pytest.mark.parametrize(
    "answer", [300, 301, 302, 304, 400, 404, 429, 500, 503, requests.ConnectTimeout(), requests.ReadTimeout()]
)
def test_a_delivery_that_does_not_arrive_comes_back_later_and_later(secret, posts, backoffs, answer):
    posts.answer = answer

    assert [deliver(tries) for tries in (1, 2, 3, 20)] == [[{"itemIdentifier": "m"}]] * 4
    assert backoffs == [5, 10, 20, 3600]


@pytest.mark.parametrize("answer", [200, 201, 204, 410])
def test_an_endpoint_that_took_it_or_is_gone_is_not_asked_again(secret, posts, backoffs, answer):
    posts.answer = answer

    assert deliver() == []


def test_a_disabled_or_deleted_endpoint_gets_nothing(secret, posts, backoffs):
    endpoint(status="disabled")

    assert deliver() == deliver(endpoint_id="we_2") == []
    assert posts.sent == []


PUBLIC = "93.184.216.34"


def resolves_to(monkeypatch, *addresses):
    found = [(0, 0, 0, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(delivery.socket, "getaddrinfo", lambda *_, **__: found)


PRODUCTION = delivery.DeliverySettings(delivery_queue_url=QUEUE)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
    ],
)
def test_an_address_that_is_not_public_is_refused_in_production(secret, posts, backoffs, monkeypatch, address):
    monkeypatch.setattr(delivery, "load", lambda _: PRODUCTION)
    resolves_to(monkeypatch, PUBLIC, address)

    assert deliver() == []
    assert posts.sent == []


def test_a_public_address_is_delivered_to_in_production(secret, posts, backoffs, monkeypatch):
    monkeypatch.setattr(delivery, "load", lambda _: PRODUCTION)
    resolves_to(monkeypatch, PUBLIC)

    assert deliver() == []
    assert len(posts.sent) == 1


def test_plain_http_is_refused_in_production(secret, posts, backoffs, monkeypatch):
    endpoint(url="http://merchant.example/hook", secret=secret)
    monkeypatch.setattr(delivery, "load", lambda _: PRODUCTION)

    assert deliver() == []
    assert posts.sent == []


@pytest.fixture
def queue(aws):
    get_backend("sqs")["123456789012"]["us-east-1"].reset()
    return boto3.resource("sqs", region_name="us-east-1").create_queue(QueueName="payments-webhooks-deliver")


def test_an_event_becomes_one_delivery_for_each_enabled_endpoint(tables, queue):
    for number, status in enumerate(["enabled", "disabled", "enabled"]):
        endpoint(f"we_{number}", status=status)
    MerchantItem("mer_" + "b" * 24, "webhook_endpoint#we_other", url="https://x", status="enabled").save()

    answer = app.fanout({"Records": [{"messageId": "m", "body": json.dumps({"detail": EVENT})}]}, None)

    messages = [json.loads(message.body) for message in queue.receive_messages(MaxNumberOfMessages=10)]
    assert answer == {"batchItemFailures": []}
    assert {message["endpoint_id"] for message in messages} == {"we_0", "we_2"}
    assert all(message["event"] == EVENT for message in messages)
    assert "secret" not in json.dumps(messages)


def test_a_lost_queue_fails_the_event_so_that_it_comes_back(tables, aws):
    endpoint()
    get_backend("sqs")["123456789012"]["us-east-1"].reset()
    clients.client.cache_clear()

    answer = app.fanout({"Records": [{"messageId": "m", "body": json.dumps({"detail": EVENT})}]}, None)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m"}]}
