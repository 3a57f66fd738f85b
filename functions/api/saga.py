"""Runs the charge saga and waits for its end (Step Functions Express, StartSyncExecution)."""

import json
from typing import Any

from functions.api.settings import settings
from payments.clients import client
from payments.errors import ProcessingFailed

_READ_TIMEOUT_SECONDS = 65
"""A little longer than the state machine's own time-out, so that it and not the connection decides."""


def run(charge: dict[str, Any]) -> dict[str, Any]:
    """The saga's output for this input.

    Raises `ProcessingFailed` when it did not come to an end: the payment may or may not exist, and a retry with the
    same key finishes it.
    """
    execution = client("stepfunctions", read_timeout=_READ_TIMEOUT_SECONDS, attempts=1).start_sync_execution(
        stateMachineArn=settings().charge_state_machine_arn,
        name=charge["attempt"],
        input=json.dumps(charge),
    )
    if execution["status"] != "SUCCEEDED":
        raise unfinished(charge["payment_id"])
    output: dict[str, Any] = json.loads(execution["output"])
    return output


def unfinished(payment_id: str) -> ProcessingFailed:
    """The error for a charge that did not come to an end."""
    sentence = "The charge could not be finished; send the same request again."
    return ProcessingFailed("processing_failed", sentence, payment_id=payment_id)
