"""`POST /api/v1/payments/{payment_id}/refund` and `GET /api/v1/payments/{payment_id}/refunds`."""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import commands, lookup, requests
from functions.api.operations import Operation, describes
from functions.api.resources import Refund, RefundList
from payments import books, events, identifiers, listings
from payments.journal import Journal
from payments.listings import InvalidCursor
from payments.rest import exchange, queries

router = APIGatewayRouter()


@router.post("/api/v1/payments/<payment_id>/refund")
@describes(
    Operation(
        answers={201: Refund},
        errors=commands.ERRORS_WITH_AMOUNT,
        body=requests.RefundRequest,
        path={"payment_id": requests.PaymentId},
        headers=commands.HEADERS,
        answer_headers=commands.ANSWER_HEADERS,
    )
)
def refund(payment_id: str) -> Response[Any]:
    """Refund a captured amount.

    All that is left of it, or a part. The refund is pending: the card network decides within seconds.
    """
    event = router.current_event
    return commands.carry_out(event, "refund", payment_id, requests.RefundRequest, HTTPStatus.CREATED)


@router.get("/api/v1/payments/<payment_id>/refunds")
@describes(
    Operation(
        answers={200: RefundList},
        errors={400: queries.PAGE_ERRORS, **lookup.ERRORS},
        path={"payment_id": requests.PaymentId},
        query=queries.PageQuery,
    )
)
def refunds(payment_id: str) -> Response[Any]:
    """List a payment's refunds, the newest first."""
    event = router.current_event
    query = queries.decode(event, queries.PageQuery)
    found = lookup.payment(event, payment_id)
    if isinstance(found, Response):
        return found
    try:
        page = listings.page_of(_refunds(payment_id), query.limit, query.cursor, lambda refund: refund["id"])
    except InvalidCursor:
        raise query.invalid_cursor() from None
    return exchange.page(event, page, page.data)


def _refunds(payment_id: str) -> list[dict[str, Any]]:
    """All refunds of the payment, from its journals, the newest first."""
    journals = books.journals(payment_id)
    asked = sorted(filter(_asks, journals), key=lambda journal: (journal.created_at, journal.journal_id), reverse=True)
    return [events.refund_resource(payment_id, journal.journal_id, journals) for journal in asked]


def _asks(journal: Journal) -> bool:
    """Whether this is a refund's first journal; its end has the refund's id and what came of it."""
    return identifiers.is_identifier(journal.journal_id, "ref")
