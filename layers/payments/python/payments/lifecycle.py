"""The life of a payment: its states, what may follow what, and the journal that goes with each step.

Pure: values in, values out. The clock comes in as `at` (RFC 3339, UTC, milliseconds).
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from payments import journal
from payments.journal import Journal, Phase

AUTHORIZATION = "authorization"
"""Id of a payment's first journal."""


class Status(StrEnum):
    """Where a payment stands."""

    PENDING = "pending"
    FRAUD_BLOCKED = "fraud_blocked"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


FOLLOWING: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.REQUIRES_CAPTURE, Status.SUCCEEDED, Status.FAILED}),
    Status.FRAUD_BLOCKED: frozenset(),
    Status.REQUIRES_CAPTURE: frozenset(),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
}
"""Which states may follow each state; capture, refund and dispute add theirs."""


class ImpossibleTransition(ValueError):
    """The payment cannot go from the state it is in to the one asked for."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a payment did not succeed: a code from the API's list and a sentence for a person."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as the payments table holds it. Amounts in minor units, times RFC 3339 in UTC with milliseconds.

    `fingerprint` identifies the request that made it, `attempt` the run of the saga, `region` where that ran.
    `card` holds the card facts a vault token stands for (token, brand, network, BIN, last four, expiry), `fraud` the
    score and its reasons. `sequence` numbers the payment's events from 1.
    """

    payment_id: str
    merchant_id: str
    shard: int
    fingerprint: str
    attempt: str
    region: str
    status: Status
    amount: int
    currency: str
    capture: bool
    network_ref: str
    card: dict[str, Any]
    fraud: dict[str, Any]
    created_at: str
    updated_at: str
    sequence: int = 1
    customer_id: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    failure: Failure | None = None

    @property
    def pending(self) -> bool:
        """Whether the card network has not decided the payment yet."""
        return self.status is Status.PENDING


@dataclass(frozen=True, slots=True)
class Authorization:
    """What the card network answered: approved, or declined with a failure."""

    declined: Failure | None = None


def authorization_journal(payment: Payment) -> Journal:
    """The journal of an accepted charge: the amount is pending between customer and merchant."""
    return _journal(payment, AUTHORIZATION, payment.created_at, Phase.PENDING)


def decide(payment: Payment, answer: Authorization, at: str) -> tuple[Payment, Journal | None]:
    """The payment after the card network's answer, and the journal that posts or voids its pending amounts.

    An approved charge that is not captured at once keeps its amounts pending and has no further journal yet.
    Raises `ImpossibleTransition` when the payment is not pending.
    """
    if answer.declined:
        status, entry = Status.FAILED, _journal(payment, "void", at, Phase.VOIDED)
    elif payment.capture:
        status, entry = Status.SUCCEEDED, _journal(payment, "capture", at, Phase.POSTED)
    else:
        status, entry = Status.REQUIRES_CAPTURE, None
    return _follow(payment, status, at, answer.declined), entry


def _follow(payment: Payment, status: Status, at: str, failure: Failure | None) -> Payment:
    if status not in FOLLOWING[payment.status]:
        raise ImpossibleTransition(f"a payment cannot go from {payment.status} to {status}")
    return replace(payment, status=status, updated_at=at, failure=failure, sequence=payment.sequence + 1)


def _journal(payment: Payment, journal_id: str, at: str, phase: Phase) -> Journal:
    parties = journal.Parties.of(payment.merchant_id, payment.customer_id)
    return Journal(payment.payment_id, journal_id, at, parties.entries(phase, payment.amount, payment.currency))
