"""Payments that wait for an operator's decision, the oldest first: the sparse index `review` of the payments table.

A payment's place is its creation, and among those of one millisecond its id. It keeps it when it has left the queue, so
a cursor leads on from a payment that was decided meanwhile. Conflicts are other lists in the same index (`walk`).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from payments import books, identifiers, records
from payments.buckets import FIRST, LAST, Listing, Merged, Span
from payments.lifecycle import Payment
from payments.listings import Cursor, InvalidCursor, Page, page
from payments.settings import TableSettings, load

MAXIMUM_CANDIDATES = 1_000
"""How many payments one page looks at: a filter that matches few shall not read the whole queue in one request."""

_BATCH = 100

Entry = TypeVar("Entry")


def find(admits: Callable[[Payment], bool], limit: int, cursor: Cursor | None) -> Page[Payment]:
    """A page of the payments in review that are wanted, as this region has them.

    After `MAXIMUM_CANDIDATES` the page ends, however few were wanted, and says where to go on. Raises `InvalidCursor`.
    """

    def read(payment_ids: Sequence[str]) -> list[Payment]:
        return [payment for payment in _read(payment_ids) if payment.in_review and admits(payment)]

    return walk(records.REVIEW_QUEUE, read, _id, _position, limit, cursor)


def walk(
    name: str,
    read: Callable[[Sequence[str]], list[Entry]],
    identify: Callable[[Entry], str],
    position: Callable[[str], str],
    limit: int,
    cursor: Cursor | None,
) -> Page[Entry]:
    """A page of the list of this name in the index `review`: of those that `read` finds wanted of some keys, in order.

    `position` says where the entry of an id stands, and raises `InvalidCursor`.
    """
    back, place = bool(cursor and cursor.back), position(cursor.entry_id) if cursor else None
    span = Span().beyond(place, back=not back) if place else Span(FIRST, LAST)
    merged = Merged(_listing(), name, span, newest_first=back, but=place)
    found: list[Entry] = []
    seen, last = 0, ""
    while len(found) <= limit and seen < MAXIMUM_CANDIDATES:
        candidates = [str(item["payment_id"]) for item in merged.take(_BATCH)]
        found += read(candidates)
        seen += len(candidates)
        if len(candidates) < _BATCH:
            return page(found, limit, back, identify)
        last = candidates[-1].partition("#")[0]
    rest = last if len(found) <= limit and merged.take(1) else None
    return page(found, limit, back, identify, rest)


def _position(payment_id: str) -> str:
    payment = books.find(payment_id, consistent=True) if identifiers.is_identifier(payment_id, "pay") else None
    if payment is None:
        raise InvalidCursor(payment_id)
    return records.listed_as(payment)


def _read(payment_ids: Sequence[str]) -> list[Payment]:
    """The payments in this order; what is not here yet, or cannot be read, is left out."""
    found = books.find_all(payment_ids)
    return [found[payment_id] for payment_id in payment_ids if payment_id in found]


def _id(payment: Payment) -> str:
    return payment.payment_id


def _listing() -> Listing:
    table = load(TableSettings).payments_table
    return Listing(table, "review", "listed_as", index="review", buckets=records.REVIEW_BUCKETS)
