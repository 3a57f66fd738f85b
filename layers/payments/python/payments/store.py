"""What `books` and `conflicts` share of the tables: a conditional transaction, a read, and an item as plain values."""

from collections.abc import Callable
from typing import Any

from pynamodb.attributes import MapAttribute
from pynamodb.exceptions import TransactWriteError
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from payments import clock, records, regions
from payments.journal import Journal
from payments.lifecycle import Payment
from payments.tables import JournalItem, PaymentItem, connection

NO_JOURNAL = JournalItem.journal_id.does_not_exist()
ABSENT = PaymentItem.payment_id.does_not_exist()

_CONDITION_FAILED = "ConditionalCheckFailed"
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
_CONFLICT_DELAYS_SECONDS = (0.02, 0.05, 0.1)
"""Upper ends of the random waits before a transaction that met another one is tried again."""


class Contention(RuntimeError):
    """Others wrote the same items at the same time, in every try: nothing was written. Try again."""


def commit(write: Callable[[TransactWrite], None]) -> bool:
    """Commits a transaction; False when one of its conditions failed. A conflict with another one is tried again, a few
    times, and then is `Contention`."""
    for delay in (*_CONFLICT_DELAYS_SECONDS, None):
        try:
            with TransactWrite(connection=connection()) as transaction:
                write(transaction)
        except TransactWriteError as error:
            codes = {reason.code for reason in error.cancellation_reasons if reason}
            if _CONDITION_FAILED in codes:
                return False
            if not codes & _PASSING:
                raise
            if delay is None:
                raise Contention(", ".join(sorted(codes & _PASSING))) from None
            clock.pause(delay)
        else:
            break
    return True


def read(key: str, consistent: bool) -> PaymentItem | None:
    """An item of the payments table, or None."""
    try:
        return PaymentItem.get(key, consistent_read=consistent)
    except PaymentItem.DoesNotExist:
        return None


def plain(item: Model) -> dict[str, Any]:
    """The item's attributes as plain values."""
    return {name: _plain_value(value) for name, value in item.attribute_values.items()}


def payment_item(payment: Payment, **more: Any) -> PaymentItem:
    """The item of a payment that this region writes, and says so: where another region's copy takes its place, the
    stream shows it (`payments-conflicts`). `more` are attributes that are no part of the payment."""
    return PaymentItem(**records.payment_record(payment), written_in=regions.here(), **more)


def journal_item(journal: Journal) -> JournalItem:
    """The item of a journal that this region writes."""
    return JournalItem(**records.journal_record(journal, regions.here()))


def _plain_value(value: Any) -> Any:
    if isinstance(value, MapAttribute):
        return {name: _plain_value(inner) for name, inner in value.as_dict().items()}
    if isinstance(value, dict):
        return {name: _plain_value(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain_value(inner) for inner in value]
    return value
