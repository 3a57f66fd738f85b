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
    item = _put(change.scope, change.entry, {**after, "version": version + 1}, _held(before, ("version",)))
    uses = [_put(change.scope, f"uses#{kind}", {})] if kind else []
    _transact([*_noted(change, before, after, answer), item, *uses], "fraud_list_busy")


def point(change: Change, before: Item | None, after: Mapping[str, Any], answer: Item) -> None:
    """Write the item that names a model and was read as `before`: if it names the same one, since the same time.

    Raises `Overtaken`, and `Busy` when others write it at this moment.
    """
    item = _put(change.scope, change.entry, after, _held(before, ("version", "since")))
    _transact([*_noted(change, before, after, answer), item], "fraud_model_busy")


def _noted(change: Change, before: Item | None, after: Mapping[str, Any], answer: Item) -> list[Item]:
    """The idempotency key with its answer, and who did what."""
    noted = {"of": change.entry, "by": change.by, "at": change.at, "what": change.name, "key": change.key}
    noted |= {"request": _json(change.request), "before": _json(before), "after": _json(after)}
    until = int((datetime.now(UTC) + timedelta(days=KEY_DAYS)).timestamp())
    asked = {"fingerprint": change.fingerprint, "answer": _json(answer), "expires_at": until}
    return [
        _put(f"key#{change.key}", "-", asked, _held(None, ())),
        _put(change.scope + _AUDIT, f"{change.entry}#{change.at}#{change.key}", noted),
    ]


def _transact(written: list[Item], busy: str) -> None:
    try:
        client("dynamodb").transact_write_items(TransactItems=written)
    except ClientError as error:
        if error.response["Error"]["Code"] != "TransactionCanceledException":
            raise
        codes = [reason.get("Code") for reason in error.response.get("CancellationReasons", ())]
        if "ConditionalCheckFailed" in codes:
            raise Overtaken from None
        raise Busy(busy, "Others are changing it at this moment; nothing was done.") from None


def _held(before: Item | None, names: tuple[str, ...]) -> Item:
    """The condition that these attributes of an item are as they were read, or that there still is no item."""
    if before is None:
        return {"ConditionExpression": "attribute_not_exists(entry)"}
    held = {name: before.get(name) for name in names}
    there = [f"{name} = :{name}" if held[name] is not None else f"attribute_not_exists({name})" for name in names]
    values = {f":{name}": _typed(value) for name, value in held.items() if value is not None}
    return {
        "ConditionExpression": " AND ".join(there),
        **({"ExpressionAttributeValues": values} if values else {}),
    }


def _put(scope: str, entry: str, values: Mapping[str, Any], condition: Item | None = None) -> Item:
    item: Item = {"scope": {"S": scope}, "entry": {"S": entry}}
    item |= {name: _typed(value) for name, value in values.items() if value is not None}
    return {"Put": {"TableName": _table(), "Item": item, **(condition or {})}}


def _typed(value: str | int) -> Item:
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


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
