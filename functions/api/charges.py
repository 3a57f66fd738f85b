"""`POST /api/v1/payments/charge` and `GET /api/v1/payments/{payment_id}`."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import caller, lookup, operations, requests, routing, saga, sealing
from functions.api.operations import Operation, describes
from functions.api.requests import ChargeRequest
from functions.api.resources import Payment
from payments import books, clock, events, identifiers, regions
from payments.errors import CardDeclined, IdempotencyKeyReused, PaymentBusy, PaymentsError
from payments.lifecycle import Status
from payments.merchants import Merchant
from payments.rest import exchange

router = APIGatewayRouter()
REPLAYED = "Idempotent-Replayed"

_AT_FIRST = {
    "status": str(Status.PENDING),
    "amount_captured": 0,
    "amount_refunded": 0,
    "amount_capturable": 0,
    "dispute": None,
    "failure": None,
}
"""What of a payment changes later, as it is when the charge is accepted."""


@router.post("/api/v1/payments/charge")
@describes(
    Operation(
        answers={201: Payment},
        errors={
            400: (
                *operations.FORM_ERRORS,
                "raw_card_refused",
                "invalid_amount",
                "idempotency_key_required",
                "idempotency_key_too_long",
            ),
            402: (*operations.CARD_ERRORS, "token_unknown", "fraud_blocked"),
            409: ("idempotency_in_progress",),
            413: ("body_too_large",),
            422: ("idempotency_key_reused",),
            503: ("processing_failed", "vault_unavailable"),
        },
        body=ChargeRequest,
        headers={"Idempotency-Key": requests.IdempotencyKey},
        answer_headers={REPLAYED: "`true` when this is the answer to an earlier request with the same key."},
    )
)
def charge() -> Response[Any]:
    """Charge a card.

    The payment is pending: the card network decides within seconds. 402 means that there will be no payment: the card
    is invalid, or the charge was blocked.
    """
    event = router.current_event
    merchant, key = caller.merchant(event), exchange.idempotency_key(event)
    exchange.refuse_misplaced_cards(event)
    request = sealing.accepted(requests.parse_charge(exchange.body(event), key))
    payment_id = identifiers.payment_id(merchant.merchant_id, key or "")
    stored = books.find(payment_id)
    if stored:
        if stored.fingerprint != requests.fingerprint(request):
            raise _other_request(payment_id, requests.fingerprint(request))
        return _answer(events.resource(stored), replayed=True)
    request = sealing.sealed(request, merchant.merchant_id, payment_id)
    received_at = event.raw_event.setdefault(routing.RECEIVED_AT, clock.now())
    elsewhere = routing.forward(event.raw_event, merchant.shard, msgspec.json.encode(request))
    if elsewhere:
        return routing.forwarded(elsewhere)
    return _conclude(saga.run(_saga_input(request, merchant, payment_id, received_at)), payment_id)


@router.get("/api/v1/payments/<payment_id>")
@describes(Operation(answers={200: Payment}, errors=lookup.ERRORS, path={"payment_id": requests.PaymentId}))
def payment(payment_id: str) -> Response[Any]:
    """Read a payment.

    A payment that was answered is found in the region that answered, and in the other one a moment later.
    """
    event = router.current_event
    found = lookup.payment(event, payment_id)
    if isinstance(found, Response):
        return found
    return exchange.answer(HTTPStatus.OK, {**events.resource(found), "request_id": exchange.request_id(event)})


def _saga_input(request: ChargeRequest, merchant: Merchant, payment_id: str, received_at: str) -> dict[str, Any]:
    """The saga's input; every key present, because a JSONPath that finds nothing is a fault."""
    card = {"token": request.token} if request.token else {"sealed_card": request.sealed_card}
    assigned = regions.assignment(merchant.shard)
    return {
        "payment_id": payment_id,
        "attempt": identifiers.new_attempt(),
        "merchant_id": merchant.merchant_id,
        "shard": merchant.shard,
        "epoch": assigned.epoch,
        "mapped_at": assigned.mapped_at,
        "fingerprint": requests.fingerprint(request),
        "amount": request.amount,
        "currency": request.currency,
        "capture": request.capture,
        "created_at": received_at,
        "network_ref": identifiers.network_reference(payment_id),
        "fees": asdict(merchant.terms.plan(request.currency)),
        "fraud_limits": asdict(merchant.fraud_limits),
        "card": card,
        "customer": msgspec.to_builtins(request.customer),
        "device": msgspec.to_builtins(request.device),
        "description": request.description,
        "metadata": request.metadata,
    }


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
    request_id = exchange.request_id(router.current_event)
    if found["status"] == Status.FRAUD_BLOCKED:
        where = {"param": None, "payment_id": found["id"], "request_id": request_id}
        error = {"type": CardDeclined.type, **found["failure"], **where}
        return exchange.answer(CardDeclined.status, {"error": error}, headers)
    then = {**_AT_FIRST, "updated_at": found["created_at"]}
    return exchange.answer(HTTPStatus.CREATED, {**found, **then, "request_id": request_id}, headers)


def _other_request(payment_id: str, fingerprint: str) -> PaymentsError:
    """The answer where another request stands under this key: for good, or while it is not decided which one does."""
    if books.disputed(payment_id, fingerprint):
        sentence = "Which of two requests with this key stands is not decided yet; send the same request again."
        return PaymentBusy("idempotency_in_progress", sentence, payment_id=payment_id)
    return _reused(payment_id)


def _reused(payment_id: str) -> IdempotencyKeyReused:
    return IdempotencyKeyReused(
        "idempotency_key_reused", "This idempotency key was used with another request.", payment_id=payment_id
    )
