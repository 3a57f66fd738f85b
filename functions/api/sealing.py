"""Raw cards: accepted only where the deployment allows it, and sealed for the vault before anything else sees them."""

import time
from typing import TypeVar

import msgspec

from functions.api import vault
from functions.api.requests import ChargeRequest, RawCard, TokenRequest
from functions.api.settings import settings
from payments.errors import InvalidRequest
from payments.sealing import seal_card

ENVELOPE_SECONDS = 300
"""How long the vault may open an envelope: a saga and its retries take seconds."""

Request = TypeVar("Request", ChargeRequest, TokenRequest)


def accepted(request: Request) -> Request:
    """The request, if it may have the card it has. Raises `InvalidRequest` where raw cards are not accepted."""
    if request.card is not None and not settings().raw_cards_allowed:
        raise InvalidRequest("raw_card_refused", "Send a sealed card: raw cards are not accepted here.", param="card")
    return request


def sealed(request: Request, merchant_id: str, nonce: str) -> Request:
    """The request with its raw card sealed, if it has one; `nonce` names what the envelope is for.

    Raises what `accepted` and `seal` raise.
    """
    card = accepted(request).card
    if card is None:
        return request
    return msgspec.structs.replace(request, card=None, sealed_card=seal(card, merchant_id, nonce))


def seal(card: RawCard, merchant_id: str, nonce: str) -> str:
    """The card as a compact JWE that only the vault can open.

    Raises `ProcessingFailed` when the vault's public key cannot be had.
    """
    now = int(time.time())
    return seal_card(msgspec.json.encode(card), vault.public_keys()[0], merchant_id, nonce, now, ENVELOPE_SECONDS)
