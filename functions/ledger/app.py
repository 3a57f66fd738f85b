"""Lambdas on the books: `payments-ledger`, the saga's steps; `payments-ledger-command`, commands on a payment that is
there; `payments-ledger-book`, an operator's bookings. Contract: docs/interfaces.md, "The saga" and "The ledger"."""

from typing import Any

import msgspec

from functions.ledger import charges
from payments.observability import logger


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Runs one operation, `post`, `abandon` or `record_blocked`; the answer's `result` says what it came to."""
    answer = charges.run(event["operation"], event["charge"], event["fraud"])
    _log("ledger", event["operation"], answer["result"], event["charge"]["payment_id"])
    return answer


def command(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Carries out a command, such as `capture` or `refund`; the answer's `result` says what it came to.

    Raises `msgspec.ValidationError` when the event is no such command.
    """
    from functions.ledger import commands  # the saga's function does without it

    request = msgspec.convert(event, commands.Request)
    answer = commands.run(request)
    _log("command", request.command, answer["result"], request.payment_id)
    return answer


def book(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Books what an operator or reconciliation asks for. Raises `msgspec.ValidationError` when it is no booking."""
    from functions.ledger import bookings

    answer = bookings.book(msgspec.convert(event, bookings.Booking))
    _log("booking", event["kind"], answer["result"], answer.get("journal", event).get("payment_id"))
    return answer


def _log(message: str, operation: str, result: str, subject: str) -> None:
    logger.info(message, extra={"operation": operation, "result": result, "subject": subject})
