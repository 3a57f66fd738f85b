"""Whether payments say what their journals say. The journals are right: a payment that lost an update is mended.

Two regions may change a payment at the same time; the global table then keeps one of the two copies, and what the other
one's journals say is lost of it. What no lost update explains is a contradiction, for a person to look into.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from functions.sweeper import tally
from payments import books, clock, regions, replay
from payments.clients import client
from payments.journal import Journal
from payments.lifecycle import Payment
from payments.observability import CONTRADICTIONS, count, logger
from payments.replay import Replayed
from payments.settings import TableSettings, load

SETTLED = timedelta(minutes=10)
"""Longer than a replica is usually behind: of a payment that changed since then, not everything may be here yet."""

AHEAD = timedelta(minutes=5)
"""Further than two regions' clocks are ever apart: a later time is none of ours, and must not pass for a recent one."""

Journals = list[Journal | None]
"""A payment's journals; None for one that cannot be read."""

MENDED, CONTRADICTION, AGREES = "mended", "contradiction", "agrees"


def check(payments: Mapping[str, Journals], now: datetime) -> Counter[str]:
    """Compares payments, by id, to their journals as a scan found them; how many were `mended`, how many are a
    `contradiction`. Whatever seems to differ is read again, consistently, before it is judged."""
    found = books.find_all(payments)
    doubtful = [name for name, journals in payments.items() if _differs(found.get(name), journals)]
    return Counter(_judge(payment_id, now) for payment_id in doubtful)


def journals(payment_id: str) -> Journals:
    """All journals of a payment, read consistently."""
    pages = (
        client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=load(TableSettings).ledger_table,
            KeyConditionExpression="payment_id = :payment",
            ExpressionAttributeValues={":payment": {"S": payment_id}},
            ConsistentRead=True,
        )
    )
    return [tally.read(item).journal for page in pages for item in page["Items"]]


def contradiction(payment: Payment | None, journals: Journals) -> str | None:
    """What payment and journals say that cannot both be, or None. A payment may lack what its journals say, not add."""
    readable = [journal for journal in journals if journal]
    told = replay.replay(readable)
    if len(readable) < len(journals):
        return "a journal cannot be read"
    if payment is None:
        return "journals without a payment"
    return _beyond(told) or replay.ahead(payment, readable)


def _beyond(told: Replayed) -> str | None:
    disputed = sum(dispute.amount for dispute in told.disputes.values() if dispute.status == "open")
    if told.captured + told.released > told.amount:
        return "captured and released beyond the amount"
    if told.refunded + told.charged_back + disputed > told.captured:
        return "refunded and disputed beyond the captures"
    return "more ended than began" if min(told.captured, told.released, told.refunded) < 0 else None


def _differs(payment: Payment | None, journals: Journals) -> bool:
    if payment is None or contradiction(payment, journals):
        return True
    return replay.mended(payment, filter(None, journals), payment.updated_at) is not payment


def _judge(payment_id: str, now: datetime) -> str:
    """Mends the payment if it is this region's to write. The payment is read before its journals: these are then not
    older than it."""
    try:
        payment = books.find(payment_id, consistent=True)
    except (ValueError, TypeError, KeyError, AttributeError):
        return _told(payment_id, "the payment cannot be read")
    found = journals(payment_id)
    changed = [journal.created_at for journal in found if journal] + ([payment.updated_at] if payment else [])
    if max(changed, default="") > clock.timestamp(now + AHEAD):
        return _told(payment_id, "a time is in the future")
    if max(changed, default="") > clock.timestamp(now - SETTLED):
        return AGREES
    cause = contradiction(payment, found)
    if payment is None or cause:
        return _told(payment_id, cause)
    return _mend(payment, [journal for journal in found if journal], now)


def _told(payment_id: str, cause: str | None) -> str:
    logger.critical("a payment contradicts its journals", extra={"payment_id": payment_id, "cause": cause})
    count(CONTRADICTIONS)
    return CONTRADICTION


def _mend(payment: Payment, journals: list[Journal], now: datetime) -> str:
    after = replay.mended(payment, journals, clock.timestamp(now))
    if after is payment or regions.primary(payment.shard) != regions.here():
        return AGREES
    if not books.mend(payment, after, "the payment said less than its journals"):
        return AGREES
    logger.warning("payment mended", extra={"payment_id": payment.payment_id, "sequence": after.sequence})
    return MENDED
