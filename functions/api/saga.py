"""Runs the charge saga and waits for its end (Step Functions Express, StartSyncExecution)."""

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from functions.api.settings import settings
from payments.clients import client
from payments.errors import ProcessingFailed
from payments.observability import logger

_READ_TIMEOUT_SECONDS = 14
"""With the time that a forwarded write may take (`functions.api.routing`) within API Gateway's 29 seconds: a saga that
takes longer goes on to its end without us, and the merchant is told to send the same request again."""


def run(charge: dict[str, Any]) -> dict[str, Any]:
    """The saga's output for this input.

    Raises `ProcessingFailed` when it did not come to an end: the payment may or may not exist, and a retry with the
    same key finishes it.
    """
    try:
        execution = _execute(charge)
    except (BotoCoreError, ClientError) as error:
        logger.warning("no answer from the saga", extra={"fault": type(error).__name__})
        raise unfinished(charge["payment_id"]) from None
    if execution["status"] != "SUCCEEDED":
        raise unfinished(charge["payment_id"])
    output: dict[str, Any] = json.loads(execution["output"])
    return output


def _execute(charge: dict[str, Any]) -> dict[str, Any]:
    machines = client("stepfunctions", read_timeout=_READ_TIMEOUT_SECONDS, attempts=1)
    execution: dict[str, Any] = machines.start_sync_execution(
        stateMachineArn=settings().charge_state_machine_arn, name=charge["attempt"], input=json.dumps(charge)
    )
    return execution


def unfinished(payment_id: str) -> ProcessingFailed:
    """The error for a charge that did not come to an end."""
    sentence = "The charge could not be finished; send the same request again."
    return ProcessingFailed("processing_failed", sentence, payment_id=payment_id)
