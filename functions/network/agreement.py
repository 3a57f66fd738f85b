"""Holds a payment against its journals where another region's copy of it took the place of this one's."""

from payments import books, events
from payments.lifecycle import Payment
from payments.queues import TryLater


def reach(payment_id: str, seen_at: str) -> Payment:
    """The payment as its journals say it is, mended if it said less; may be repeated at any point.

    `seen_at` is when the other copy was seen here: its journals may follow until `books.REPLICATION_PATIENCE` is over.

    A blocked payment that turns out to be accepted is sent to the network. Raises `TryLater`, `ReplicationGap` or
    `Contention` while not everything is here, or others change the payment.
    """
    found = books.current(payment_id, arrived_at=seen_at)
    if found is None:
        raise TryLater("the payment is not here yet")
    payment, _ = found
    if payment.pending:
        events.publish(events.CHARGE_AUTHORIZED, events.charge_authorized(payment))
    return payment
