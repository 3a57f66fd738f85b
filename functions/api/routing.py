"""Writes go to the primary region of the merchant's shard, by invoking this function's twin there, and so do questions
for a payment that is not here. Once: a twin never sends on what was sent to it, whatever its own map says."""

import json
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types
from botocore.exceptions import BotoCoreError, ClientError

from functions.api.settings import settings
from payments import clock, regions
from payments.clients import client
from payments.errors import ProcessingFailed
from payments.observability import logger

FORWARDED_BY = "forwarded_by"
"""Marks an event that a twin sent. API Gateway builds the events of clients, so no client can set it."""

RECEIVED_AT = "received_at"
"""In an event, when the first region took it: where both regions come to do a charge, it is of one time in both."""

TAKEOVER_SECONDS = 5
"""How long for what this region can do in the primary's place: longer than a charge takes that finds every function of
the primary cold (3.4 s, `bench.lambda_pool`), and not much, because every environment waits once for a primary that is
frozen."""

PATIENCE_SECONDS = 8
"""How long for what only the primary can do: one try of its ledger (`functions.api.commands`), and a second."""

PAUSE_SECONDS = 30
"""How long a region that did not answer is not asked again by this process: only one request waits for a frozen one."""

_paused_until: dict[str, float] = {}


def only_forward(event: dict[str, Any], shard: int, body: bytes) -> dict[str, Any] | None:
    """As `forward`, for what no other region may do (or know) in the primary's place: None when this region is it.

    Two regions that refund a payment each from its own copy would refund it twice; a charge is the same one in both.
    Raises `ProcessingFailed` when the primary does not answer, also for as long as it is left alone.
    """
    answer = forward(event, shard, body, PATIENCE_SECONDS)
    if answer is None and regions.primary(shard) != regions.here():
        raise ProcessingFailed("processing_failed", "This could not be finished; send the same request again.")
    return answer


def forward(event: dict[str, Any], shard: int, body: bytes, seconds: float = TAKEOVER_SECONDS) -> dict[str, Any] | None:
    """The answer of the primary region's twin to this event with this body; None when this region is to do the work.

    That is when it is the primary, when the event was forwarded already, or when the primary does not answer within so
    many seconds: doing it here instead is safe, because both regions derive the same ids and the card network is
    idempotent on them.
    """
    primary = regions.primary(shard)
    if primary == regions.here() or event.get(FORWARDED_BY) or clock.monotonic() < _paused_until.get(primary, 0):
        return None
    forwarded = {**event, "body": body.decode(), "isBase64Encoded": False, FORWARDED_BY: regions.here()}
    twin = client("lambda", primary, regions.endpoints().get(primary), read_timeout=seconds, attempts=1)
    try:
        answer = twin.invoke(FunctionName=settings().aws_lambda_function_name, Payload=json.dumps(forwarded))
    except (BotoCoreError, ClientError) as error:
        logger.warning("primary region does not answer", extra={"primary": primary, "fault": type(error).__name__})
        _paused_until[primary] = clock.monotonic() + PAUSE_SECONDS
        return None
    if "FunctionError" in answer:
        logger.warning("primary region failed", extra={"primary": primary})
        return None
    content: dict[str, Any] = json.loads(answer["Payload"].read())
    return content


def forwarded(answered: dict[str, Any]) -> Response[Any]:
    """What the twin in the primary region answered, as it is."""
    headers = {name: values[0] for name, values in (answered.get("multiValueHeaders") or {}).items()}
    return Response(answered["statusCode"], content_types.APPLICATION_JSON, answered["body"], headers)
