"""What a decision books, by invoking the ledger's own function in the region that writes for the shard."""

from collections.abc import Mapping
from typing import Any

from functions.operations.settings import settings
from payments import invocation, regions
from payments.clients import client
from payments.errors import Conflict, ProcessingFailed
from payments.observability import logger

_READ_TIMEOUT_SECONDS = 10
_ATTEMPTS = 2
"""Both tries of both bookings stay within API Gateway's 29 seconds when the ledger answers as it does; if not, the same
request goes on where this one stopped."""


def book(shard: int, booking: Mapping[str, Any]) -> None:
    """Books it, once for each reference.

    Raises `ProcessingFailed` when the ledger does not answer, or the shard moves, and `Conflict` when it will not book
    this, which its checks beforehand make a matter for a person.
    """
    region = regions.primary(shard)
    endpoint = regions.endpoints().get(region)
    functions = client("lambda", region, endpoint, read_timeout=_READ_TIMEOUT_SECONDS, attempts=_ATTEMPTS)
    try:
        answer = invocation.ask(functions, settings().book_function, dict(booking))
    except invocation.NoAnswer:
        raise _unfinished() from None
    if answer.get("code") in regions.MOVING:
        raise _unfinished()
    if answer["result"] not in ("written", "exists"):
        refused = {"reference": booking["reference"], "result": answer["result"], "code": answer.get("code")}
        logger.critical("the ledger does not book a decision", extra=refused)
        raise Conflict("booking_refused", "The ledger does not book this; nothing else of it was done.")


def _unfinished() -> ProcessingFailed:
    return ProcessingFailed("processing_failed", "This is not finished; send the same request again.")
