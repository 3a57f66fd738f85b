"""Asks regions for signs that they are there, all at the same time, and waits for none of them longer than the limit.

What is cheap is asked first. Health and functions are only asked of a region whose tables do not answer at once, since
without the tables no judgement is possible; and of this region then, to know whether it is well itself.
"""

import json
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from http import HTTPStatus
from math import ceil
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError

from functions.watchman.judgement import Seen
from functions.watchman.settings import health_urls, settings
from payments import clients, clock, identifiers, regions

PATIENCE_SECONDS = 0.5
"""After which tables that have not answered make one ask further."""

PING = {"ping": True}
"""What a watchman only answers."""

_THREADS = 16
_CONNECT_SECONDS = 1
_NO_PAYMENT = identifiers.payment_id("mer_watchman", "watchman")
Asked = dict[str, "Future[bool]"]


def look(others: Iterable[str], here: str, failed: Collection[str] = ()) -> dict[str, Seen]:
    """What is seen of these regions and of this one, without their signs of life. Of those that are `failed` already
    only the tables."""
    names = [here, *others]
    make_clients(names)
    until = clock.monotonic() + settings().signal_seconds
    tables = _ask(_tables, names)
    wait(tables.values(), PATIENCE_SECONDS)
    doubtful = [name for name in names[1:] if name not in failed and not _said(tables, name)]
    asked = [here, *doubtful] if doubtful else []
    health = _ask(_health, [name for name in asked if name in health_urls()])
    functions = _ask(_functions, asked)
    waited_for = [future for name in asked for kind in (tables, health, functions) if (future := kind.get(name))]
    wait(waited_for or [tables[here]], max(0.0, until - clock.monotonic()))
    return {name: Seen(bool(_said(tables, name)), _said(health, name), _said(functions, name)) for name in names}


def make_clients(names: Iterable[str]) -> None:
    """Makes what is asked with, once: it takes time that is no region's fault, and must not be done by two threads at
    a time (botocore's session)."""
    for name in names:
        for service in ("dynamodb", "lambda"):
            _client(service, name)


def _ask(question: Callable[[str], bool], names: Iterable[str]) -> Asked:
    return {name: _threads().submit(question, name) for name in names}


def _said(asked: Asked, name: str) -> bool | None:
    """What came of a question: False when nothing did yet, None when it was not asked."""
    future = asked.get(name)
    return None if future is None else future.done() and future.result()


def _tables(region: str) -> bool:
    """Whether the region's table of payments answers. This region's own must do so in half the time: where even that
    is slow, it is no wonder that others are."""
    key = {"payment_id": {"S": _NO_PAYMENT}}
    begun = clock.monotonic()
    answers = _answers(lambda: _client("dynamodb", region).get_item(TableName=settings().payments_table, Key=key))
    slow = clock.monotonic() - begun > settings().signal_seconds / 2
    return answers and not (slow and region == regions.here())


def _health(region: str) -> bool:
    """Whether the region's API calls itself well."""
    limits = (_CONNECT_SECONDS, settings().signal_seconds)
    try:
        return requests.get(health_urls()[region], timeout=limits, allow_redirects=False).status_code == HTTPStatus.OK
    except requests.RequestException:
        return False


def _functions(region: str) -> bool:
    """Whether a function of the region answers: its watchman, who has nothing that could be harmed by being asked."""
    name = settings().aws_lambda_function_name
    return _answers(lambda: _client("lambda", region).invoke(FunctionName=name, Payload=json.dumps(PING)))


def _answers(request: Callable[[], dict[str, Any]]) -> bool:
    """Whether the service answers. One that refuses does, too: it is not down."""
    try:
        return "FunctionError" not in request()
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"]) < HTTPStatus.INTERNAL_SERVER_ERROR
    except BotoCoreError:
        return False


def _client(service: str, region: str) -> Any:
    patience = ceil(settings().signal_seconds)
    return clients.client(service, region, regions.endpoints().get(region), read_timeout=patience, attempts=1)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, "signals")
