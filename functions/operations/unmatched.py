"""What is open, the oldest first: the sparse index `unmatched`, sixteen partitions merged into one list.

Of what is open since the same day, a lower partition comes first, and in a partition what the index has first. So every
entry has one place, and a cursor, which is an entry's key in the index, says for each partition where to go on.
"""

import heapq
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from functions.operations.settings import client, settings
from functions.operations.table import Item
from payments import records
from payments.errors import Busy
from payments.listings import Cursor, InvalidCursor, Page, page

BUCKETS = 16
INDEX = "unmatched"

MAXIMUM_CANDIDATES = 1_000
"""How many entries one page looks at: a filter that matches few shall not read the whole list in one request."""

_BATCH = 100
"""What BatchGetItem takes at once, and a page of the index."""

_TRIES = 5
_FIRST, _LAST = "0", "~"
"""Texts below and above every day."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """An entry's key in the index."""

    open_since: str
    bucket: int
    network_ref: str
    line: str

    @property
    def name(self) -> str:
        """The place as a cursor's text."""
        fields = [self.open_since, self.bucket, self.network_ref, self.line]
        return urlsafe_b64encode(msgspec.json.encode(fields)).decode().rstrip("=")

    @classmethod
    def of(cls, name: str) -> "Place":
        """The place that a cursor's text names. Raises `InvalidCursor`."""
        try:
            body = urlsafe_b64decode(name + "=" * (-len(name) % 4))
            found = cls(*msgspec.json.decode(body, type=tuple[str, int, str, str]))
        except (ValueError, msgspec.DecodeError, msgspec.ValidationError):
            raise InvalidCursor(name) from None
        if not 0 <= found.bucket < BUCKETS or not all((found.open_since, found.network_ref, found.line)):
            raise InvalidCursor(name)
        return found

    @property
    def key(self) -> Item:
        """As DynamoDB has it."""
        return {
            "open": {"S": str(self.bucket)},
            "open_since": {"S": self.open_since},
            "network_ref": {"S": self.network_ref},
            "line": {"S": self.line},
        }


def find(admits: Callable[[Item], bool], latest: str | None, limit: int, cursor: Cursor | None) -> Page[Item]:
    """A page of the records that are wanted and open since this day or an earlier one (None: whenever).

    After `MAXIMUM_CANDIDATES` entries the page ends, however few were wanted, and says where to go on. Raises
    `InvalidCursor`.
    """
    start, back = Place.of(cursor.entry_id) if cursor else None, bool(cursor and cursor.back)
    walk = _walk(start, f"{latest}{_LAST}" if latest else _LAST, back=back)
    found: list[Item] = []
    last, seen, ended = start, 0, False
    while len(found) <= limit and seen < MAXIMUM_CANDIDATES and not ended:
        places = list(islice(walk, _BATCH))
        ended = len(places) < _BATCH
        seen += len(places)
        last = places[-1] if places else last
        found += [item for item in _read(places) if "open" in item and admits(item)]
    rest = last.name if last and not ended and len(found) <= limit and next(walk, None) else None
    return page(found, limit, back, _name, rest)


def _walk(start: Place | None, latest: str, *, back: bool) -> Iterator[Place]:
    """Places in the order of the list, or, going back, from the end of it."""
    streams = [_bucket(number, start, latest, back=back) for number in range(BUCKETS)]
    return heapq.merge(*streams, key=lambda place: (place.open_since, place.bucket), reverse=back)


def _bucket(number: int, start: Place | None, latest: str, *, back: bool) -> Iterator[Place]:
    """The places of one partition that come after the start, in the order of the walk."""
    condition, values = _range(number, start, latest, back=back)
    if ":low" in values and values[":low"] > latest:
        return
    query: dict[str, Any] = {
        "TableName": settings().settlements_table,
        "IndexName": INDEX,
        "KeyConditionExpression": f"#open = :bucket AND {condition}",
        "ExpressionAttributeNames": {"#open": "open"},
        "ExpressionAttributeValues": {name: {"S": value} for name, value in values.items()},
        "ScanIndexForward": not back,
        "Limit": _BATCH,
    }
    if start and start.bucket == number:
        query["ExclusiveStartKey"] = start.key
    while True:
        answer = client("dynamodb").query(**query)
        yield from (_place(number, records.plain(item)) for item in answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _range(number: int, start: Place | None, latest: str, *, back: bool) -> tuple[str, dict[str, str]]:
    """The days of one partition that come after the start: its own day still, where the partition comes after it."""
    bucket = {":bucket": str(number)}
    if start is None or not back:
        low = _FIRST if start is None else start.open_since
        if start and number < start.bucket:
            low += "\0"  # the first text after the day
        return "open_since BETWEEN :low AND :high", {**bucket, ":low": low, ":high": latest}
    if latest < start.open_since:
        return "open_since <= :high", {**bucket, ":high": latest}
    return f"open_since {'<=' if number <= start.bucket else '<'} :high", {**bucket, ":high": start.open_since}


def _place(number: int, item: Item) -> Place:
    return Place(item["open_since"], number, item["network_ref"], item["line"])


def _read(places: Sequence[Place]) -> list[Item]:
    """The records at these places, in their order; of one that is gone, nothing. Raises `Busy`."""
    table = settings().settlements_table
    keys = [{"network_ref": {"S": place.network_ref}, "line": {"S": place.line}} for place in places]
    found: dict[tuple[str, str], Item] = {}
    for _ in range(_TRIES):
        if not keys:
            break
        answer = client("dynamodb").batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
        items = map(records.plain, answer["Responses"].get(table, ()))
        found |= {(item["network_ref"], item["line"]): item for item in items}
        keys = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
    if keys:
        raise Busy("table_busy", "The table answers too slowly at this moment.")
    names = [(place.network_ref, place.line) for place in places]
    return [found[name] for name in names if name in found]


def _name(item: Item) -> str:
    return Place(item["open_since"], int(item["open"]), item["network_ref"], item["line"]).name
