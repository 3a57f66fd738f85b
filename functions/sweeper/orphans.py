"""Charges that are pending for too long: their event was lost, or the card network's answer is unknown.

Both are mended by publishing `charge_authorized` again: the network worker asks the network under the payment's own
reference, which tells an authorization that happened from one that did not, and never makes a second one.
"""

import random
from datetime import UTC, datetime, timedelta

from payments import books, clock, events, identifiers, regions

PENDING_TOO_LONG = timedelta(seconds=60)
"""A charge is decided within seconds; a minute is long for the queue and short for the merchant."""

INTERVAL = timedelta(minutes=1)
"""How often the sweeper runs."""

_CANDIDATES = 1_000
"""Pending payments looked at per bucket of a shard and run, oldest first."""

_AT_ONCE = 100
"""Orphans published per shard and run, chosen by chance among those that are due."""

_BATCH = 10
"""Events that EventBridge takes in one call."""


def republish() -> int:
    """Publishes every due orphan of this region's shards again; the number of them."""
    now = datetime.now(UTC)
    own = [shard for shard in range(identifiers.SHARDS) if regions.primary(shard) == regions.here()]
    random.shuffle(own)  # a run that is cut short shall not always miss the same shards
    return sum(_sweep(shard, now) for shard in own)


def due(created_at: datetime, now: datetime) -> bool:
    """Whether an orphan is to be published in this run: in every run of its first minutes, then at doubled ages.

    So a lost event is mended in the next run, and a payment that cannot be finished does not fill the queue. A window
    is two intervals wide, so that a run that comes late or fails skips none.
    """
    age = int((now - created_at) / INTERVAL)
    return age < 5 or age.bit_length() != (age - 2).bit_length()


def _sweep(shard: int, now: datetime) -> int:
    found = books.pending(shard, clock.timestamp(now - PENDING_TOO_LONG), _CANDIDATES)
    waiting = [payment_id for payment_id, created_at in found if due(datetime.fromisoformat(created_at), now)]
    chosen = random.sample(waiting, min(len(waiting), _AT_ONCE))
    payments = (books.find(payment_id) for payment_id in chosen)
    orphans = [events.charge_authorized(payment) for payment in payments if payment and payment.pending]
    for start in range(0, len(orphans), _BATCH):
        events.publish(events.CHARGE_AUTHORIZED, *orphans[start : start + _BATCH])
    return len(orphans)
