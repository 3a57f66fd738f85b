"""`/operations/v1/reviews`: charges that fraud scoring sent to review, and what it found of any charge."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.operations import caller, requests, resources, review_commands, review_queue
from functions.operations.queries import ReviewsQuery
from functions.operations.requests import Decide
from payments import books, identifiers
from payments.errors import NotFound
from payments.lifecycle import Payment
from payments.listings import InvalidCursor
from payments.rest import exchange
from payments.rest.queries import decode

router = APIGatewayRouter()
REPLAYED = "Idempotent-Replayed"
_PATH = "/operations/v1/reviews"


@router.get(_PATH)
def listed() -> Response[Any]:
    """What waits for a decision, the oldest first."""
    event = router.current_event
    caller.operator(event)
    query = decode(event, ReviewsQuery)
    try:
        page = review_queue.find(_wanted(query), query.limit, query.cursor)
    except InvalidCursor:
        raise query.invalid_cursor() from None
    return exchange.page(event, page, [resources.review(payment) for payment in page.data])


@router.get(f"{_PATH}/<payment_id>")
def one(payment_id: str) -> Response[Any]:
    """What fraud scoring found of a charge, reviewed, blocked or neither, and what was decided about it."""
    event = router.current_event
    caller.operator(event)
    told = resources.whole_review(scored(payment_id))
    return exchange.answer(HTTPStatus.OK, {**told, "request_id": exchange.request_id(event)})


@router.post(f"{_PATH}/<payment_id>/approve")
def approve(payment_id: str) -> Response[Any]:
    """Let it be."""
    return _decide(payment_id, "approve")


@router.post(f"{_PATH}/<payment_id>/decline")
def decline(payment_id: str) -> Response[Any]:
    """Return the money: void what is authorized, refund what was captured."""
    return _decide(payment_id, "decline")


def scored(payment_id: str) -> Payment:
    """The payment of this id. Raises `NotFound` when there is none that has a score."""
    found = books.find(payment_id, consistent=True) if identifiers.is_identifier(payment_id, "pay") else None
    if found is None or "score" not in found.fraud:
        raise NotFound("review_not_found", "There is no such payment, or it has no score.")
    return found


def _decide(payment_id: str, decision: review_commands.Decision) -> Response[Any]:
    event = router.current_event
    by, key, body = requests.decision(event, Decide)
    answered = review_commands.carry_out(scored(payment_id), decision, by, key, body.reason)
    headers = {REPLAYED: "true"} if answered["result"] == "replayed" else {}
    told = {"id": payment_id, "object": "review", **answered["answer"], "request_id": exchange.request_id(event)}
    return exchange.answer(HTTPStatus.OK, told, headers)


def _wanted(query: ReviewsQuery) -> Callable[[Payment], bool]:
    degraded = None if query.degraded is None else query.degraded == "true"

    def admits(payment: Payment) -> bool:
        return (
            query.merchant in (None, payment.merchant_id)
            and int(payment.fraud["score"]) >= (query.min_score or 0)
            and degraded in (None, payment.fraud["degraded"])
        )

    return admits
