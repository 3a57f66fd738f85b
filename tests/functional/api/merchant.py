"""What the tests of the merchants' API share: a merchant's requests."""

import json
import time

from joserfc import jwe
from joserfc.jwk import ECKey

from payments import identifiers
from payments.sealing import seal_card
from tests.functional.samples import MERCHANT

PAN = "4242424242424242"
KEY = ECKey.generate_key("P-256", {"kid": "sealing-1", "use": "enc", "alg": "ECDH-ES"})
CARD = {"number": PAN, "exp_month": 12, "exp_year": 2031, "cvc": "123"}
BODY = {"amount": 4200, "currency": "USD", "card": CARD}


class Context:
    """What Lambda passes beside the event."""

    function_name, memory_limit_in_mb, aws_request_id = "payments-api", 128, "request-1"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:payments-api"


def event(method, path, body=None, headers=None, merchant=MERCHANT, resource=None, query=None):
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": {"Idempotency-Key": "key-1", **(headers or {})},
        "multiValueHeaders": {},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": None,
        "stageVariables": None,
        "isBase64Encoded": False,
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "requestContext": {
            "requestId": "request-1",
            "stage": "v1",
            "httpMethod": method,
            "path": path,
            "identity": {},
            **({"authorizer": authorizer(merchant)} if merchant else {}),
        },
    }


def authorizer(merchant):
    """What the authorizer says of a merchant."""
    return {"merchant_id": merchant, "shard": str(identifiers.merchant_shard(merchant))}


def sealed(card=CARD, merchant=MERCHANT, nonce="n"):
    """A card sealed as a merchant does it."""
    return seal_card(card, KEY.as_dict(private=False), merchant, nonce, int(time.time()))


def opened(envelope):
    """The header and the content of an envelope."""
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)
    content = jwe.decrypt_compact(envelope, KEY, registry=registry)
    return content.headers(), json.loads(content.plaintext)


def charge(call, body=BODY, key="key-1", **kwargs):
    return call("POST", "/api/v1/payments/charge", body, {"Idempotency-Key": key} if key is not None else {}, **kwargs)


def without_request_id(body):
    return {name: value for name, value in body.items() if name != "request_id"}
