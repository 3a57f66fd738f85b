"""Lambda `payments-ledger`: the saga's steps on the books. Contract: docs/interfaces.md, "The saga"."""

from typing import Any

from functions.ledger import charges
from payments.observability import logger


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Runs one operation, `post`, `abandon` or `record_blocked`; the answer's `result` says what it came to."""
    operation = charges.OPERATIONS[event["operation"]]
    answer = operation(charges.opened(event["charge"], event["fraud"]))
    logger.info(
        "ledger",
        extra={
            "operation": event["operation"],
            "result": answer["result"],
            "payment_id": event["charge"]["payment_id"],
        },
    )
    return answer
