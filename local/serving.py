"""What the HTTP stand-ins share: JSON in and out, and serving on loopback."""

import json
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from local.settings import HOST


class NotJson(ValueError):
    """The body is not a JSON object."""


async def json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object; raises `NotJson`."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise NotJson("the body is not JSON") from None
    if not isinstance(body, dict):
        raise NotJson("the body is not a JSON object")
    return body


def refusal(status: int, code: str, message: str, kind: str = "invalid_request_error") -> JSONResponse:
    """An error in the platform's format."""
    error = {"type": kind, "code": code, "message": message, "param": None, "payment_id": None, "request_id": None}
    return JSONResponse({"error": error}, status)


def server(app: ASGIApp, port: int) -> uvicorn.Server:
    """A server for this app on loopback; it drops open connections a second after it is told to stop."""
    return uvicorn.Server(
        uvicorn.Config(app, host=HOST, port=port, log_level="info", access_log=False, timeout_graceful_shutdown=1)
    )
