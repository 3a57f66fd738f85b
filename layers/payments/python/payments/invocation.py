"""Invokes other Lambda functions and waits for their answers."""

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from payments.observability import logger


class NoAnswer(RuntimeError):
    """The function could not be reached, took too long, or broke: what it did is not known."""


def ask(service: Any, function: str, request: dict[str, Any]) -> dict[str, Any]:
    """The function's answer to the request; `service` is a client of Lambda. Raises `NoAnswer`."""
    try:
        answer = service.invoke(FunctionName=function, Payload=json.dumps(request).encode())
    except (BotoCoreError, ClientError) as error:
        raise _no_answer(function, type(error).__name__) from None
    if "FunctionError" in answer:
        raise _no_answer(function, "FunctionError")
    content: dict[str, Any] = json.loads(answer["Payload"].read())
    return content


def _no_answer(function: str, fault: str) -> NoAnswer:
    """A fault is logged by its type alone: a function's error text is not ours to vouch for."""
    logger.warning("a function does not answer", extra={"function": function, "fault": fault})
    return NoAnswer(function)
