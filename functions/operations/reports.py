"""`/operations/v1/reconciliation/reports`: the reports of runs, as values and as files."""

import re
from http import HTTPStatus
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.operations import bucket, caller, resources
from functions.operations.queries import ReportsQuery
from payments import settlement_reports
from payments.errors import NotFound
from payments.listings import InvalidCursor
from payments.rest import exchange
from payments.rest.queries import decode

router = APIGatewayRouter()
_PATH = "/operations/v1/reconciliation/reports"
_RUN = re.compile(r"run_[0-9]{8,12}", re.ASCII)
_TYPES = {"csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8"}
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}


@router.get(_PATH)
def listed() -> Response[Any]:
    """Reports, the newest first."""
    event = router.current_event
    caller.operator(event)
    query = decode(event, ReportsQuery)
    owner, days = settlement_reports.ALL, (query.as_of_gte, query.as_of_lt)
    try:
        page = settlement_reports.reports(owner, query.limit, query.cursor, *days)
    except InvalidCursor:
        raise query.invalid_cursor() from None
    return exchange.page(event, page, [resources.report(report) for report in page.data])


@router.get(f"{_PATH}/<run>")
def one(run: str) -> Response[Any]:
    """A run's report."""
    event = router.current_event
    caller.operator(event)
    told: dict[str, Any] = msgspec.json.decode(_content(run, "json"))
    return exchange.answer(HTTPStatus.OK, {**told, "request_id": exchange.request_id(event)})


@router.get(f"{_PATH}/<run>/<form>")
def file(run: str, form: str) -> Response[Any]:
    """A run's report as a table for a spreadsheet (`csv`) or as a page (`html`)."""
    caller.operator(router.current_event)
    if form not in _TYPES:
        raise NotFound("unknown_format", "There are csv and html.")
    named = {"Content-Disposition": f'inline; filename="{run}.{form}"'}
    return Response(HTTPStatus.OK, _TYPES[form], _content(run, form).decode(), {**_SAFE, **named})


def _content(run: str, extension: str) -> bytes:
    content = bucket.report(run, extension) if _RUN.fullmatch(run) else None
    if content is None:
        raise NotFound("report_not_found", "There is no report of such a run.")
    return content
