"""What every route needs of the exchange with API Gateway: what was sent, and how an answer is written."""

import binascii
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from payments.errors import InvalidRequest
from payments.listings import Page
from payments.rest import card_numbers


def idempotency_key(event: APIGatewayProxyEvent) -> str | None:
    """The Idempotency-Key header, in whatever case it was written."""
    return event.headers.get("Idempotency-Key")


def request_id(event: APIGatewayProxyEvent) -> str:
    """The id API Gateway gave the request."""
    return event.request_context.request_id


def body(event: APIGatewayProxyEvent) -> str | None:
    """The body as text. Raises `InvalidRequest` when it is none."""
    try:
        return event.decoded_body
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidRequest("invalid_json", "The body is not valid JSON.") from None


def refuse_misplaced_cards(event: APIGatewayProxyEvent) -> None:
    """Raises `InvalidRequest` when the query or the idempotency key may hold a card number: a write that is forwarded
    would take it to the other region."""
    card_numbers.refuse(idempotency_key(event) or "", "Idempotency-Key")
    raw = event.raw_event
    once, often = raw.get("queryStringParameters") or {}, raw.get("multiValueQueryStringParameters") or {}
    for text in (*once, *once.values(), *often, *(value for values in often.values() for value in values)):
        card_numbers.refuse(text or "", None)


def answer(
    status: int, resource: msgspec.Struct | dict[str, Any], headers: dict[str, str] | None = None
) -> Response[Any]:
    """An answer whose body is this resource."""
    return Response(status, content_types.APPLICATION_JSON, msgspec.json.encode(resource).decode(), dict(headers or {}))


def page(event: APIGatewayProxyEvent, found: Page[Any], data: Sequence[Any]) -> Response[Any]:
    """An answer whose body is a page of a list, with the data as the API shows it."""
    body = {
        "object": "list",
        "data": data,
        "has_more": found.has_more,
        "next_cursor": found.next_cursor,
        "request_id": request_id(event),
    }
    return answer(HTTPStatus.OK, body)
