"""What the projector does per journal: `python -m bench.projector`. CPU without the network, and write units by count.

The handler gets a batch of 200 journals, authorizations and captures of charges, all of one merchant or each of
another one; DynamoDB's and S3's answers are canned, below the whole of botocore. Units are those of the requests it
makes: a balance and a marker are items below 1 KB, everything else has the size that is sent.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from math import ceil
from typing import Any

from boto3.dynamodb.types import TypeSerializer
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from bench import environment, prices  # noqa: F401
from bench.cpu import milliseconds, silence
from functions.projector import app
from payments import accounts, identifiers, records
from payments.clients import client
from payments.journal import Journal, Kind, Phase, transfer
from payments.observability import logger

BATCH = 200
"""Records; what the event source is set to (cdk/stacks/workers.py)."""

_KILOBYTE = 1024


def figures() -> dict[str, float]:
    """By name: journals per second of CPU; per journal the transactional write units, the history's write units, and
    the objects of settlement's feed."""
    silence(logger.handlers)
    found: dict[str, float] = {}
    for name, merchants in (("hot", 1), ("different", BATCH)):
        event = {"Records": _batch(merchants)}
        with _canned() as calls:
            app.handler(event, None)
            found[f"{name}_transactional_units"] = sum(map(_transactional, calls)) / BATCH
            found[f"{name}_history_units"] = sum(map(_history, calls)) / BATCH
            found[f"{name}_feed_objects"] = sum(call == "PutObject" for call, _ in calls) / BATCH
            found[f"{name}_journals_per_second"] = BATCH / (_cpu(event, calls) / 1e3)
    return found


def _cpu(event: dict[str, Any], calls: list[Any]) -> float:
    def handle() -> None:
        calls.clear()
        app.handler(event, None)

    return milliseconds(handle, times=10)


def _batch(merchants: int) -> list[dict[str, Any]]:
    """Alternately the first and the second journal of charges, as the stream has them."""
    return [_record(n, _captured(n, merchants) if n % 2 else _authorized(n, merchants)) for n in range(BATCH)]


def _authorized(n: int, merchants: int) -> Journal:
    payment_id, at, customer, merchant = _charge(n, merchants)
    entries = transfer(customer, merchant, 4200 + n, "USD", Phase.PENDING)
    return Journal(payment_id, "authorization", Kind.CHARGE, at, entries, 1)


def _captured(n: int, merchants: int) -> Journal:
    payment_id, at, customer, merchant = _charge(n, merchants)
    entries = (
        transfer(customer, merchant, 4200 + n, "USD", Phase.POST_PENDING)
        + transfer(accounts.network("visa"), customer, 4200 + n, "USD")
        + transfer(merchant, accounts.FEES, 152, "USD")
    )
    return Journal(payment_id, "capture", Kind.CAPTURE, at, entries, 2)


def _charge(n: int, merchants: int) -> tuple[str, str, str, str]:
    """Payment, time, customer's and merchant's account of the n-th charge."""
    merchant_id = "mer_" + sha256(str(n % merchants).encode()).hexdigest()[:24]
    payment_id = identifiers.payment_id(merchant_id, f"order-{n}")
    customer = accounts.customer(merchant_id, f"cus_{n}")
    return payment_id, f"2026-11-23T10:00:{n % 60:02d}.{n:03d}Z", customer, accounts.merchant(merchant_id)


def _record(n: int, journal: Journal) -> dict[str, Any]:
    item = records.journal_record(journal, "us-east-1")
    image = {name: TypeSerializer().serialize(value) for name, value in item.items()}
    number = str(4421584500000000017450439000 + n)
    return {"eventName": "INSERT", "dynamodb": {"SequenceNumber": number, "NewImage": image}}


@contextmanager
def _canned() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """DynamoDB has nothing, S3 too, and both take everything; what they are asked, by operation."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def note(params: dict[str, Any], model: Any, **_: object) -> None:
        calls.append((model.name, params))

    def answer(request: Any, **_: object) -> Any:
        response: Any = AWSResponse(request.url, 200, HTTPHeaders(), None)
        response._content = b"{}" if "dynamodb" in request.url else b""
        return response

    hooks: tuple[tuple[str, Callable[..., Any]], ...] = (("provide-client-params", note), ("before-send", answer))
    clients: list[Any] = [client("dynamodb"), client("s3", read_timeout=10)]
    hooked = [(found.meta.events, event, hook) for found in clients for event, hook in hooks]
    for events, event, hook in hooked:
        events.register(event, hook)
    try:
        yield calls
    finally:
        for events, event, hook in hooked:
            events.unregister(event, hook)


def _transactional(call: tuple[str, dict[str, Any]]) -> int:
    """Two units per KB of each item in a transaction."""
    operation, request = call
    if operation != "TransactWriteItems":
        return 0
    return sum(2 * _kilobytes(write["Put"]["Item"]) if "Put" in write else 2 for write in request["TransactItems"])


def _history(call: tuple[str, dict[str, Any]]) -> int:
    operation, request = call
    if operation != "BatchWriteItem":
        return 0
    return sum(_kilobytes(put["PutRequest"]["Item"]) for rows in request["RequestItems"].values() for put in rows)


def _kilobytes(item: dict[str, Any]) -> int:
    return ceil(prices.item_size(item) / _KILOBYTE)


if __name__ == "__main__":
    for name, figure in figures().items():
        print(f"{name:36} {figure:10.2f}")
