"""What the saga may do to the books: post a charge, give it up, or record it as blocked."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from functions.ledger import fencing
from payments import books, events, lifecycle, regions
from payments.books import Outcome, Written
from payments.fees import FeePlan
from payments.lifecycle import Failure, Payment, Status

BLOCKED = Failure("fraud_blocked", "The charge was blocked by fraud scoring.")


def run(operation: str, charge: dict[str, Any], fraud: dict[str, Any]) -> dict[str, Any]:
    """What the operation came to; `fenced`, and nothing was written, where this region has lost the charge's shard."""
    if operation in _FENCED and fencing.fenced(charge["shard"], charge["epoch"], charge["mapped_at"]):
        return {"result": "fenced"}
    return _OPERATIONS[operation](opened(charge, fraud))


def opened(charge: dict[str, Any], fraud: dict[str, Any]) -> Payment:
    """The pending payment a charge and its fraud score describe."""
    return Payment(
        payment_id=charge["payment_id"],
        merchant_id=charge["merchant_id"],
        shard=charge["shard"],
        fingerprint=charge["fingerprint"],
        attempt=charge["attempt"],
        region=regions.here(),
        status=Status.PENDING,
        amount=charge["amount"],
        currency=charge["currency"],
        capture=charge["capture"],
        network_ref=charge["network_ref"],
        fees=FeePlan(**charge["fees"]),
        card=charge["card"],
        fraud=_audited(fraud),
        created_at=charge["created_at"],
        updated_at=charge["created_at"],
        customer_id=(charge["customer"] or {}).get("id"),
        description=charge["description"],
        metadata=charge["metadata"],
    )


def _audited(fraud: dict[str, Any]) -> dict[str, Any]:
    """What is kept of the fraud function's answer: all that it says, and whether merchants see it as in review."""
    said = {name: value for name, value in fraud.items() if value is not None}
    return {**said, "review": fraud["decision"] == "review"}


def post(payment: Payment) -> dict[str, Any]:
    """Writes payment and authorization journal: `posted`, `exists`, `conflict`, or `abandoned` (a late write)."""
    return _answer("posted", books.create(payment, lifecycle.authorization_journal(payment)))


def abandon(payment: Payment) -> dict[str, Any]:
    """Settles what an ambiguous `post` left: `abandoned` for good, `posted` because this attempt's payment is there,
    `exists` or `conflict` because another's is."""
    return _answer("posted", books.abandon(payment))


def record_blocked(payment: Payment) -> dict[str, Any]:
    """Records a charge that fraud scoring blocked: `blocked`, or what stands there instead."""
    blocked = replace(payment, status=Status.FRAUD_BLOCKED, failure=BLOCKED)
    return _answer("blocked", books.record_blocked(blocked))


_OPERATIONS: dict[str, Callable[[Payment], dict[str, Any]]] = {
    "post": post,
    "abandon": abandon,
    "record_blocked": record_blocked,
}
_FENCED = ("post", "record_blocked")
"""What makes a payment. Giving an attempt up is never refused: it only keeps a late write from happening."""


def _answer(written_as: str, written: Written) -> dict[str, Any]:
    result = written_as if written.outcome is Outcome.WRITTEN else str(written.outcome)
    if written.payment is None:
        return {"result": result}
    answer: dict[str, Any] = {"result": result, "payment": events.resource(written.payment)}
    if result == "posted":
        answer["event"] = events.charge_authorized(written.payment)
    return answer
