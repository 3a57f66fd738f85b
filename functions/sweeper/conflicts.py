"""What two regions made of one payment without each other, as the stream of payments shows it: different requests under
one idempotency key are sent to the network worker, which knows who can say which of them stands, until they are
resolved; and where one region's copy took the place of the other's, the payment is held against its journals."""

import random
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from functions.sweeper.orphans import due
from payments import books, clock, conflicts, events, identifiers, records
from payments.observability import count, logger
from payments.records import plain

CONFLICTS = "IdempotencyConflicts"

_CANDIDATES = 1_000
"""Open conflicts looked at per bucket and run, the oldest first."""

_AT_ONCE = 100
"""Conflicts sent per run, chosen by chance among those that are due."""


def follow(record: Mapping[str, Any]) -> None:
    """Keeps both sides where a record of the stream shows that one payment has taken another one's place, and has a
    payment that another region has written over held against its journals.

    Where both are the same request, the one that stands may say less than was done here, whatever its sequence says.
    The journals know, and the network worker, which may read them, is sent there.
    """
    change = record["dynamodb"]
    if "OldImage" not in change or "NewImage" not in change:
        return
    old, new = plain(change["OldImage"]), plain(change["NewImage"])
    if conflicts.overtaken(old, new):
        command = events.payment_command(records.payment_of(new), events.AGREEMENT)
        events.publish(events.PAYMENT_COMMAND, {**command, "seen_at": clock.now()})
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
