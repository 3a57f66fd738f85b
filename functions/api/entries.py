"""`GET /api/v1/ledger/entries`: what was booked, line by line, by payment or by account."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import caller, history
from functions.api.history import Line, Wanted
from functions.api.operations import Operation, describes
from functions.api.queries import EntriesQuery
from functions.api.resources import EntryList
from payments.listings import InvalidCursor, Page
from payments.rest import exchange, queries

router = APIGatewayRouter()


@router.get("/api/v1/ledger/entries")
@describes(Operation(answers={200: EntryList}, errors={400: queries.PAGE_ERRORS}, query=EntriesQuery))
def entries() -> Response[Any]:
    """List entries of the ledger, the newest first.

    Of journals that touch the merchant's accounts. Of a payment they are there at once, of accounts when this region's
    projector has come to them, within seconds. A page may be short and yet there is more: `has_more` says so.
    """
    event = router.current_event
    query = queries.decode(event, EntriesQuery)
    merchant_id = caller.merchant(event).merchant_id
    try:
        page = _page(merchant_id, query)
    except InvalidCursor:
        raise query.invalid_cursor() from None
    return exchange.page(event, page, [_resource(line, merchant_id) for line in page.data])


def _page(merchant_id: str, query: EntriesQuery) -> Page[Line]:
    wanted = Wanted(
        query.account,
        queries.first_millisecond(query.created_gte, "created_gte"),
        queries.first_millisecond(query.created_lt, "created_lt"),
    )
    if query.payment is None:
        return history.entries(merchant_id, wanted, query.limit, query.cursor)
    return history.entries_of(query.payment, merchant_id, wanted, query.limit, query.cursor)


def _resource(line: Line, merchant_id: str) -> dict[str, Any]:
    journal = line.journal
    return {
        "id": line.entry_id,
        "payment_id": journal.payment_id,
        "journal_id": journal.journal_id,
        "kind": journal.kind,
        **asdict(line.entry),
        "account": history.shown(line.entry.account, merchant_id),
        "created_at": journal.created_at,
    }
