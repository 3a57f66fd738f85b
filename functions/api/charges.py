"""`POST /api/v1/payments/charge` and `GET /api/v1/payments/{payment_id}`."""

import json
from http import HTTPStatus
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import requests, routing, saga, sealing
from functions.api.requests import ChargeRequest
from functions.api.settings import settings
from payments import books, clock, events, identifiers
from payments.errors import CardDeclined, IdempotencyKeyReused, InvalidRequest, NotFound
from payments.lifecycle import Status
from payments.merchants import Merchant

router = APIGatewayRouter()
REPLAYED = "Idempotent-Replayed"


@router.post("/api/v1/payments/charge")
def charge() -> Response[Any]:
    """Charges a card. 201 with the pending payment; 402 when the card is invalid or the charge was blocked."""
    event, merchant = router.current_event, _merchant()
    key = _header("Idempotency-Key")
    request = requests.parse_charge(event.decoded_body, key)
    payment_id = identifiers.payment_id(merchant.merchant_id, key or "")
    stored = books.find(payment_id)
    if stored:
        if stored.fingerprint != requests.fingerprint(request):
            raise _reused(payment_id)
        return _answer(events.resource(stored), replayed=True)
    request = _sealed(request, merchant.merchant_id, payment_id)
    elsewhere = routing.forward(event.raw_event, merchant.shard, msgspec.json.encode(request))
    if elsewhere:
        return _forwarded(elsewhere)
    return _conclude(saga.run(_saga_input(request, merchant, payment_id)), payment_id)


@router.get("/api/v1/payments/<payment_id>")
def payment(payment_id: str) -> Response[Any]:
    """One payment of the merchant, as this region has it."""
    found = books.find(payment_id) if identifiers.is_identifier(payment_id, "pay") else None
    if found is None or found.merchant_id != _merchant().merchant_id:
        raise NotFound("payment_not_found", "There is no such payment.")
    return _json(HTTPStatus.OK, events.resource(found))


def _saga_input(request: ChargeRequest, merchant: Merchant, payment_id: str) -> dict[str, Any]:
    """The saga's input; every key present, because a JSONPath that finds nothing is a fault."""
    card = {"token": request.token} if request.token else {"sealed_card": request.sealed_card}
    return {
        "payment_id": payment_id,
        "attempt": identifiers.new_attempt(),
        "merchant_id": merchant.merchant_id,
        "shard": merchant.shard,
        "fingerprint": requests.fingerprint(request),
        "amount": request.amount,
        "currency": request.currency,
        "capture": request.capture,
        "created_at": clock.now(),
        "network_ref": identifiers.network_reference(payment_id),
        "card": card,
        "customer": msgspec.to_builtins(request.customer),
        "device": msgspec.to_builtins(request.device),
        "description": request.description,
        "metadata": request.metadata,
    }


def _sealed(request: ChargeRequest, merchant_id: str, payment_id: str) -> ChargeRequest:
    if request.card is None:
        return request
    if not settings().raw_cards_allowed:
        raise InvalidRequest("raw_card_refused", "Send a sealed card: raw cards are not accepted here.", param="card")
    return msgspec.structs.replace(request, card=None, sealed_card=sealing.seal(request.card, merchant_id, payment_id))


def _conclude(output: dict[str, Any], payment_id: str) -> Response[Any]:
    """The answer to what the saga came to."""
    match output["outcome"]:
        case "accepted" | "blocked":
            return _answer(output["payment"], replayed=False)
        case "exists":
            return _answer(output["payment"], replayed=True)
        case "conflict":
            raise _reused(payment_id)
        case "invalid_card":
            raise CardDeclined(output["code"], output["message"], param="card")
        case _:
            raise saga.unfinished(payment_id)


def _answer(found: dict[str, Any], replayed: bool) -> Response[Any]:
    """The answer to a charge: the payment as it was accepted, whatever has become of it since, so replays are equal."""
    headers = {REPLAYED: "true"} if replayed else {}
    if found["status"] == Status.FRAUD_BLOCKED:
        request_id = router.current_event.request_context.request_id
        error = {
            "type": CardDeclined.type,
            **found["failure"],
            "param": None,
            "payment_id": found["id"],
            "request_id": request_id,
        }
        return Response(CardDeclined.status, content_types.APPLICATION_JSON, json.dumps({"error": error}), headers)
    accepted = {**found, "status": str(Status.PENDING), "failure": None, "updated_at": found["created_at"]}
    return _json(HTTPStatus.CREATED, accepted, headers)


def _reused(payment_id: str) -> IdempotencyKeyReused:
    return IdempotencyKeyReused(
        "idempotency_key_reused", "This idempotency key was used with another request.", payment_id=payment_id
    )


def _json(status: HTTPStatus, body: dict[str, Any], headers: dict[str, Any] | None = None) -> Response[Any]:
    body = {**body, "request_id": router.current_event.request_context.request_id}
    return Response(status, content_types.APPLICATION_JSON, json.dumps(body), headers)


def _forwarded(answer: dict[str, Any]) -> Response[Any]:
    headers = {name: values[0] for name, values in (answer.get("multiValueHeaders") or {}).items()}
    return Response(answer["statusCode"], content_types.APPLICATION_JSON, answer["body"], headers)


def _merchant() -> Merchant:
    """The merchant API Gateway's authorizer vouches for."""
    context = router.current_event.request_context.authorizer
    return Merchant(str(context["merchant_id"]), int(context["shard"]))


def _header(name: str) -> str | None:
    headers: dict[str, str] = router.current_event.headers or {}
    return next((value for key, value in headers.items() if key.lower() == name.lower()), None)
