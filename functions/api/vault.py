"""What the API asks of the card vault, by invoking its functions. Contract: docs/interfaces.md, "The vault's other
entries". No card number crosses: cards go in sealed, and come out as facts."""

import time
from typing import Any

from functions.api.settings import settings
from payments import invocation
from payments.clients import client
from payments.errors import ProcessingFailed

KEYS_SECONDS = 60
"""How long the vault's public keys may be cached; the vault opens envelopes of the previous key for longer."""

_READ_TIMEOUT_SECONDS = 5
_ATTEMPTS = 2
"""A cold start of the vault takes a second. Together with the time a forwarded write may take, both tries stay within
API Gateway's 29 seconds; each of these calls may be repeated without harm."""

_keys: tuple[list[dict[str, Any]], float] = [], 0.0


def store(merchant_id: str, sealed_card: str) -> dict[str, Any]:
    """`{"result": "tokenized", "card", "expires_at"}` or `{"result": "invalid_card", "code", "message"}`.

    Raises `ProcessingFailed` when the vault does not answer, as the other functions here do.
    """
    return _ask(settings().store_function, {"merchant_id": merchant_id, "sealed_card": sealed_card})


def shred(merchant_id: str, token: str) -> bool:
    """Deletes the merchant's card; False when the merchant has no such card."""
    answer = _ask(settings().shred_function, {"merchant_id": merchant_id, "token": token})
    return bool(answer["result"] == "shredded")


def public_keys() -> list[dict[str, Any]]:
    """The vault's public keys as JWKs, the one to seal to first; as they were at most `KEYS_SECONDS` ago."""
    global _keys
    keys, until = _keys
    if time.monotonic() >= until:
        keys = _ask(settings().public_key_function, {})["keys"]
        _keys = keys, time.monotonic() + KEYS_SECONDS
    return keys


def _ask(function: str, request: dict[str, Any]) -> dict[str, Any]:
    functions = client("lambda", read_timeout=_READ_TIMEOUT_SECONDS, attempts=_ATTEMPTS)
    try:
        return invocation.ask(functions, function, request)
    except invocation.NoAnswer:
        raise ProcessingFailed("vault_unavailable", "The card vault cannot be reached; try again.") from None
