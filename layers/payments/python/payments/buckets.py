"""Lists that are spread over partitions: read from all of them at once, and merged into one order.

A busy merchant's list is written faster than one partition of a table takes, so it has `MERCHANT_BUCKETS` of them.
Every entry's sort key is its position, unique and in the list's order.
"""

from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from payments import records
from payments.clients import client
from payments.records import MERCHANT_BUCKETS

FIRST, LAST = "0", "~"
"""Texts below and above every position: positions begin with the year."""

_SPARE = 8
"""How many more than its share are read of each bucket: what is not spread quite evenly rarely needs a second query."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list by the names of its table, index and key attributes."""

    table: str
    partition: str
    position: str
    index: str | None = None
    consistent: bool = False
    buckets: int = MERCHANT_BUCKETS


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a list between two texts, both included, which may be positions or the beginnings of such."""

    low: str = FIRST
    high: str = LAST

    def beyond(self, position: str, *, back: bool) -> "Span":
        """What of it is as old as a position or older, or, going back, as new or newer."""
        return Span(max(self.low, position), self.high) if back else Span(self.low, min(self.high, position))

    @property
    def empty(self) -> bool:
        """Whether no text is in it; a query of such a range is an error to DynamoDB."""
        return self.low > self.high


@dataclass(slots=True)
class _Bucket:
    """How far one partition is read. `ahead` was read and not taken yet."""

    name: str
    ahead: deque[dict[str, Any]] = field(default_factory=deque)
    resume: Mapping[str, Any] | None = None
    ended: bool = False

    @property
    def lacking(self) -> bool:
        """Whether its next entry is not known."""
        return not self.ahead and not self.ended


class Merged:
    """A list over all its buckets, in order: the newest first, or the oldest; `but` is a position to leave out. `owner`
    is the merchant whose list it is, or the list's name."""

    def __init__(
        self, listing: Listing, owner: str, span: Span, *, newest_first: bool = True, but: str | None = None
    ) -> None:
        self._listing, self._span, self._newest_first, self._but = listing, span, newest_first, but
        names = (f"{owner}#{number}" for number in range(listing.buckets))
        self._buckets = [_Bucket(name, ended=span.empty) for name in names]

    def take(self, count: int) -> list[dict[str, Any]]:
        """The next items as plain values; fewer than `count` at the end only."""
        share = count // self._listing.buckets + _SPARE
        taken: list[dict[str, Any]] = []
        while len(taken) < count:
            self._read_on(share)
            filled = [bucket for bucket in self._buckets if bucket.ahead]
            if not filled:
                break
            first = max(filled, key=self._next) if self._newest_first else min(filled, key=self._next)
            taken.append(first.ahead.popleft())
        return taken

    def _next(self, bucket: _Bucket) -> str:
        return str(bucket.ahead[0][self._listing.position])

    def _read_on(self, share: int) -> None:
        """Sees to it that the next entry of every bucket is known that has one."""
        while lacking := [bucket for bucket in self._buckets if bucket.lacking]:
            client("dynamodb")  # made once, before the threads ask for it
            answers = _threads().map(_answer, [self._query(bucket, share) for bucket in lacking])
            for bucket, answer in zip(lacking, answers, strict=True):
                items = map(records.plain, answer["Items"])
                bucket.ahead.extend(item for item in items if item[self._listing.position] != self._but)
                bucket.resume = answer.get("LastEvaluatedKey")
                bucket.ended = bucket.resume is None

    def _query(self, bucket: _Bucket, share: int) -> dict[str, Any]:
        listing = self._listing
        query = {
            "TableName": listing.table,
            "KeyConditionExpression": "#partition = :partition AND #position BETWEEN :low AND :high",
            "ExpressionAttributeNames": {"#partition": listing.partition, "#position": listing.position},
            "ExpressionAttributeValues": {
                ":partition": {"S": bucket.name},
                ":low": {"S": self._span.low},
                ":high": {"S": self._span.high},
            },
            "ScanIndexForward": not self._newest_first,
            "ConsistentRead": listing.consistent,
            "Limit": share,
        }
        if listing.index:
            query["IndexName"] = listing.index
        if bucket.resume:
            query["ExclusiveStartKey"] = bucket.resume
        return query


def _answer(query: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = client("dynamodb").query(**query)
    return answer


@cache
def _threads() -> ThreadPoolExecutor:
    """A query of each bucket at once; made at first use, and kept."""
    return ThreadPoolExecutor(MERCHANT_BUCKETS, thread_name_prefix="buckets")
