"""What the tests of the merchants' API share: a merchant's requests, and a stand-in for the vault."""

import io
import json

from joserfc import jwe
from joserfc.jwk import ECKey

from payments import identifiers
from tests.functional.samples import MERCHANT

PAN = "4242424242424242"
KEY = ECKey.generate_key("P-256", {"kid": "sealing-1", "use": "enc", "alg": "ECDH-ES"})
CARD = {"number": PAN, "exp_month": 12, "exp_year": 2031, "cvc": "123"}
BODY = {"amount": 4200, "currency": "USD", "card": CARD}


def event(method, path, body=None, headers=None, merchant=MERCHANT, resource=None):
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": {"Idempotency-Key": "key-1", **(headers or {})},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
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
            "authorizer": {"merchant_id": merchant, "shard": str(identifiers.merchant_shard(merchant))},
        },
    }


def sealed():
    """A card sealed as a merchant does it."""
    header = {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": "sealing-1",
        "merchant": MERCHANT,
        "nonce": "n",
        "iat": 1,
        "exp": 2,
    }
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)
    return jwe.encrypt_compact(header, json.dumps(CARD).encode(), KEY, registry=registry)


class Vault:
    """Stands in for the Lambda service: answers the vault's public key, and counts."""

    def invoke(self, FunctionName, Payload):
        return {"Payload": io.BytesIO(json.dumps({"keys": [KEY.as_dict(private=False)]}).encode())}


def charge(call, body=BODY, key="key-1", **kwargs):
    return call("POST", "/api/v1/payments/charge", body, {"Idempotency-Key": key} if key is not None else {}, **kwargs)


def without_request_id(body):
    return {name: value for name, value in body.items() if name != "request_id"}
