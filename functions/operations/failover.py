"""`/operations/v1/regions`: who writes for which shards, which regions are sent traffic, and moving them.

It works in any region without another one: the map is read and written in the region that is asked.
"""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.operations import caller, failover_changes
from functions.operations.requests import Decide, decision
from payments.rest import exchange
from payments.rest.queries import Query, decode
from payments.shard_map import RUNNING, Action

router = APIGatewayRouter()
_PATH = "/operations/v1/regions"


@router.get(_PATH)
def listed() -> Response[Any]:
    """Every region, the newest move, and the moves that have ended, the newest first."""
    event = router.current_event
    caller.operator(event)
    decode(event, Query)
    return exchange.answer(HTTPStatus.OK, {**failover_changes.shown(), "request_id": exchange.request_id(event)})


@router.post(f"{_PATH}/<name>/fail")
def fail(name: str) -> Response[Any]:
    """Send a region no more traffic, and give its shards to the others."""
    return _moved("fail", name)


@router.post(f"{_PATH}/<name>/restore")
def restore(name: str) -> Response[Any]:
    """Send a region traffic again, and give it back what is its own."""
    return _moved("restore", name)


def _moved(action: Action, region: str) -> Response[Any]:
    """202 while it is not finished: the same request goes on with it."""
    by, key, body = decision(router.current_event, Decide)
    answered = failover_changes.carry_out(action, region, by, key, body.reason)
    status = HTTPStatus.ACCEPTED if answered.body["state"] == RUNNING else HTTPStatus.OK
    headers = {"Idempotent-Replayed": "true"} if answered.replayed else {}
    told = {**answered.body, "request_id": exchange.request_id(router.current_event)}
    return exchange.answer(status, told, headers)
