"""Decisions about reviews, carried out by the ledger's own function in the region that writes for the shard.

It keeps its answer under the operator's idempotency key, so a request may be sent again at any time.
"""

from hashlib import sha256
from typing import Any, Literal

from functions.operations.settings import settings
from payments import invocation, proofs, regions
from payments.clients import client
from payments.errors import Busy, Conflict, IdempotencyKeyReused, NotFound, PaymentsError, ProcessingFailed
from payments.lifecycle import Payment

Decision = Literal["approve", "decline"]

_READ_TIMEOUT_SECONDS = 10
_ATTEMPTS = 2
"""The ledger tries for a few seconds when others change the payment at the same time. Both tries stay within API
Gateway's 29 seconds."""

_REFUSALS: dict[str, type[PaymentsError]] = {
    "payment_not_found": NotFound,
    "idempotency_key_reused": IdempotencyKeyReused,
    "payment_state_invalid": Busy,
    "not_in_review": Conflict,
    "payment_busy": Busy,
}
"""The only state that does not allow a decision passes: the card network has not answered yet."""


def carry_out(payment: Payment, decision: Decision, by: str, key: str, reason: str) -> dict[str, Any]:
    """The ledger's answer, with its `result`, `done` or `replayed`.

    Raises `Conflict` when it is not in review (any more), `Busy` when the card network has not decided yet or others
    are at the payment, `IdempotencyKeyReused`, and `ProcessingFailed` when the ledger does not answer or the shard
    moves.
    """
    asked = {"command": decision, "payment_id": payment.payment_id, "reason": reason}
    request = {
        **asked,
        "merchant_id": payment.merchant_id,
        "key": key,
        "origin": "operator",
        "by": by,
        "fingerprint": sha256(proofs.canonical(asked).encode()).hexdigest(),
    }
    region = regions.primary(payment.shard)
    endpoint = regions.endpoints().get(region)
    functions = client("lambda", region, endpoint, read_timeout=_READ_TIMEOUT_SECONDS, attempts=_ATTEMPTS)
    try:
        answer = invocation.ask(functions, settings().command_function, request)
    except invocation.NoAnswer:
        raise _unfinished() from None
    if answer["result"] == "refused":
        if answer["code"] in regions.MOVING:
            raise _unfinished()
        raise _REFUSALS[answer["code"]](answer["code"], answer["message"], answer["param"], payment.payment_id)
    return answer


def _unfinished() -> ProcessingFailed:
    return ProcessingFailed("processing_failed", "This is not finished; send the same request again.")
