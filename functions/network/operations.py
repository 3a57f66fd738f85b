"""The operations on a payment that the card network must hear of: captures, voids and refunds.

The books have them when a message comes here. The network is told, what follows is booked (of a refund the network's
decision), and the merchant is told. Every part may be repeated: the network knows an operation by its id, the books
end it once, and its event always has the same id.
"""

from contextlib import suppress

from functions.network import card_network
from payments import books, clock, events, lifecycle
from payments.journal import Journal
from payments.lifecycle import Failure, Operation, Payment
from payments.queues import TryLater

_ANNOUNCE, _CAPTURE, _VOID, _REFUND = "announce", "capture", "void", "refund"
_TRIES = 12
_LONGEST_WAIT_SECONDS = 0.3
"""Between tries when others change the payment at the same time: a random part of it, so that they spread out."""


def finish(payment_id: str, operation_id: str) -> Payment:
    """The payment once the operation has come to its end and its event is published; may be repeated at any point.

    Raises `TryLater` when the payment or the operation is not here yet, when the network's answer is unknown, and when
    it refuses a capture or void: the books have it, so that is for a person to look into.
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


def _tell(payment: Payment, operation: Operation) -> Failure | None:
    """Why the network declined the operation, a refund, or None. What was captured before is told first.

    The captures are not ended here: each has a message of its own, which also tells the merchant.
    """
    if operation.kind == _ANNOUNCE:
        return None
    before = payment.outstanding[: payment.outstanding.index(operation)]
    for earlier in (*(found for found in before if found.kind == _CAPTURE), operation):
        declined = card_network.tell(payment, earlier)
        if earlier.released and not declined:
            rest = Operation(f"{earlier.operation_id}#rest", _VOID, earlier.released)
            declined = card_network.tell(payment, rest)
        if declined and earlier.kind != _REFUND:
            raise TryLater(f"the card network declined a {earlier.kind}")
    return declined


def _end(payment: Payment, operation: Operation, declined: Failure | None) -> Payment:
    """The payment without the operation, whoever ended it. Raises `TryLater` when others are always first."""
    for attempt in range(_TRIES):
        with suppress(books.Contention):
            payment = books.step(payment, *_ended(payment, operation, declined))
        if payment.operation(operation.operation_id) is None:
            return payment
        clock.pause(_LONGEST_WAIT_SECONDS * (attempt + 1) / _TRIES)
    raise TryLater("others are changing the payment")


def _ended(payment: Payment, operation: Operation, declined: Failure | None) -> tuple[Payment, Journal | None]:
    if operation.kind == _REFUND:
        return lifecycle.end_refund(payment, operation.operation_id, declined, clock.now())
    return lifecycle.end_operation(payment, operation.operation_id, clock.now()), None
