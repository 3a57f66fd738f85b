"""Seals a raw card for the vault before anything else sees it (JWE: RFC 7516; ECDH-ES: RFC 7518, section 4.6)."""

import json
import time
from functools import cache
from typing import Any

import msgspec
from joserfc import jwe
from joserfc.jwk import ECKey

from functions.api.requests import RawCard
from functions.api.settings import settings
from payments.clients import client
from payments.errors import ProcessingFailed

ENVELOPE_SECONDS = 300
"""How long the vault may open an envelope: a saga and its retries take seconds."""

KEY_SECONDS = 300
"""How long the vault's public key may be cached; the vault opens envelopes of the previous key for longer than that."""


def seal(card: RawCard, merchant_id: str, nonce: str) -> str:
    """The card as a compact JWE that only the vault can open; `nonce` names the payment it is for.

    Raises `ProcessingFailed` when the vault's public key cannot be had.
    """
    key = _public_key(int(time.monotonic() // KEY_SECONDS))
    now = int(time.time())
    header = {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": key.kid,
        "merchant": merchant_id,
        "nonce": nonce,
        "iat": now,
        "exp": now + ENVELOPE_SECONDS,
    }
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)
    return jwe.encrypt_compact(header, msgspec.json.encode(card), key, registry=registry)


@cache
def _public_key(period: int) -> ECKey:
    answer = client("lambda").invoke(FunctionName=settings().public_key_function, Payload=b"{}")
    content: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise ProcessingFailed("vault_unavailable", "The card vault cannot be reached; try again.")
    return ECKey.import_key(content["keys"][0])
