"""`GET /api/v1/reconciliation/reports`: what the card networks settled of a merchant's payments, run by run."""

from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import caller
from functions.api.operations import Operation, describes
from functions.api.queries import ReportsQuery
from functions.api.resources import ListedReport, ReportList
from payments import settlement_reports
from payments.listings import InvalidCursor
from payments.rest import exchange, queries

router = APIGatewayRouter()


@router.get("/api/v1/reconciliation/reports")
@describes(Operation(answers={200: ReportList}, errors={400: queries.PAGE_ERRORS}, query=ReportsQuery))
def reports() -> Response[Any]:
    """List reports of settlement reconciliation, the newest first.

    One for each day and run in which something of the merchant's was settled, or is still to be. As this region has
    them.
    """
    event = router.current_event
    query = queries.decode(event, ReportsQuery)
    merchant_id = caller.merchant(event).merchant_id
    try:
        page = settlement_reports.reports(merchant_id, query.limit, query.cursor, query.as_of_gte, query.as_of_lt)
    except InvalidCursor:
        raise query.invalid_cursor() from None
    return exchange.page(event, page, [msgspec.convert(report, ListedReport) for report in page.data])
