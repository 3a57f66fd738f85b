"""Pages of a merchant's payments, newest first, from the index `merchant`.

A payment's place in the list is fixed when it is made: by `created_at`, and among those of one millisecond by its id.
New payments come before every page that was read, so whoever walks on from a payment sees each older one exactly once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from payments import books, clock, identifiers, records
from payments.buckets import FIRST, LAST, Listing, Merged, Span
from payments.clients import client
from payments.lifecycle import Payment
from payments.settings import TableSettings, load

MAXIMUM_CANDIDATES = 1_000
"""How many payments one page looks at: a filter that matches few shall not read a whole history in one request."""

_BATCH = 100
"""What BatchGetItem takes at once."""

_RETRY_DELAYS_SECONDS = (0.05, 0.1, 0.2, 0.4)
"""Upper ends of the random waits before what a batch left out is asked for again."""

Item = TypeVar("Item")


class InvalidCursor(ValueError):
    """The cursor names nothing that is in the list."""


class IncompleteRead(RuntimeError):
    """The table left payments out of its answers, however often it was asked. Try again."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: behind the entry of this id, or, going back to newer ones, before it."""

    entry_id: str
    back: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list, newest first. `next_cursor` is the id to go on from in the direction of the request, None at
    the end of the list."""

    data: tuple[Item, ...]
    next_cursor: str | None = None

    @property
    def has_more(self) -> bool:
        """Whether there is more to look at in the direction of the request."""
        return self.next_cursor is not None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which payments are wanted; None is any. Amounts are in minor units, times as `clock.timestamp` writes them."""

    status: str | None = None
    customer_id: str | None = None
    currency: str | None = None
    amount: int | None = None
    amount_gte: int | None = None
    amount_lte: int | None = None
    created_gte: str | None = None
    created_lt: str | None = None

    def admits(self, payment: Payment) -> bool:
        """Whether the payment is one of the wanted."""
        return (
            self.status in (None, str(payment.status))
            and self.customer_id in (None, payment.customer_id)
            and self.currency in (None, payment.currency)
            and self.amount in (None, payment.amount)
            and (self.amount_gte is None or payment.amount >= self.amount_gte)
            and (self.amount_lte is None or payment.amount <= self.amount_lte)
        )

    @property
    def span(self) -> Span:
        """The part of the list that was made in the wanted time. No position is a bare time, so both ends are right."""
        return Span(self.created_gte or FIRST, self.created_lt or LAST)

    @property
    def selective(self) -> bool:
        """Whether some payments of the span may not be wanted."""
        attributes = (self.status, self.customer_id, self.currency, self.amount, self.amount_gte, self.amount_lte)
        return any(wanted is not None for wanted in attributes)


def payments(merchant_id: str, wanted: Filter, limit: int, cursor: Cursor | None = None) -> Page[Payment]:
    """A page of at most `limit` of the merchant's payments, as this region has them.

    After `MAXIMUM_CANDIDATES` payments the page ends, however few were wanted, and says where to go on. Raises
    `InvalidCursor` when the cursor is no payment of the merchant's, and `IncompleteRead`.
    """
    merged, back = _from(merchant_id, wanted.span, cursor), bool(cursor and cursor.back)
    found: list[Payment] = []
    seen, last = 0, ""
    while len(found) <= limit and seen < MAXIMUM_CANDIDATES:
        count = _BATCH if wanted.selective else min(_BATCH, limit + 1 - len(found))
        candidates = [item["payment_id"] for item in merged.take(count)]
        found += filter(wanted.admits, _read(candidates))
        seen += len(candidates)
        if len(candidates) < count:
            return page(found, limit, back, _id)
        last = candidates[-1]
    rest = last if len(found) <= limit and merged.take(1) else None
    return page(found, limit, back, _id, rest)


def page(
    found: Sequence[Item], limit: int, back: bool, name: Callable[[Item], str], rest: str | None = None
) -> Page[Item]:
    """The page of what was found in the order of the walk. When that is no more than `limit`, `rest` says behind which
    entry there is more to look at."""
    data = tuple(found[:limit])
    following = name(data[-1]) if len(found) > limit else rest
    return Page(data[::-1] if back else data, following)


def page_of(items: Sequence[Item], limit: int, cursor: Cursor | None, name: Callable[[Item], str]) -> Page[Item]:
    """A page of a whole list, which is given with the newest first. Raises `InvalidCursor`."""
    back = bool(cursor and cursor.back)
    walk = list(reversed(items)) if back else list(items)
    if cursor:
        names = [name(item) for item in walk]
        if cursor.entry_id not in names:
            raise InvalidCursor(cursor.entry_id)
        walk = walk[names.index(cursor.entry_id) + 1 :]
    return page(walk, limit, back, name)


def _from(merchant_id: str, span: Span, cursor: Cursor | None) -> Merged:
    """The merchant's list from a cursor on. Raises `InvalidCursor`."""
    if cursor is None:
        return Merged(_listing(), merchant_id, span)
    position = _position(merchant_id, cursor.entry_id)
    remaining = span.beyond(position, back=cursor.back)
    return Merged(_listing(), merchant_id, remaining, newest_first=not cursor.back, but=position)


def _position(merchant_id: str, payment_id: str) -> str:
    """Where the payment is in its merchant's list. Raises `InvalidCursor`."""
    found = books.find(payment_id, consistent=True) if identifiers.is_identifier(payment_id, "pay") else None
    if found is None or found.merchant_id != merchant_id:
        raise InvalidCursor(payment_id)
    return records.listed_as(found)


def _read(payment_ids: Sequence[str]) -> list[Payment]:
    """The payments in this order. What an eventually consistent read does not find is read again consistently; what is
    not there even then has not been replicated yet, and is left out. Raises `IncompleteRead`."""
    found = _batch(payment_ids, consistent=False)
    found |= _batch([payment_id for payment_id in payment_ids if payment_id not in found], consistent=True)
    return [records.payment_of(found[payment_id]) for payment_id in payment_ids if payment_id in found]


def _batch(payment_ids: Sequence[str], *, consistent: bool) -> dict[str, dict[str, Any]]:
    """Items by payment id; what the table left out of an answer is asked for again."""
    table, found = load(TableSettings).payments_table, dict[str, dict[str, Any]]()
    keys = [{"payment_id": {"S": payment_id}} for payment_id in payment_ids]
    for delay in (*_RETRY_DELAYS_SECONDS, None):
        if not keys:
            return found
        request = {table: {"Keys": keys, "ConsistentRead": consistent}}
        answer = client("dynamodb").batch_get_item(RequestItems=request)
        found |= {item["payment_id"]["S"]: records.plain(item) for item in answer["Responses"].get(table, ())}
        keys = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        if keys and delay:
            clock.pause(delay)
    if keys:
        raise IncompleteRead
    return found


def _id(payment: Payment) -> str:
    return payment.payment_id


def _listing() -> Listing:
    return Listing(load(TableSettings).payments_table, "merchant_bucket", "listed_as", index="merchant")
