"""Payments that wait for the card network for too long: a message was lost, or the network's answer is unknown.

Both are mended by publishing the event again, `charge_authorized` of a charge that is not decided, `payment_command` of
every operation that is outstanding: the network worker asks the network under the same reference, which tells what
happened from what did not, and never makes it happen twice.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from payments import books, clock, events
from payments.lifecycle import Payment
from payments.observability import logger

Chosen = TypeVar("Chosen")

PENDING_TOO_LONG = timedelta(seconds=60)
"""The network answers within seconds; a minute is long for the queue and short for the merchant."""

INTERVAL = timedelta(minutes=1)
"""How often the sweeper runs."""

_CANDIDATES = 1_000
"""Waiting payments looked at per bucket of a shard and run, oldest first."""

_AT_ONCE = 100
"""Payments looked after per shard and run, and events published; chosen by chance among those that are due."""

_BATCH = 10
"""Events that EventBridge takes in one call."""


class NotAllSwept(RuntimeError):
    """Some shards could not be swept; the others were. The message says how many, and why the first could not."""


def republish(shards: Sequence[int], now: datetime) -> tuple[int, int]:
    """Publishes the events of every due payment of these shards again; how many charges and how many operations.

    What cannot be swept stops nothing else. Raises `NotAllSwept` in the end.
    """
    mixed = random.sample(shards, len(shards))  # a run that is cut short shall not always miss the same shards
    counts, faults = [], []
    for shard in mixed:
        try:
            counts.append(_sweep(shard, now))
        except Exception as error:  # noqa: BLE001 - the outermost edge of one shard
            logger.error("shard not swept", extra={"shard": shard, "fault": type(error).__name__})
            faults.append(type(error).__name__)
    if faults:
        raise NotAllSwept(f"{len(faults)} shards, {faults[0]}")
    return sum(charges for charges, _ in counts), sum(operations for _, operations in counts)


def due(since: datetime, now: datetime, interval: timedelta = INTERVAL) -> bool:
    """Whether what has been due since then is to be tried in this run: in every run at first, then at doubled ages.

    So a lost event is mended in the next run, and a payment that cannot be finished does not fill the queue. A window
    is two intervals wide, so that a run that comes late or fails skips none; `interval` is the time between runs.
    """
    age = int((now - since) / interval)
    return age < 5 or age.bit_length() != (age - 2).bit_length()


def _sweep(shard: int, now: datetime) -> tuple[int, int]:
    found = books.pending(shard, clock.timestamp(now - PENDING_TOO_LONG), _CANDIDATES)
    waiting = [payment_id for payment_id, since in found if due(datetime.fromisoformat(since), now)]
    payments = list(books.find_all(_some(waiting)).values())
    charges = [_reminder(payment) for payment in payments if payment.pending]
    operations = _some([event for payment in payments for event in _commands(payment)])
    _publish(events.CHARGE_AUTHORIZED, charges)
    _publish(events.PAYMENT_COMMAND, operations)
    return len(charges), len(operations)


def _reminder(payment: Payment) -> dict[str, Any]:
    """The event without the payment, which the worker reads anyway: ten of them must fit one call, whatever merchants
    write into their metadata."""
    return {name: value for name, value in events.charge_authorized(payment).items() if name != "data"}


def _commands(payment: Payment) -> list[dict[str, Any]]:
    return [events.payment_command(payment, operation.operation_id) for operation in payment.outstanding]


def _some(among: list[Chosen]) -> list[Chosen]:
    return random.sample(among, min(len(among), _AT_ONCE))


def _publish(detail_type: str, found: list[dict[str, Any]]) -> None:
    for start in range(0, len(found), _BATCH):
        events.publish(detail_type, *found[start : start + _BATCH])
