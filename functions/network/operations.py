"""The operations on a payment that the card network must hear of: captures, voids and refunds.

The books have them when a message comes here. The network is told, what follows is booked (of a refund the network's
decision), and the merchant is told. Every part may be repeated: the network knows an operation by its id, the books
end it once, and its event always has the same id.

The network is the arbiter of what two regions did to one payment without knowing of each other: of a void and a capture
of the same amount it takes one and refuses the other, for good, and what was booked of the other is taken back.
"""

from contextlib import suppress
from dataclasses import dataclass

from functions.network import card_network
from payments import books, clock, events, lifecycle
from payments.journal import Journal
from payments.lifecycle import Failure, Operation, Payment
from payments.observability import CONTRADICTIONS, count, logger
from payments.queues import TryLater

_ANNOUNCE, _CAPTURE, _VOID, _REFUND = "announce", "capture", "void", "refund"
_TRIES = 12
_LONGEST_WAIT_SECONDS = 0.3
"""Between tries when others change the payment at the same time: a random part of it, so that they spread out."""


def finish(payment_id: str, operation_id: str) -> Payment:
    """The payment once the operation has come to its end and its event is published; may be repeated at any point.

    Raises `TryLater` when the payment or the operation is not here yet, and when the network's answer is unknown.
    """
    payment = books.find(payment_id, consistent=True)
    if payment and payment.operation(operation_id) is None:
        payment, _ = books.current(payment_id) or (None, [])  # has it ended, or has the payment lost it?
    if payment is None:
        raise TryLater("the payment is not here yet")
    operation = payment.operation(operation_id)
    if operation:
        payment = _end(payment, operation, _tell(payment, operation))
    result = events.operation_result(payment, books.journals(payment_id), operation_id)
    if result is None:
        raise TryLater("the operation is not here yet")
    events.publish(events.PAYMENT_RESULT, result)
    return payment


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Why the network declined the operation, or (`rest`) only what a final capture was to release; None where it took
    it."""

    declined: Failure | None = None
    rest: Failure | None = None


def _tell(payment: Payment, operation: Operation) -> _Verdict:
    """What the network made of the operation. What was captured before is told first.

    The captures are not ended here: each has a message of its own, which also tells the merchant.
    """
    if operation.kind == _ANNOUNCE:
        return _Verdict()
    for earlier in payment.outstanding[: payment.outstanding.index(operation)]:
        if earlier.kind == _CAPTURE:
            _told(payment, earlier)
    verdict = _told(payment, operation)
    if operation.kind != _REFUND and (verdict.declined or verdict.rest):
        _alarm(payment, operation, verdict)
    return verdict


def _told(payment: Payment, operation: Operation) -> _Verdict:
    declined = card_network.tell(payment, operation)
    if declined or not operation.released:
        return _Verdict(declined)
    rest = Operation(f"{operation.operation_id}{lifecycle.REST}", _VOID, operation.released)
    return _Verdict(rest=card_network.tell(payment, rest))


def _alarm(payment: Payment, operation: Operation, verdict: _Verdict) -> None:
    """Merchants are told that something was done which now is not: somebody should know how that came to be."""
    told = {
        "payment_id": payment.payment_id,
        "operation_id": operation.operation_id,
        "code": verdict.declined.code if verdict.declined else None,
        "rest_code": verdict.rest.code if verdict.rest else None,
    }
    logger.critical("the card network refused what the books have", extra=told)
    count(CONTRADICTIONS)


def _end(payment: Payment, operation: Operation, verdict: _Verdict) -> Payment:
    """The payment without the operation, whoever ended it. Raises `TryLater` when others are always first."""
    for attempt in range(_TRIES):
        with suppress(books.Contention):
            payment = books.step(payment, *_ended(payment, operation, verdict))
        if payment.operation(operation.operation_id) is None:
            return payment
        clock.pause(_LONGEST_WAIT_SECONDS * (attempt + 1) / _TRIES)
    raise TryLater("others are changing the payment")


def _ended(payment: Payment, operation: Operation, verdict: _Verdict) -> tuple[Payment, Journal | None]:
    operation_id, at = operation.operation_id, clock.now()
    if operation.kind == _REFUND:
        return lifecycle.end_refund(payment, operation_id, verdict.declined, at)
    refused = verdict.declined or verdict.rest
    if refused is None:
        return lifecycle.end_operation(payment, operation_id, at), None
    made = books.find_journal(payment.payment_id, operation_id)
    if made is None:
        raise TryLater("the operation's journal is not here yet")
    return lifecycle.refuse_operation(payment, made, refused, at, rest_only=verdict.declined is None)
