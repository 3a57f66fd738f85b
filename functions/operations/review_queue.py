"""Payments that wait for an operator's decision, the oldest first: the sparse index `review` of the payments table.

A payment's place is its creation, and among those of one millisecond its id. It keeps it when it has left the queue, so
a cursor leads on from a payment that was decided meanwhile.
"""

from collections.abc import Callable, Sequence

from payments import books, identifiers, records
from payments.buckets import FIRST, LAST, Listing, Merged, Span
from payments.lifecycle import Payment
from payments.listings import Cursor, InvalidCursor, Page, page
from payments.settings import TableSettings, load

MAXIMUM_CANDIDATES = 1_000
"""How many payments one page looks at: a filter that matches few shall not read the whole queue in one request."""

_BATCH = 100


def find(admits: Callable[[Payment], bool], limit: int, cursor: Cursor | None) -> Page[Payment]:
    """A page of the payments in review that are wanted, as this region has them.

    After `MAXIMUM_CANDIDATES` the page ends, however few were wanted, and says where to go on. Raises `InvalidCursor`.
    """
    merged, back = _from(cursor), bool(cursor and cursor.back)
    found: list[Payment] = []
    seen, last = 0, ""
    while len(found) <= limit and seen < MAXIMUM_CANDIDATES:
        candidates = [str(item["payment_id"]) for item in merged.take(_BATCH)]
        found += [payment for payment in _read(candidates) if payment.in_review and admits(payment)]
        seen += len(candidates)
        if len(candidates) < _BATCH:
            return page(found, limit, back, _id)
        last = candidates[-1]
    rest = last if len(found) <= limit and merged.take(1) else None
    return page(found, limit, back, _id, rest)


def _from(cursor: Cursor | None) -> Merged:
    """The queue from a cursor on. Raises `InvalidCursor`."""
    if cursor is None:
        return Merged(_listing(), records.REVIEW_QUEUE, Span(FIRST, LAST), newest_first=False)
    known = identifiers.is_identifier(cursor.entry_id, "pay")
    payment = books.find(cursor.entry_id, consistent=True) if known else None
    if payment is None:
        raise InvalidCursor(cursor.entry_id)
    position = records.listed_as(payment)
    span = Span().beyond(position, back=not cursor.back)
    return Merged(_listing(), records.REVIEW_QUEUE, span, newest_first=cursor.back, but=position)


def _read(payment_ids: Sequence[str]) -> list[Payment]:
    """The payments in this order; what is not here yet, or cannot be read, is left out."""
    found = books.find_all(payment_ids)
    return [found[payment_id] for payment_id in payment_ids if payment_id in found]


def _id(payment: Payment) -> str:
    return payment.payment_id


def _listing() -> Listing:
    table = load(TableSettings).payments_table
    return Listing(table, "review", "listed_as", index="review", buckets=records.REVIEW_BUCKETS)
