"""Webhook signatures, verified with the published package."""

import base64
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from payments import signing

BODY = b'{"id":"evt_1"}'


def test_the_published_verifier_accepts_what_is_signed():
    secret = signing.new_secret()
    headers = signing.headers(secret, "evt_1", int(time.time()), BODY)

    assert Webhook(secret).verify(BODY, headers) == {"id": "evt_1"}


@pytest.mark.parametrize(
    "change",
    [
        lambda headers, body: (headers, body.replace(b"1", b"2")),
        lambda headers, body: ({**headers, "webhook-id": "evt_2"}, body),
        lambda headers, body: ({**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}, body),
        lambda headers, body: ({**headers, "webhook-signature": "v1," + base64.b64encode(b"0" * 32).decode()}, body),
    ],
)
def test_anything_changed_is_a_forgery(change):
    secret = signing.new_secret()
    headers, body = change(signing.headers(secret, "evt_1", int(time.time()), BODY), BODY)

    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_!!",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        base64.b64encode(b"x" * 32).decode(),
    ],
)
def test_a_malformed_secret_is_refused(secret):
    with pytest.raises(signing.InvalidSecret):
        signing.headers(secret, "evt_1", 1, BODY)
