"""A payment that its merchant asks for."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from functions.api import caller, routing
from payments import books, identifiers
from payments.errors import NotFound
from payments.lifecycle import Payment

ERRORS = {404: ("payment_not_found",), 503: ("processing_failed",)}
"""What asking for a payment may be refused with."""


def payment(event: APIGatewayProxyEvent, payment_id: str) -> Payment | Response[Any]:
    """The merchant's payment as this region has it, with everything that was done here.

    Where it is not here, the whole answer of the region that writes for its shard, if that is another one: what was
    accepted there on this region's behalf may not have been replicated yet. Raises `NotFound`, and `ProcessingFailed`
    when that region does not answer: whether there is such a payment is then not known.
    """
    merchant = caller.merchant(event)
    if not identifiers.is_identifier(payment_id, "pay") or identifiers.shard_of(payment_id) != merchant.shard:
        raise _not_found()
    found = books.find(payment_id, consistent=True)
    if found is None:
        elsewhere = routing.only_forward(event.raw_event, merchant.shard, b"")
        if elsewhere:
            return routing.forwarded(elsewhere)
    if found is None or found.merchant_id != merchant.merchant_id:
        raise _not_found()
    return found


def _not_found() -> NotFound:
    return NotFound("payment_not_found", "There is no such payment.")
