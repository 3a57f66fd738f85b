"""`/operations/v1/discrepancies`: what is open, and what operators do about it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.operations import caller, changes, decisions, names, requests, resources, table, unmatched
from functions.operations.changes import Answered
from functions.operations.queries import DiscrepanciesQuery
from functions.operations.requests import Command, Resolve
from functions.operations.table import Item
from payments import discrepancies
from payments.listings import InvalidCursor
from payments.rest import exchange
from payments.rest.queries import decode

router = APIGatewayRouter()
REPLAYED = "Idempotent-Replayed"
_PATH = "/operations/v1/discrepancies"
_BOOKING = ("accept", "adjust")


@router.get(_PATH)
def listed() -> Response[Any]:
    """What is open, or decided and not finished, the oldest first; but not what waits for a day to come."""
    event = router.current_event
    caller.operator(event)
    query = decode(event, DiscrepanciesQuery)
    try:
        page = unmatched.find(_wanted(query), _latest(query), query.limit, query.cursor)
    except InvalidCursor:
        raise query.invalid_cursor() from None
    return exchange.page(event, page, [resources.discrepancy(record) for record in page.data])


@router.get(f"{_PATH}/<network_ref>/<record>")
def one(network_ref: str, record: str) -> Response[Any]:
    """A record, open or not, with its trail and the other records of the same reference."""
    event = router.current_event
    caller.operator(event)
    items = table.find(names.unescaped(network_ref))
    wanted = names.unescaped(record)
    found = [item for item in table.results(items) if item["line"] == wanted]
    if not found:
        raise names.not_found()
    return exchange.answer(
        HTTPStatus.OK, {**resources.whole(items, found[0]), "request_id": exchange.request_id(event)}
    )


@router.post(f"{_PATH}/<network_ref>/<record>/assign")
def assign(network_ref: str, record: str) -> Response[Any]:
    """Say who sees to it."""
    return _carry_out(network_ref, record, requests.Assign)


@router.post(f"{_PATH}/<network_ref>/<record>/comments")
def comment(network_ref: str, record: str) -> Response[Any]:
    """Note something in its trail."""
    return _carry_out(network_ref, record, requests.Comment)


@router.post(f"{_PATH}/<network_ref>/<record>/resolve")
def resolve(network_ref: str, record: str) -> Response[Any]:
    """Decide it: docs/operators_api.md, "Decisions"."""
    return _carry_out(network_ref, record, requests.Resolve)


def _carry_out(network_ref: str, record: str, kind: type[requests.Body]) -> Response[Any]:
    event = router.current_event
    command = requests.command(event, kind.__name__.lower(), network_ref, record, kind)
    answered = _how(command)(command)
    headers = {REPLAYED: "true"} if answered.replayed else {}
    return exchange.answer(HTTPStatus.OK, {**answered.body, "request_id": exchange.request_id(event)}, headers)


def _how(command: Command) -> Callable[[Command], Answered]:
    books = isinstance(command.body, Resolve) and command.body.action in _BOOKING
    return decisions.carry_out if books else changes.carry_out


def _wanted(query: DiscrepanciesQuery) -> Callable[[Item], bool]:
    """Whether a record is one of the wanted: open, not waiting, and as the query says."""
    today = str(datetime.now(UTC).date())
    fields = {
        "class": query.name,
        "type": query.type,
        "network": query.network,
        "currency": query.currency,
        "merchant_id": query.merchant,
        "assignee": query.assignee,
    }
    asked = {name: value for name, value in fields.items() if value is not None}
    least = query.min_at_risk or 0

    def admits(record: Item) -> bool:
        return (
            (discrepancies.is_open(record) or resources.unfinished(record))
            and record.get("wait_until", "") <= today
            and all(record.get(name) == value for name, value in asked.items())
            and (record.get("at_risk") or 0) >= least
        )

    return admits


def _latest(query: DiscrepanciesQuery) -> str | None:
    """The last day since when it may be open."""
    if query.min_age_days is None:
        return None
    return str(datetime.now(UTC).date() - timedelta(days=query.min_age_days))
