"""The life of a payment: its states, what may be done in each, and the journal that goes with every step.

Pure: values in, values out. The clock comes in as `at` (RFC 3339, UTC, milliseconds). The status follows from the
payment's amounts, and these follow from its journals (`payments.replay`), so a status that was lost can be found again.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from payments import accounts
from payments.fees import NO_FEES, FeePlan
from payments.journal import Entry, Journal, Kind, Phase, transfer, undone

WITHDRAWN = "#withdrawn"
"""How the id of the journal ends that takes back a request's authorization, after the id of that."""

CAPTURE, DECLINE = "capture", "void"
"""Ids of the journal that follows the card network's decision: captured at once, or declined."""

DECIDED_SEQUENCE = 2
"""The payment's sequence after the network's decision, which follows nothing but its creation."""

KEY_REUSED = "idempotency_key_reused"
"""Reason of a withdrawal: another request under the same idempotency key stands."""

REFUSED, REST = "#refused", "#rest"
"""Ends of ids: of the journal that takes back what the card network refused; of what a final capture was to release,
which the network is told of by that id."""

EXPIRED = "authorization_expired"
"""Reason of a void that nobody asked for: the authorization was not captured in time."""

REVIEW_DECLINED = "review_declined"
"""Reason of the void or refund after an operator's decline; the operator's own words are not for merchants."""


class Status(StrEnum):
    """Where a payment stands."""

    PENDING = "pending"
    FRAUD_BLOCKED = "fraud_blocked"
    REQUIRES_CAPTURE = "requires_capture"
    PARTIALLY_CAPTURED = "partially_captured"
    CANCELED = "canceled"
    SUCCEEDED = "succeeded"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    CHARGED_BACK = "charged_back"
    FAILED = "failed"


class Command(StrEnum):
    """What can be asked of a payment."""

    DECIDE = "decide"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    OPEN_DISPUTE = "open_dispute"
    WIN_DISPUTE = "win_dispute"
    LOSE_DISPUTE = "lose_dispute"


_REFUNDABLE = frozenset({Status.SUCCEEDED, Status.PARTIALLY_REFUNDED, Status.PARTIALLY_CAPTURED})

ALLOWED: dict[Command, frozenset[Status]] = {
    Command.DECIDE: frozenset({Status.PENDING}),
    Command.CAPTURE: frozenset({Status.REQUIRES_CAPTURE, Status.PARTIALLY_CAPTURED}),
    Command.VOID: frozenset({Status.REQUIRES_CAPTURE, Status.PARTIALLY_CAPTURED}),
    Command.REFUND: _REFUNDABLE,
    Command.OPEN_DISPUTE: _REFUNDABLE,
    Command.WIN_DISPUTE: frozenset({Status.DISPUTED}),
    Command.LOSE_DISPUTE: frozenset({Status.DISPUTED}),
}
"""In which states each command is possible. What the network says of a refund is heard in any state."""


class ImpossibleTransition(ValueError):
    """The payment's state does not allow the command."""

    def __init__(self, status: Status, command: str):
        super().__init__(f"a payment that is {status} does not allow: {command}")
        self.status = status
        self.command = command


class AmountExceeded(ValueError):
    """The amount is more than there is: to capture, to refund or to dispute. `available` is what there is."""

    def __init__(self, available: int):
        super().__init__(f"the amount must be between 1 and {available}")
        self.available = available


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a payment or a refund did not succeed: a code from the API's list and a sentence for a person."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Dispute:
    """A cardholder's dispute of a payment: `open`, `won` or `lost`."""

    dispute_id: str
    amount: int
    status: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """What an operator decided about a payment that fraud scoring sent to review: `approve` or `decline`; who, when and
    why."""

    decision: str
    by: str
    at: str
    reason: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What the payment still waits for: the card network to hear of a capture, void or refund, or an announcement.

    `kind` is `capture`, `void`, `refund` or `announce`; the network knows the operation by `operation_id`. `released`
    is what a final capture leaves of the authorization, of which the network must hear too.
    """

    operation_id: str
    kind: str
    amount: int = 0
    released: int = 0


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as the payments table holds it. Amounts in minor units, times RFC 3339 in UTC with milliseconds.

    `fingerprint` identifies the request that made it, `attempt` the run of the saga, `region` where that ran.
    `card` holds the card facts a vault token stands for (token, brand, network, BIN, last four, expiry), `fraud` the
    score and its reasons. `sequence` counts the steps from 1. `amount_captured` plus `amount_released` is what of the
    authorized `amount` has come to its end; `amount_refunded` includes refunds the network has not confirmed yet.
    Where two regions have each done something without the other, the amounts may be more than there is, until the
    network has refused one of the two. `written_in` is the region that wrote this copy of it, as it was read.
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
    fees: FeePlan = NO_FEES
    amount_captured: int = 0
    amount_released: int = 0
    amount_refunded: int = 0
    amount_charged_back: int = 0
    dispute: Dispute | None = None
    outstanding: tuple[Operation, ...] = ()
    customer_id: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    failure: Failure | None = None
    review_decision: ReviewDecision | None = None
    written_in: str | None = field(default=None, compare=False)

    @property
    def reviewed(self) -> bool:
        """Whether fraud scoring sent it to review, decided or not."""
        return self.fraud.get("decision") == "review"

    @property
    def in_review(self) -> bool:
        """Whether an operator is to look at it: not after the decision, nor where the network took no money."""
        return self.reviewed and self.review_decision is None and self.failure is None

    @property
    def pending(self) -> bool:
        """Whether the card network has not decided the payment yet."""
        return self.status is Status.PENDING

    @property
    def capturable(self) -> int:
        """What is authorized and neither captured nor released."""
        return max(self.amount - self.amount_captured - self.amount_released, 0)

    @property
    def refundable(self) -> int:
        """What is captured and neither refunded nor taken back by the network."""
        return max(self.amount_captured - self.amount_refunded - self.amount_charged_back, 0)

    def operation(self, operation_id: str) -> Operation | None:
        """The outstanding operation of this id."""
        return next((found for found in self.outstanding if found.operation_id == operation_id), None)


@dataclass(frozen=True, slots=True)
class Authorization:
    """What the card network answered: approved, or declined with a failure."""

    declined: Failure | None = None


Step = tuple[Payment, Journal]
"""The payment after a command, and the journal of it."""


class NotInReview(ValueError):
    """Fraud scoring did not send the payment to review, or it was decided before."""


def authorization_id(fingerprint: str) -> str:
    """Id of the first journal of the payment that a request made; `fingerprint` is the request's.

    Two regions that cannot see each other may accept two requests under one key: each then has a journal of its own.
    """
    return f"authorization#{request_id(fingerprint)}"


def withdrawal_id(fingerprint: str) -> str:
    """Id of the journal that takes the authorization of a request back."""
    return authorization_id(fingerprint) + WITHDRAWN


def request_id(fingerprint: str) -> str:
    """What tells a request from others under the same idempotency key: the first 64 bits of its fingerprint, in hex."""
    return fingerprint[:16]


def authorization_journal(payment: Payment) -> Journal:
    """The journal of an accepted charge: the amount is pending between customer and merchant."""
    reserved = transfer(_payer(payment), _payee(payment), payment.amount, payment.currency, Phase.PENDING)
    journal_id = authorization_id(payment.fingerprint)
    return Journal(payment.payment_id, journal_id, Kind.CHARGE, payment.created_at, reserved, payment.sequence)


def withdrawal_journal(payment: Payment, at: str) -> Journal:
    """The journal that takes back what a request reserved, because another one under the same key stands.

    It is no step of the payment that stands, and so has the place of the first one.
    """
    released = _released(payment, payment.amount)
    return Journal(payment.payment_id, withdrawal_id(payment.fingerprint), Kind.VOID, at, released, 1, KEY_REUSED)


def decide(payment: Payment, answer: Authorization, at: str) -> tuple[Payment, Journal | None]:
    """The payment after the card network's answer, and the journal that posts or releases its pending amounts.

    An approved charge that is not captured at once keeps its amounts pending and has no further journal yet.
    Raises `ImpossibleTransition` when the payment is not pending.
    """
    _check(payment, Command.DECIDE)
    if answer.declined:
        after = _after(payment, at, amount_released=payment.amount, failure=answer.declined)
        return after, _journal(after, DECLINE, Kind.VOID, _released(payment, payment.amount), answer.declined.code)
    if not payment.capture:
        return replace(_stepped(payment, at), status=Status.REQUIRES_CAPTURE), None
    after = _after(payment, at, amount_captured=payment.amount)
    return after, _journal(after, CAPTURE, Kind.CAPTURE, _captured(payment, payment.amount))


def capture(payment: Payment, operation_id: str, amount: int | None, final: bool, at: str) -> Step:
    """Takes an authorized amount, or by default all that is left of it; `final` releases what then remains.

    Raises `ImpossibleTransition` or `AmountExceeded`.
    """
    _check(payment, Command.CAPTURE)
    taken = _within(amount, payment.capturable)
    rest = payment.capturable - taken if final else 0
    after = _after(
        payment,
        at,
        amount_captured=payment.amount_captured + taken,
        amount_released=payment.amount_released + rest,
        outstanding=(*payment.outstanding, Operation(operation_id, "capture", taken, rest)),
    )
    return after, _journal(after, operation_id, Kind.CAPTURE, _captured(payment, taken) + _released(payment, rest))


def void(payment: Payment, operation_id: str, at: str, reason: str | None = None) -> Step:
    """Releases what is authorized and not captured. Raises `ImpossibleTransition`."""
    _check(payment, Command.VOID)
    rest = payment.capturable
    operation = Operation(operation_id, "void", rest)
    outstanding = (*payment.outstanding, operation)
    after = _after(payment, at, amount_released=payment.amount_released + rest, outstanding=outstanding)
    return after, _journal(after, operation_id, Kind.VOID, _released(payment, rest), reason)


def refund(payment: Payment, operation_id: str, amount: int | None, at: str, reason: str | None = None) -> Step:
    """Reserves a refund, or by default all that is left to refund; `end_refund` follows the network's answer.

    Raises `ImpossibleTransition` or `AmountExceeded`.
    """
    _check(payment, Command.REFUND)
    _check_charged_back(payment, Command.REFUND)
    returned = _within(amount, payment.refundable)
    operation = Operation(operation_id, "refund", returned)
    outstanding = (*payment.outstanding, operation)
    after = _after(payment, at, amount_refunded=payment.amount_refunded + returned, outstanding=outstanding)
    reserved = transfer(_payee(payment), _payer(payment), returned, payment.currency, Phase.PENDING)
    return after, _journal(after, operation_id, Kind.REFUND, reserved, reason)


def decide_review(
    payment: Payment, decision: ReviewDecision, void_id: str, refund_id: str
) -> tuple[Payment, tuple[Journal, ...]]:
    """The payment with what was decided about it, and the journals that follow from it.

    A payment that is declined returns the money: what is authorized is voided, what was captured is refunded. Where
    nothing can be returned any more (refunded, failed, or in the hands of the cardholder's bank), nothing is. Raises
    `NotInReview`, or `ImpossibleTransition` for a decline before the card network has answered.
    """
    if not payment.reviewed or payment.review_decision:
        raise NotInReview(payment.payment_id)
    after = replace(payment, review_decision=decision)
    if decision.decision == "approve":
        return after, ()
    if payment.pending:
        raise ImpossibleTransition(payment.status, "decline")
    journals: list[Journal] = []
    if after.status in ALLOWED[Command.VOID]:
        after, voided = void(after, void_id, decision.at, REVIEW_DECLINED)
        journals.append(voided)
    if after.status in ALLOWED[Command.REFUND] and after.refundable and not after.amount_charged_back:
        after, refunded = refund(after, refund_id, None, decision.at, REVIEW_DECLINED)
        journals.append(refunded)
    return after, tuple(journals)


def end_refund(payment: Payment, operation_id: str, failure: Failure | None, at: str) -> Step:
    """The refund as the network decided: posted and cleared, or released. Raises `ImpossibleTransition`."""
    operation = _outstanding(payment, operation_id)
    parties = _payee(payment), _payer(payment), operation.amount, payment.currency
    outstanding = _without(payment, operation_id)
    if failure:
        after = _after(payment, at, amount_refunded=payment.amount_refunded - operation.amount, outstanding=outstanding)
        released = transfer(*parties, Phase.VOID_PENDING)
        return after, _journal(after, f"{operation_id}#failed", Kind.REFUND, released, failure.code)
    after = _after(payment, at, outstanding=outstanding)
    cleared = transfer(_payer(payment), _clearing(payment), operation.amount, payment.currency)
    posted = transfer(*parties, Phase.POST_PENDING) + cleared
    return after, _journal(after, f"{operation_id}#succeeded", Kind.REFUND, posted)


def end_operation(payment: Payment, operation_id: str, at: str) -> Payment:
    """The payment once the network has taken a capture or void, or something was announced; the books know already.

    Raises `ImpossibleTransition`.
    """
    _outstanding(payment, operation_id)
    return _after(payment, at, outstanding=_without(payment, operation_id))


def refuse_operation(payment: Payment, made: Journal, failure: Failure, at: str, *, rest_only: bool = False) -> Step:
    """The payment when the network has refused a capture or void, or only what a final capture was to release.

    `made` is the operation's journal: its entries are taken back, so what is booked is the same in every region. Raises
    `ImpossibleTransition` when the operation is not outstanding.
    """
    operation = _outstanding(payment, made.journal_id)
    taken = 0 if rest_only or operation.kind != "capture" else operation.amount
    released = operation.released if operation.kind == "capture" else operation.amount
    after = _after(
        payment,
        at,
        amount_captured=payment.amount_captured - taken,
        amount_released=payment.amount_released - released,
        outstanding=_without(payment, made.journal_id),
    )
    entries = undone(entry for entry in made.entries if not rest_only or entry.phase is Phase.VOID_PENDING)
    name = made.journal_id + (REST if rest_only else "") + REFUSED
    reversal = (Kind.REVERSAL, at, entries, after.sequence, failure.code)
    return after, Journal(payment.payment_id, name, *reversal, reverses=made.journal_id)


def open_dispute(payment: Payment, dispute_id: str, amount: int | None, at: str, reason: str | None = None) -> Step:
    """The network has taken an amount back (a chargeback): it is held of the merchant's balance, and the fee taken.

    Raises `ImpossibleTransition` or `AmountExceeded`.
    """
    _check(payment, Command.OPEN_DISPUTE)
    _check_charged_back(payment, Command.OPEN_DISPUTE)
    disputed = _within(amount, payment.refundable)
    after = _after(
        payment,
        at,
        dispute=Dispute(dispute_id, disputed, "open", reason),
        outstanding=(*payment.outstanding, Operation(dispute_id, "announce")),
    )
    held = accounts.disputes(payment.merchant_id)
    entries = (
        transfer(held, _clearing(payment), disputed, payment.currency)
        + transfer(_payee(payment), held, disputed, payment.currency, Phase.PENDING)
        + transfer(_payee(payment), accounts.FEES, payment.fees.dispute, payment.currency)
    )
    return after, _journal(after, dispute_id, Kind.CHARGEBACK, entries, reason)


def win_dispute(payment: Payment, at: str) -> Step:
    """The network returns the amount (a representment that succeeded); the fee is kept.

    Raises `ImpossibleTransition`.
    """
    dispute, operation_id = _ended(payment, Command.WIN_DISPUTE, "won")
    held, amount = accounts.disputes(payment.merchant_id), dispute.amount
    outstanding = (*payment.outstanding, Operation(operation_id, "announce"))
    after = _after(payment, at, dispute=dispute, outstanding=outstanding)
    entries = transfer(_payee(payment), held, amount, payment.currency, Phase.VOID_PENDING) + transfer(
        _clearing(payment), held, amount, payment.currency
    )
    return after, _journal(after, operation_id, Kind.REPRESENTMENT, entries)


def lose_dispute(payment: Payment, at: str) -> Step:
    """The amount stays with the cardholder: what was held is taken from the merchant. Raises `ImpossibleTransition`."""
    dispute, operation_id = _ended(payment, Command.LOSE_DISPUTE, "lost")
    after = _after(
        payment,
        at,
        dispute=dispute,
        amount_charged_back=payment.amount_charged_back + dispute.amount,
        outstanding=(*payment.outstanding, Operation(operation_id, "announce")),
    )
    held = accounts.disputes(payment.merchant_id)
    entries = transfer(_payee(payment), held, dispute.amount, payment.currency, Phase.POST_PENDING)
    return after, _journal(after, operation_id, Kind.CHARGEBACK, entries)


def status_of(payment: Payment) -> Status:
    """The status that a payment's amounts amount to.

    Whether an amount that is wholly reserved was approved yet is in no amount: there the payment's own word counts.
    """
    if payment.failure:
        return Status.FAILED
    if payment.dispute and payment.dispute.status == "open":
        return Status.DISPUTED
    if payment.capturable:
        if payment.amount_captured or payment.amount_released:
            return Status.PARTIALLY_CAPTURED
        return payment.status if payment.status is Status.PENDING else Status.REQUIRES_CAPTURE
    if not payment.amount_captured:
        return Status.CANCELED
    if payment.amount_charged_back:
        return Status.CHARGED_BACK
    if not payment.amount_refunded:
        return Status.SUCCEEDED
    return Status.PARTIALLY_REFUNDED if payment.refundable else Status.REFUNDED


def _check(payment: Payment, command: Command) -> None:
    if payment.status not in ALLOWED[command]:
        raise ImpossibleTransition(payment.status, command)


def _check_charged_back(payment: Payment, command: Command) -> None:
    """Nothing is returned after a lost dispute, also while a part of the authorization is still to be captured."""
    if payment.amount_charged_back:
        raise ImpossibleTransition(Status.CHARGED_BACK, command)


def _within(amount: int | None, available: int) -> int:
    """The amount, by default all there is. Raises `AmountExceeded`."""
    wanted = available if amount is None else amount
    if not 1 <= wanted <= available:
        raise AmountExceeded(available)
    return wanted


def _outstanding(payment: Payment, operation_id: str) -> Operation:
    operation = payment.operation(operation_id)
    if operation is None:
        raise ImpossibleTransition(payment.status, "end an operation that is not outstanding")
    return operation


def _without(payment: Payment, operation_id: str) -> tuple[Operation, ...]:
    return tuple(found for found in payment.outstanding if found.operation_id != operation_id)


def _ended(payment: Payment, command: Command, status: str) -> tuple[Dispute, str]:
    """The payment's dispute with its end, and the id of the journal that records it."""
    _check(payment, command)
    if payment.dispute is None:
        raise ImpossibleTransition(payment.status, command)
    return replace(payment.dispute, status=status), f"{payment.dispute.dispute_id}#{status}"


def _stepped(payment: Payment, at: str) -> Payment:
    return replace(payment, updated_at=at, sequence=payment.sequence + 1)


def _after(payment: Payment, at: str, **changes: Any) -> Payment:
    """The payment one step on, with the status its amounts then have."""
    changed = replace(_stepped(payment, at), **changes)
    return replace(changed, status=status_of(changed))


def _journal(
    after: Payment, journal_id: str, kind: Kind, entries: tuple[Entry, ...], reason: str | None = None
) -> Journal:
    return Journal(after.payment_id, journal_id, kind, after.updated_at, entries, after.sequence, reason)


def _captured(payment: Payment, amount: int) -> tuple[Entry, ...]:
    """The merchant is owed the amount less the fee, and no longer the customer owes it but the network."""
    fee = payment.fees.of_capture(payment.amount_captured, amount)
    return (
        transfer(_payer(payment), _payee(payment), amount, payment.currency, Phase.POST_PENDING)
        + transfer(_clearing(payment), _payer(payment), amount, payment.currency)
        + transfer(_payee(payment), accounts.FEES, fee, payment.currency)
    )


def _released(payment: Payment, amount: int) -> tuple[Entry, ...]:
    return transfer(_payer(payment), _payee(payment), amount, payment.currency, Phase.VOID_PENDING)


def _payer(payment: Payment) -> str:
    return accounts.customer(payment.merchant_id, payment.customer_id)


def _payee(payment: Payment) -> str:
    return accounts.merchant(payment.merchant_id)


def _clearing(payment: Payment) -> str:
    return accounts.network(payment.card["network"])
