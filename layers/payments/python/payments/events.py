"""The events of a payment and the bus they go out on. Ids are derived: the same event twice has the same id."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import msgspec

from payments import identifiers
from payments.clients import client
from payments.journal import Journal, Phase
from payments.lifecycle import DECIDED_SEQUENCE, REFUSED, Payment, Status, request_id
from payments.settings import load

SOURCE = "payments"
CHARGE_AUTHORIZED = "charge_authorized"
PAYMENT_COMMAND = "payment_command"
PAYMENT_RESULT = "payment_result"

CONFLICT = "conflict"
"""The operation of a `payment_command` that asks which of two requests under the payment's id stands."""

AGREEMENT = "agreement"
"""The operation of a `payment_command` that holds the payment against its journals, and mends it."""

_ENDS = ("#succeeded", "#failed", REFUSED, "")
"""How the ids of an operation's journals end, its last one first."""

_RESULTS = {
    ("cap", ""): "payment.captured",
    ("cap", "refused"): "payment.capture_failed",
    ("vod", ""): "payment.canceled",
    ("vod", "refused"): "payment.void_failed",
    ("ref", "succeeded"): "refund.succeeded",
    ("ref", "failed"): "refund.failed",
    ("dsp", ""): "dispute.opened",
    ("dsp", "won"): "dispute.won",
    ("dsp", "lost"): "dispute.lost",
}
"""Types of events by the kind of operation and the end of its last journal's id."""

_SHOWN_OF_A_CARD = ("token", "brand", "network", "bin", "last4", "exp_month", "exp_year")
"""What merchants see. No more digits than six and four: beside a token they are a search of the rest made easy."""


class BusSettings(msgspec.Struct, frozen=True, rename="upper"):
    """Where events go."""

    event_bus: str


class PublishFailed(RuntimeError):
    """EventBridge did not take the event; publishing it again is safe."""


def charge_authorized(payment: Payment) -> dict[str, Any]:
    """The event of an accepted charge, which sends it to the card network."""
    return {**_event(payment, CHARGE_AUTHORIZED, 1, payment.created_at), "data": resource(payment)}


def payment_command(payment: Payment, operation_id: str) -> dict[str, Any]:
    """The event of an outstanding operation, which the network worker carries out."""
    event = _event(payment, PAYMENT_COMMAND, payment.sequence, payment.updated_at, operation_id)
    return {**event, "operation": operation_id}


def payment_result(payment: Payment) -> dict[str, Any]:
    """The event of the card network's decision, which goes to the merchant's webhooks.

    It is the same whenever it is made: what has become of the payment since shows in its data only.
    """
    approved = Status.SUCCEEDED if payment.capture else Status.REQUIRES_CAPTURE
    decision = Status.FAILED if payment.failure else approved
    event = _event(payment, f"payment.{decision}", DECIDED_SEQUENCE, payment.updated_at)
    return {**event, "data": resource(payment)}


def payment_conflict(winner: Payment, loser: Payment, found_at: str) -> dict[str, Any]:
    """The event that tells a merchant which of two accepted requests under one idempotency key is not charged.

    It is about how the payment came to be, so it has the place of its first step.
    """
    event = _event(winner, "payment.conflict", 1, found_at, request_id(loser.fingerprint))
    return {**event, "data": {**resource(winner), "not_charged": resource(loser)}}


def operation_result(payment: Payment, journals: Iterable[Journal], operation_id: str) -> dict[str, Any] | None:
    """The event of an operation that came to its end, from its last journal; None while it has no end."""
    own = {journal.journal_id: journal for journal in journals}
    last = next((own[name] for end in _ENDS if (name := operation_id + end) in own), None)
    event_type = _RESULTS.get((operation_id[:3], last.journal_id.partition("#")[2])) if last else None
    if last is None or event_type is None:
        return None
    about = operation_id.partition("#")[0]
    match operation_id[:3]:
        case "ref":
            data = refund_resource(payment.payment_id, about, list(own.values()))
        case "dsp":
            data = dispute_resource(payment.payment_id, about, list(own.values()))
        case _:
            data = resource(payment)
    event = _event(payment, event_type, last.sequence, last.created_at, operation_id)
    return {**event, "data": data}


def publish(detail_type: str, *events: dict[str, Any]) -> None:
    """Puts events on the bus. Raises `PublishFailed` when any of them was refused."""
    bus = load(BusSettings).event_bus
    entries = [
        {"EventBusName": bus, "Source": SOURCE, "DetailType": detail_type, "Detail": json.dumps(event)}
        for event in events
    ]
    if client("events").put_events(Entries=entries)["FailedEntryCount"]:
        raise PublishFailed(detail_type)


def resource(payment: Payment) -> dict[str, Any]:
    """The payment as merchants see it: in the API's answers and in events."""
    return {
        "id": payment.payment_id,
        "object": "payment",
        "status": str(payment.status),
        "amount": payment.amount,
        "currency": payment.currency,
        "capture": payment.capture,
        "card": {name: payment.card[name] for name in _SHOWN_OF_A_CARD},
        "customer": payment.customer_id,
        "description": payment.description,
        "metadata": payment.metadata or {},
        "amount_captured": payment.amount_captured,
        "amount_refunded": payment.amount_refunded,
        "amount_capturable": 0 if payment.pending or payment.failure else payment.capturable,
        "dispute": _dispute(payment),
        "failure": asdict(payment.failure) if payment.failure else None,
        "review": payment.fraud.get("review", False),
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
    }


def refund_resource(payment_id: str, refund_id: str, journals: Iterable[Journal]) -> dict[str, Any]:
    """A refund as merchants see it, from its payment's journals. Raises `KeyError` when there is no such refund."""
    own = {journal.journal_id: journal for journal in journals}
    asked, failed = own[refund_id], own.get(f"{refund_id}#failed")
    status = "failed" if failed else "succeeded" if f"{refund_id}#succeeded" in own else "pending"
    return {
        "id": refund_id,
        "object": "refund",
        "payment_id": payment_id,
        **_reserved(asked),
        "status": status,
        "reason": asked.reason,
        "failure": {"code": failed.reason, "message": "The card network refused the refund."} if failed else None,
        "created_at": asked.created_at,
    }


def dispute_resource(payment_id: str, dispute_id: str, journals: Iterable[Journal]) -> dict[str, Any]:
    """A dispute as merchants see it, from its payment's journals. Raises `KeyError` when there is no such dispute."""
    own = {journal.journal_id: journal for journal in journals}
    opened = own[dispute_id]
    status = next((end for end in ("won", "lost") if f"{dispute_id}#{end}" in own), "open")
    return {
        "id": dispute_id,
        "object": "dispute",
        "payment_id": payment_id,
        **_reserved(opened),
        "status": status,
        "reason": opened.reason,
        "created_at": opened.created_at,
    }


def _reserved(journal: Journal) -> dict[str, Any]:
    """The amount that a refund or dispute reserves."""
    reserved = next(entry for entry in journal.entries if entry.phase is Phase.PENDING)
    return {"amount": reserved.amount, "currency": reserved.currency}


def _dispute(payment: Payment) -> dict[str, Any] | None:
    dispute = payment.dispute
    if dispute is None:
        return None
    return {"id": dispute.dispute_id, "amount": dispute.amount, "status": dispute.status, "reason": dispute.reason}


def _event(payment: Payment, event_type: str, sequence: int, created_at: str, operation_id: str = "") -> dict[str, Any]:
    return {
        "id": identifiers.event_id(payment.payment_id, event_type, operation_id),
        "type": event_type,
        "payment_id": payment.payment_id,
        "merchant_id": payment.merchant_id,
        "shard": payment.shard,
        "sequence": sequence,
        "created_at": created_at,
    }
