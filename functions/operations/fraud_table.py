"""The table `fraud-rules` as operators read and write it (docs/interfaces.md, "Lists and rules").

A change is one transaction: the item, if it is as it was read, who did what to it, and the idempotency key with the
answer. What is taken off a list expires. The table is global: a change counts in both regions a second later.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from functions.operations.fraud_requests import Change
from functions.operations.settings import settings
from payments import records
from payments.clients import client
from payments.errors import Busy
from payments.listings import Cursor, InvalidCursor, Page, page

Item = dict[str, Any]

KEY_DAYS = 30
"""How long an idempotency key is remembered."""

MAXIMUM_CANDIDATES = 1_000
"""How many items one page looks at: entries that are over stay until DynamoDB removes them."""

_AUDIT = "#audit"


class Overtaken(Exception):
    """Somebody else was first. Nothing was written."""


def read(scope: str, entry: str) -> Item | None:
    """One item, read consistently."""
    key = {"scope": {"S": scope}, "entry": {"S": entry}}
    found = client("dynamodb").get_item(TableName=_table(), Key=key, ConsistentRead=True).get("Item")
    return records.plain(found) if found else None


def marker(key: str) -> Item | None:
    """What was asked under an idempotency key."""
    return read(f"key#{key}", "-")


def find(
    scope: str, prefix: str, limit: int, cursor: Cursor | None, admits: Callable[[Item], bool] = lambda _: True
) -> Page[Item]:
    """A page of a scope's items whose names begin so, in the order of their names. Raises `InvalidCursor`."""
    back = bool(cursor and cursor.back)
    walk = _query(scope, prefix, back, _decoded(cursor.entry_id, prefix) if cursor else None)
    found: list[Item] = []
    seen, last = 0, None
    for item in islice(walk, MAXIMUM_CANDIDATES):
        seen, last = seen + 1, item
        if admits(item):
            found.append(item)
        if len(found) > limit:
            break
    rest = _name(last) if last and seen == MAXIMUM_CANDIDATES and next(walk, None) else None
    return page(found, limit, back, _name, rest)


def audits(scope: str, entry: str) -> list[Item]:
    """Who did what to an item, the oldest first."""
    return [item for item in _query(scope + _AUDIT, f"{entry}#", False, None) if item["of"] == entry]


def count(scope: str, prefix: str) -> int:
    """How many items of a scope have names that begin so."""
    return sum(1 for _ in _query(scope, prefix, False, None))


def write(change: Change, before: Item | None, after: Mapping[str, Any], answer: Item, kind: str | None) -> None:
    """Write an item that was read as `before`, all or nothing; `kind` is the kind of list it makes one of.

    Raises `Overtaken`, and `Busy` when others write the same item at this moment.
    """
    version = before.get("version", 0) if before else 0
    noted = {"of": change.entry, "by": change.by, "at": change.at, "what": change.name, "key": change.key}
    noted |= {"request": _json(change.request), "before": _json(before), "after": _json(after)}
    until = int((datetime.now(UTC) + timedelta(days=KEY_DAYS)).timestamp())
    asked = {"fingerprint": change.fingerprint, "answer": _json(answer), "expires_at": until}
    written = [
        _put(f"key#{change.key}", "-", asked, "attribute_not_exists(entry)"),
        _put(change.scope + _AUDIT, f"{change.entry}#{change.at}#{change.key}", noted),
        _put(change.scope, change.entry, {**after, "version": version + 1}, _unchanged(before), version),
    ]
    if kind:
        written.append(_put(change.scope, f"uses#{kind}", {}))
    try:
        client("dynamodb").transact_write_items(TransactItems=written)
    except ClientError as error:
        if error.response["Error"]["Code"] != "TransactionCanceledException":
            raise
        codes = [reason.get("Code") for reason in error.response.get("CancellationReasons", ())]
        if "ConditionalCheckFailed" in codes:
            raise Overtaken from None
        raise Busy("fraud_list_busy", "Others are changing it at this moment; nothing was done.") from None


def _unchanged(before: Item | None) -> str:
    return "version = :version" if before else "attribute_not_exists(entry)"


def _put(
    scope: str, entry: str, values: Mapping[str, Any], condition: str | None = None, version: int | None = None
) -> Item:
    item: Item = {"scope": {"S": scope}, "entry": {"S": entry}}
    for name, value in values.items():
        if value is not None:
            item[name] = {"N": str(value)} if isinstance(value, int) else {"S": value}
    put: Item = {"TableName": _table(), "Item": item}
    if condition:
        put["ConditionExpression"] = condition
        if ":version" in condition:
            put["ExpressionAttributeValues"] = {":version": {"N": str(version)}}
    return {"Put": put}


def _query(scope: str, prefix: str, back: bool, start: str | None) -> Iterator[Item]:
    query: Item = {
        "TableName": _table(),
        "KeyConditionExpression": "#scope = :scope AND begins_with(entry, :prefix)",
        "ExpressionAttributeNames": {"#scope": "scope"},
        "ExpressionAttributeValues": {":scope": {"S": scope}, ":prefix": {"S": prefix}},
        "ConsistentRead": True,
        "ScanIndexForward": not back,
    }
    if start:
        query["ExclusiveStartKey"] = {"scope": {"S": scope}, "entry": {"S": start}}
    while True:
        answer = client("dynamodb").query(**query)
        yield from map(records.plain, answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _name(item: Item) -> str:
    return urlsafe_b64encode(item["entry"].encode()).decode().rstrip("=")


def _decoded(name: str, prefix: str) -> str:
    try:
        entry = urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
    except ValueError:
        raise InvalidCursor(name) from None
    if not entry.startswith(prefix):
        raise InvalidCursor(name)
    return entry


def _json(value: Mapping[str, Any] | None) -> str:
    return msgspec.json.encode(value).decode()


def _table() -> str:
    return settings().fraud_rules_table
