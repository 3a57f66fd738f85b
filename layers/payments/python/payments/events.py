"""The events of a payment and the bus they go out on. Ids are derived: the same event twice has the same id."""

import json
from typing import Any

import msgspec

from payments import identifiers
from payments.clients import client
from payments.lifecycle import Payment
from payments.settings import load

SOURCE = "payments"
CHARGE_AUTHORIZED = "charge_authorized"
PAYMENT_RESULT = "payment_result"

_SHOWN_OF_A_CARD = ("token", "brand", "network", "bin", "last4", "exp_month", "exp_year")
"""What merchants see. No more digits than six and four: beside a token they are a search of the rest made easy."""


class BusSettings(msgspec.Struct, frozen=True, rename="upper"):
    """Where events go."""

    event_bus: str


class PublishFailed(RuntimeError):
    """EventBridge did not take the event; publishing it again is safe."""


def charge_authorized(payment: Payment) -> dict[str, Any]:
    """The event of an accepted charge, which sends it to the card network."""
    return _event(payment, CHARGE_AUTHORIZED, 1, payment.created_at)


def payment_result(payment: Payment) -> dict[str, Any]:
    """The event of a decided payment, which goes to the merchant's webhooks."""
    return _event(payment, f"payment.{payment.status}", payment.sequence, payment.updated_at)


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
        "failure": None
        if payment.failure is None
        else {
            "code": payment.failure.code,
            "message": payment.failure.message,
        },
        "review": payment.fraud.get("review", False),
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
    }


def _event(payment: Payment, event_type: str, sequence: int, created_at: str) -> dict[str, Any]:
    return {
        "id": identifiers.event_id(payment.payment_id, event_type),
        "type": event_type,
        "payment_id": payment.payment_id,
        "merchant_id": payment.merchant_id,
        "shard": payment.shard,
        "sequence": sequence,
        "created_at": created_at,
        "data": resource(payment),
    }
