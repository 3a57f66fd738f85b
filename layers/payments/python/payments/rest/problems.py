"""Errors as the API answers them: the one place where an exception becomes a response."""

import json
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types

from payments.errors import PaymentsError, ProcessingFailed
from payments.observability import logger

_RETRY_AFTER_SECONDS = "1"
_FAULT = ProcessingFailed("internal_error", "Something went wrong on our side; the same request may be sent again.")


def response(error: Exception, request_id: str) -> Response[Any]:
    """The answer to an error. A fault of ours is logged by its type alone: its text could carry what a client sent."""
    if not isinstance(error, PaymentsError):
        logger.error("unexpected fault", extra={"fault": type(error).__name__, "where": _origin(error)})
        error = _FAULT
    body = {
        "type": error.type,
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "payment_id": error.payment_id,
        "request_id": request_id,
    }
    headers = {"Retry-After": _RETRY_AFTER_SECONDS} if error.passing else {}
    return Response(error.status, content_types.APPLICATION_JSON, json.dumps({"error": body}), headers=headers)


def _origin(error: Exception) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "unknown"
