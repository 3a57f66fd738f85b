"""Different requests under one idempotency key, accepted in two regions: seen in the stream of payments, and sent to
the network worker, which knows who can say which of them stands, until they are resolved."""

import random
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from functions.sweeper.orphans import due
from payments import books, conflicts, events, identifiers, records
from payments.observability import count, logger
from payments.records import plain

CONFLICTS = "IdempotencyConflicts"

_CANDIDATES = 1_000
"""Open conflicts looked at per bucket and run, the oldest first."""

_AT_ONCE = 100
"""Conflicts sent per run, chosen by chance among those that are due."""


def follow(record: Mapping[str, Any]) -> None:
    """Keeps both sides where a record of the stream shows that one payment has taken another one's place.

    Where both are the same request, and the region that blocked it wrote last, the network worker is asked once more
    for its decision: it finds what was accepted in the journals, and puts it back.
    """
    change = record["dynamodb"]
    if "OldImage" not in change or "NewImage" not in change:
        return
    old, new = plain(change["OldImage"]), plain(change["NewImage"])
    if conflicts.only_blocked(old, new):
        events.publish(events.CHARGE_AUTHORIZED, events.charge_authorized(records.payment_of(old)))
    found = conflicts.seen(old, new)
    if found and conflicts.keep(found):
        told = {"payment_id": found.payment_id, "regions": [side.region for side in found.sides]}
        logger.critical("two requests under one idempotency key were accepted", extra=told)
        count(CONFLICTS)


def ask(shards: Collection[int], now: datetime) -> int:
    """Sends the open conflicts of these shards to the network worker; how many."""
    waiting = [
        payment_id
        for payment_id, found_at in conflicts.waiting(_CANDIDATES)
        if identifiers.shard_of(payment_id) in shards and due(datetime.fromisoformat(found_at), now)
    ]
    chosen = random.sample(waiting, min(len(waiting), _AT_ONCE))
    payments = books.find_all(chosen).values() if chosen else ()
    for payment in payments:
        events.publish(events.PAYMENT_COMMAND, events.payment_command(payment, events.CONFLICT))
    return len(payments)
