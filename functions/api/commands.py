"""Commands on a payment, such as a capture: checked, sent to the shard's primary region, and carried out by the ledger.

The ledger keeps what it answered under the merchant's idempotency key, so a command may be sent again at any time.
Contract: docs/interfaces.md, "The ledger".
"""

from http import HTTPStatus
from typing import Any, Literal

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from functions.api import caller, requests, routing
from functions.api.settings import settings
from payments import books, identifiers, invocation, regions
from payments.clients import client
from payments.errors import (
    Conflict,
    IdempotencyKeyReused,
    InvalidRequest,
    NotFound,
    PaymentBusy,
    PaymentsError,
    ProcessingFailed,
)
from payments.rest import exchange

REPLAYED = "Idempotent-Replayed"

ERRORS = {
    400: (
        "invalid_json",
        "invalid_field",
        "card_data_in_field",
        "idempotency_key_required",
        "idempotency_key_too_long",
    ),
    404: ("payment_not_found",),
    409: ("payment_state_invalid", "payment_busy"),
    413: ("body_too_large",),
    422: ("idempotency_key_reused",),
    503: ("processing_failed",),
}
"""What every command may be refused with."""

ERRORS_WITH_AMOUNT = {**ERRORS, 400: (*ERRORS[400], "invalid_amount", "amount_too_large")}
HEADERS = {"Idempotency-Key": requests.IdempotencyKey}
ANSWER_HEADERS = {REPLAYED: "`true` when this is the answer to an earlier request with the same key."}

_READ_TIMEOUT_SECONDS = 7
_ATTEMPTS = 2
"""The ledger tries for a few seconds when others change the payment at the same time. Both tries stay within API
Gateway's 29 seconds; a region that has forwarded the command waits for one (`functions.api.routing`)."""

_UNFINISHED = "This could not be finished; send the same request again."

_REFUSALS: dict[str, type[PaymentsError]] = {
    "payment_not_found": NotFound,
    "idempotency_key_reused": IdempotencyKeyReused,
    "payment_state_invalid": Conflict,
    "amount_too_large": InvalidRequest,
    "payment_busy": PaymentBusy,
}


def carry_out(
    event: APIGatewayProxyEvent,
    command: Literal["capture", "void", "refund"],
    payment_id: str,
    kind: type[requests.CommandRequest],
    status: HTTPStatus = HTTPStatus.OK,
) -> Response[Any]:
    """The answer to a command on a payment, with this status where it is a success.

    Raises `InvalidRequest` or `BodyTooLarge` for what was sent, `NotFound`, `Conflict`, `PaymentBusy` or
    `IdempotencyKeyReused` for what stands, and `ProcessingFailed` when the ledger does not answer, or the shard moves.
    """
    merchant, key = caller.merchant(event), exchange.idempotency_key(event)
    exchange.refuse_misplaced_cards(event)
    request = requests.parse_command(exchange.body(event), key, kind)
    if not identifiers.is_identifier(payment_id, "pay"):
        raise NotFound("payment_not_found", "There is no such payment.")
    elsewhere = routing.only_forward(event.raw_event, merchant.shard, msgspec.json.encode(request))
    if elsewhere:
        if elsewhere["statusCode"] == HTTPStatus.NOT_FOUND and _is_here(payment_id, merchant.merchant_id):
            raise _unfinished(payment_id)
        return routing.forwarded(elsewhere)
    asked = {"command": command, "payment_id": payment_id, "merchant_id": merchant.merchant_id, "origin": "merchant"}
    asked |= {"key": key or "", "fingerprint": requests.command_fingerprint(command, payment_id, request)}
    result = _ask({"amount": None, "final": False, "reason": None, **msgspec.to_builtins(request), **asked})
    if result["result"] == "refused":
        raise _refusal(result, payment_id)
    headers = {REPLAYED: "true"} if result["result"] == "replayed" else {}
    return exchange.answer(status, {**result["answer"], "request_id": exchange.request_id(event)}, headers)


def _is_here(payment_id: str, merchant_id: str) -> bool:
    """Whether this region has the merchant's payment. The primary may not have it yet: this one has taken the charge
    when it did not answer."""
    found = books.find(payment_id, consistent=True)
    return found is not None and found.merchant_id == merchant_id


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    functions = client("lambda", read_timeout=_READ_TIMEOUT_SECONDS, attempts=_ATTEMPTS)
    try:
        return invocation.ask(functions, settings().command_function, request)
    except invocation.NoAnswer:
        raise _unfinished(request["payment_id"]) from None


def _refusal(result: dict[str, Any], payment_id: str) -> PaymentsError:
    """The error that a refusal is. Where there is no such payment, its id is not repeated."""
    if result["code"] in regions.MOVING:
        return _unfinished(payment_id)
    error = _REFUSALS[result["code"]]
    return error(result["code"], result["message"], result["param"], None if error is NotFound else payment_id)


def _unfinished(payment_id: str) -> ProcessingFailed:
    return ProcessingFailed("processing_failed", _UNFINISHED, payment_id=payment_id)
