"""`POST /api/v1/tokens` and `DELETE /api/v1/tokens/{token}`: cards stored ahead of a charge, and deleted."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import caller, operations, requests, routing, sealing, vault
from functions.api.operations import Operation, describes
from functions.api.resources import DeletedCard, StoredCard
from payments import clock
from payments.errors import CardDeclined, NotFound
from payments.rest import exchange

router = APIGatewayRouter()

NONCE = "tokens"
"""What an envelope for storing a card says it is for; the vault accepts it for nothing else."""


@router.post("/api/v1/tokens")
@describes(
    Operation(
        answers={201: StoredCard},
        errors={
            400: (*operations.FORM_ERRORS, "raw_card_refused"),
            402: operations.CARD_ERRORS,
            413: ("body_too_large",),
            503: ("vault_unavailable",),
        },
        body=requests.TokenRequest,
    )
)
def store() -> Response[Any]:
    """Store a card.

    The token is a function of the card's number: storing a card again gives the same token, so no Idempotency-Key is
    needed, and one that is sent is ignored.
    """
    event = router.current_event
    merchant = caller.merchant(event)
    exchange.refuse_misplaced_cards(event)
    request = sealing.sealed(requests.parse_token(exchange.body(event)), merchant.merchant_id, NONCE)
    elsewhere = routing.forward(event.raw_event, merchant.shard, msgspec.json.encode(request))
    if elsewhere:
        return routing.forwarded(elsewhere)
    answer = vault.store(merchant.merchant_id, request.sealed_card or "")
    if answer["result"] == "invalid_card":
        raise CardDeclined(answer["code"], answer["message"], param="card")
    stored = _stored(answer["card"], answer["expires_at"], exchange.request_id(event))
    return exchange.answer(HTTPStatus.CREATED, stored)


@router.delete("/api/v1/tokens/<token>")
@describes(
    Operation(
        answers={200: DeletedCard},
        errors={400: ("card_data_in_field",), 404: ("token_not_found",), 503: ("vault_unavailable",)},
        path={"token": requests.Token},
    )
)
def delete(token: str) -> Response[Any]:
    """Delete a stored card.

    Its number cannot be recovered afterwards, in either region. Payments that were made with it stay.
    """
    event = router.current_event
    merchant = caller.merchant(event)
    exchange.refuse_misplaced_cards(event)
    if not requests.is_token(token):
        raise _unknown()
    elsewhere = routing.forward(event.raw_event, merchant.shard, b"")
    if elsewhere:
        return routing.forwarded(elsewhere)
    if not vault.shred(merchant.merchant_id, token):
        raise _unknown()
    return exchange.answer(HTTPStatus.OK, DeletedCard(token, deleted=True, request_id=exchange.request_id(event)))


def _stored(card: dict[str, Any], expires_at: int | None, request_id: str) -> StoredCard:
    """What is told of a stored card: the fields of `StoredCard`, whatever else the vault may say."""
    until = None if expires_at is None else clock.timestamp(datetime.fromtimestamp(expires_at, UTC))
    known = {"object": "token", "id": card["token"], "expires_at": until, "request_id": request_id}
    return msgspec.convert({**card, **known}, StoredCard)


def _unknown() -> NotFound:
    return NotFound("token_not_found", "There is no such card.")
