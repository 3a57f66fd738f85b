"""`GET /api/v1/payments`: a merchant's payments, page by page."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import caller
from functions.api.operations import Operation, describes
from functions.api.queries import PaymentsQuery
from functions.api.resources import PaymentList
from payments import events, listings
from payments.listings import Filter, InvalidCursor
from payments.rest import exchange, queries

router = APIGatewayRouter()


@router.get("/api/v1/payments")
@describes(Operation(answers={200: PaymentList}, errors={400: queries.PAGE_ERRORS}, query=PaymentsQuery))
def payments() -> Response[Any]:
    """List payments, the newest first.

    As this region has them. Walking on with `starting_after` shows every payment that was there at the start once. A
    page may have fewer payments than its limit, or none, and yet there is more: `has_more` says so.
    """
    event = router.current_event
    query = queries.decode(event, PaymentsQuery)
    merchant = caller.merchant(event)
    try:
        page = listings.payments(merchant.merchant_id, _filter(query), query.limit, query.cursor)
    except InvalidCursor:
        raise query.invalid_cursor() from None
    return exchange.page(event, page, [events.resource(payment) for payment in page.data])


def _filter(query: PaymentsQuery) -> Filter:
    return Filter(
        query.status,
        query.customer,
        query.currency,
        query.amount,
        query.amount_gte,
        query.amount_lte,
        queries.first_millisecond(query.created_gte, "created_gte"),
        queries.first_millisecond(query.created_lt, "created_lt"),
    )
