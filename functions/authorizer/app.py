"""Lambda `payments-authorizer`: API key → merchant, for API Gateway's REQUEST authorizer."""

from dataclasses import asdict
from typing import Any

import msgspec

from payments import merchants
from payments.observability import logger

_SCHEME = "Bearer "


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The policy that lets the key's merchant call the API; its context has merchant id, shard, terms and fraud limits.

    Raises exactly `Unauthorized` for a missing, malformed, unknown or revoked key: API Gateway makes a 401 of it.
    """
    merchant = merchants.authenticate(_bearer(event.get("headers") or {}))
    if merchant is None:
        logger.info("refused an API key")
        raise Exception("Unauthorized")
    logger.info("authorized", extra={"merchant_id": merchant.merchant_id})
    return {
        "principalId": merchant.merchant_id,
        "policyDocument": _allow(event["methodArn"]),
        "context": {
            "merchant_id": merchant.merchant_id,
            "shard": str(merchant.shard),
            "terms": msgspec.json.encode(asdict(merchant.terms)).decode(),
            "fraud_limits": msgspec.json.encode(asdict(merchant.fraud_limits)).decode(),
        },
    }


def _bearer(headers: dict[str, str]) -> str:
    value = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
    return value.removeprefix(_SCHEME) if value.startswith(_SCHEME) else ""


def _allow(method_arn: str) -> dict[str, Any]:
    """Allows the whole stage, because the answer is cached for the key and used for its other calls too."""
    stage = "/".join(method_arn.split("/")[:2])
    return {
        "Version": "2012-10-17",
        "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{stage}/*"}],
    }
