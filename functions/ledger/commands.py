"""Commands on a payment that exists: capture, void, refund, the course of a dispute, and the end of a review.

A command is one transaction: the payment's next state, its journals, and the command's own record, which is what makes
a repetition of the command find its answer. What the card network must hear of is outstanding until it has; the
event that says so may be lost, because the sweeper looks for what is outstanding.
"""

from dataclasses import asdict
from typing import Any, Literal

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from functions.ledger import fencing
from payments import books, clock, events, identifiers, lifecycle
from payments.books import CommandRecord
from payments.journal import Journal
from payments.lifecycle import AmountExceeded, ImpossibleTransition, NotInReview, Payment, ReviewDecision
from payments.observability import logger

_TRIES = 12
_LONGEST_WAIT_SECONDS = 0.4
"""Between tries when others change the payment at the same time: a random part of it, so that they spread out. All
tries together take a few seconds at most, within the time-out of whoever asks."""


class Request(msgspec.Struct, frozen=True):
    """What is asked; docs/interfaces.md, "The ledger"."""

    command: Literal["capture", "void", "refund", "open_dispute", "win_dispute", "lose_dispute", "approve", "decline"]
    payment_id: str
    merchant_id: str
    key: str
    fingerprint: str
    origin: Literal["merchant", "operator", "platform"] = "platform"
    """Whose key it is: a merchant's cannot collide with an operator's, or one of the platform's own."""
    amount: int | None = None
    final: bool = False
    reason: str | None = None
    by: str | None = None
    """Which operator asks to approve or decline."""


Answer = dict[str, Any]

_BUSY = "Others are changing the payment at this moment; nothing was done, send the same request again."


def run(request: Request) -> Answer:
    """Carries out the command, once for each key, in the region that writes for the payment's shard only.

    `done`, `replayed` with the first answer, which any region gives that knows it, or `refused` with the reason.
    """
    command_id = identifiers.command_id(request.merchant_id, request.key, request.origin)
    if done := books.command_record(command_id):
        return _replayed(done, request)
    if refusal := fencing.refusal(identifiers.merchant_shard(request.merchant_id)):
        return _refused(*refusal)
    for wait in (*(_LONGEST_WAIT_SECONDS * (number + 1) / _TRIES for number in range(_TRIES)), None):
        answer = _tried(request, command_id)
        if answer:
            return answer
        if wait is not None:
            clock.pause(wait)
        if done := books.command_record(command_id):
            return _replayed(done, request)
    return _refused("payment_busy", _BUSY)


def _tried(request: Request, command_id: str) -> Answer | None:
    """What one try came to; None when others were at the payment. Raises `ReplicationGap`."""
    try:
        found = books.current(request.payment_id)
    except books.Contention:
        return None
    if found is None or found[0].merchant_id != request.merchant_id:
        return _refused("payment_not_found", "There is no such payment.")
    payment, journals = found
    if {journal.journal_id for journal in journals} & _operations(command_id):
        return _done_meanwhile(request, command_id)
    try:
        answer = _carry_out(request, command_id, payment)
    except ImpossibleTransition as error:
        return _refused("payment_state_invalid", f"A payment that is {error.status} cannot be asked for this.")
    except AmountExceeded as error:
        return _refused("amount_too_large", f"The amount must be between 1 and {error.available}.", "amount")
    except NotInReview:
        done = books.command_record(command_id)  # somebody has decided it by now: perhaps this very command
        refused = _refused("not_in_review", "This payment is not in review, or somebody has decided it.")
        return _replayed(done, request) if done else refused
    return {"result": "done", "answer": answer} if answer else None


def _operations(command_id: str) -> set[str]:
    """The ids that the command's journal may have."""
    return {identifiers.operation_id(prefix, command_id) for prefix in ("cap", "vod", "ref", "dsp")}


def _done_meanwhile(request: Request, command_id: str) -> Answer:
    """The answer of a command whose journal is here. Raises `ReplicationGap` when its record is not."""
    done = books.command_record(command_id)
    if done is None:
        raise books.ReplicationGap(request.payment_id)
    return _replayed(done, request)


def _carry_out(request: Request, command_id: str, payment: Payment) -> Answer | None:
    """The answer when the command was carried out on the payment as it was read; None when it was not."""
    at = clock.now()
    after, journals = _steps(request, command_id, payment, at)
    answer = _answer(request, after, journals)
    record = CommandRecord(command_id, request.merchant_id, request.fingerprint, answer, at)
    if not books.execute(payment, after, journals, record):
        return None
    for journal in journals:
        _announce(after, journal.journal_id)
    return answer


def _steps(request: Request, command_id: str, payment: Payment, at: str) -> tuple[Payment, tuple[Journal, ...]]:
    """The payment after the command, and its journals. Raises what the lifecycle raises."""
    if request.command in ("approve", "decline"):
        decision = ReviewDecision(request.command, request.by or request.origin, at, request.reason or "")
        own_ids = (identifiers.operation_id(prefix, command_id) for prefix in ("vod", "ref"))
        return lifecycle.decide_review(payment, decision, *own_ids)
    after, journal = _step(request, command_id, payment, at)
    return after, (journal,)


def _step(request: Request, command_id: str, payment: Payment, at: str) -> lifecycle.Step:
    match request.command:
        case "capture":
            operation_id = identifiers.operation_id("cap", command_id)
            return lifecycle.capture(payment, operation_id, request.amount, request.final, at)
        case "void":
            return lifecycle.void(payment, identifiers.operation_id("vod", command_id), at, request.reason)
        case "refund":
            operation_id = identifiers.operation_id("ref", command_id)
            return lifecycle.refund(payment, operation_id, request.amount, at, request.reason)
        case "open_dispute":
            dispute_id = identifiers.operation_id("dsp", command_id)
            return lifecycle.open_dispute(payment, dispute_id, request.amount, at, request.reason)
        case "win_dispute":
            return lifecycle.win_dispute(payment, at)
        case _:
            return lifecycle.lose_dispute(payment, at)


def _answer(request: Request, after: Payment, journals: tuple[Journal, ...]) -> Answer:
    """What the command's caller is told, now and whenever it is repeated."""
    if request.command == "refund":
        return events.refund_resource(after.payment_id, journals[0].journal_id, journals)
    if after.review_decision and request.command in ("approve", "decline"):
        operations = [journal.journal_id for journal in journals]
        return {"payment": events.resource(after), **asdict(after.review_decision), "operations": operations}
    if after.dispute and request.command in ("open_dispute", "win_dispute", "lose_dispute"):
        dispute = after.dispute
        return {
            "id": dispute.dispute_id,
            "object": "dispute",
            "payment_id": after.payment_id,
            "amount": dispute.amount,
            "currency": after.currency,
            "status": dispute.status,
            "reason": dispute.reason,
            "created_at": after.updated_at,
        }
    return events.resource(after)


def _announce(payment: Payment, operation_id: str) -> None:
    """Sends the operation to the network worker. If that fails the sweeper does it within two minutes."""
    try:
        events.publish(events.PAYMENT_COMMAND, events.payment_command(payment, operation_id))
    except (events.PublishFailed, BotoCoreError, ClientError) as error:
        fault = {"payment_id": payment.payment_id, "fault": type(error).__name__}
        logger.warning("operation not announced, left to the sweeper", extra=fault)


def _replayed(done: CommandRecord, request: Request) -> Answer:
    if done.fingerprint != request.fingerprint:
        return _refused("idempotency_key_reused", "This idempotency key was used with another request.")
    return {"result": "replayed", "answer": done.answer}


def _refused(code: str, message: str, param: str | None = None) -> Answer:
    return {"result": "refused", "code": code, "message": message, "param": param}
