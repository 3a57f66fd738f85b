"""Asks the vault what a token stands for."""

import json
from functools import cache
from typing import Any

import msgspec

from payments.clients import client
from payments.queues import TryLater
from payments.settings import load

_READ_TIMEOUT_SECONDS = 10
"""One try: the queue delivers the message again."""


class VaultSettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    detokenize_function: str


@cache
def _function() -> str:
    return load(VaultSettings).detokenize_function


def detokenize(token: str, payment_id: str, merchant_id: str) -> dict[str, Any] | None:
    """The card facts behind a token (BIN, network, expiry; never the number), or None when the vault knows it no more.

    Marks the token used. Raises `TryLater` when the vault fails.
    """
    payload = json.dumps({"token": token, "payment_id": payment_id, "merchant_id": merchant_id})
    answer = client("lambda", read_timeout=_READ_TIMEOUT_SECONDS, attempts=1).invoke(
        FunctionName=_function(), Payload=payload
    )
    content = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise TryLater("the vault failed")
    card: dict[str, Any] | None = content.get("card")
    return card
