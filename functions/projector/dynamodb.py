"""Writing to DynamoDB many items at a time, with the retries that its answers ask for."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from payments.clients import client

MOST_WRITES = 25
MOST_READS = 100
"""Items of one BatchWriteItem and of one BatchGetItem."""

_PASSING = frozenset({"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
_DELAYS_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Upper ends of the random waits before a write that met another one is tried again."""

Item = dict[str, dict[str, Any]]
"""In DynamoDB's JSON."""


class NotAllDone(RuntimeError):
    """DynamoDB left items undone every time it was asked."""


def transact(writes: Callable[[int], Sequence[dict[str, Any]]]) -> None:
    """All of it or nothing; `writes` makes the transaction of a try, counted from 0. One that only met another
    transaction is followed by the next try; raises botocore's `ClientError`."""
    for number, delay in enumerate((*_DELAYS_SECONDS, None)):
        try:
            client("dynamodb").transact_write_items(TransactItems=list(writes(number)))
            return
        except ClientError as error:
            if delay is None or not _passes(error):
                raise
            _wait(delay)


def write(table: str, requests: Sequence[dict[str, Any]]) -> None:
    """Puts and deletes (`PutRequest`, `DeleteRequest`), in no order. Raises `NotAllDone`."""
    for start in range(0, len(requests), MOST_WRITES):
        left = list(requests[start : start + MOST_WRITES])
        for _ in _tries(table):
            answer = client("dynamodb").batch_write_item(RequestItems={table: left})
            left = answer.get("UnprocessedItems", {}).get(table, [])
            if not left:
                break


def read(table: str, keys: Sequence[Item]) -> list[Item]:
    """The items that are there, as of now, in no order. Raises `NotAllDone`."""
    found: list[Item] = []
    for start in range(0, len(keys), MOST_READS):
        left = {table: {"Keys": list(keys[start : start + MOST_READS]), "ConsistentRead": True}}
        for _ in _tries(table):
            answer = client("dynamodb").batch_get_item(RequestItems=left)
            found += answer["Responses"].get(table, [])
            left = answer.get("UnprocessedKeys", {})
            if not left:
                break
    return found


def condition_failed(error: ClientError) -> bool:
    """Whether a single write was refused by its own condition."""
    return bool(error.response["Error"]["Code"] == "ConditionalCheckFailedException")


def _passes(error: ClientError) -> bool:
    reasons = error.response.get("CancellationReasons") or [{}]
    return {reason.get("Code") for reason in reasons} <= _PASSING


def _tries(table: str) -> Iterator[None]:
    """Once per try, waiting in between; raises `NotAllDone` when the last one has failed, too."""
    for delay in _DELAYS_SECONDS:
        yield
        _wait(delay)
    yield
    raise NotAllDone(table)


def _wait(longest: float) -> None:
    time.sleep(random.uniform(0, longest))  # noqa: S311 - jitter
