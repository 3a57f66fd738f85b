"""Charges that are pending for too long: their event was lost, or the card network's answer is unknown.

Both are mended by publishing `charge_authorized` again: the network worker asks the network under the payment's own
reference, which tells an authorization that happened from one that did not, and never makes a second one.
"""

from datetime import UTC, datetime, timedelta

from payments import books, clock, events, identifiers, regions

PENDING_TOO_LONG = timedelta(seconds=60)
"""A charge is decided within seconds; a minute is long for the queue and short for the merchant."""

_AT_ONCE = 100
"""Orphans published per shard and run; the rest waits a minute, so that a dead card network is not flooded."""


def republish() -> int:
    """Publishes every orphan of this region's shards again; the number of them."""
    before = clock.timestamp(datetime.now(UTC) - PENDING_TOO_LONG)
    own = (shard for shard in range(identifiers.SHARDS) if regions.primary(shard) == regions.here())
    return sum(_republish(payment_id) for shard in own for payment_id in books.pending(shard, before, _AT_ONCE))


def _republish(payment_id: str) -> int:
    payment = books.find(payment_id)
    if payment is None or not payment.pending:
        return 0
    events.publish(events.CHARGE_AUTHORIZED, events.charge_authorized(payment))
    return 1
