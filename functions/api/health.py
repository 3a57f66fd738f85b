"""`GET /health`: whether this region can take a charge; Route 53 probes it."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from functions.api.operations import Operation, describes
from functions.api.resources import Health
from payments import books, identifiers, regions
from payments.rest import exchange

router = APIGatewayRouter()
_NO_PAYMENT = identifiers.payment_id("mer_health", "health")


@router.get("/health")
@describes(Operation(answers={200: Health, 503: Health}, public=True))
def health() -> Response[Any]:
    """Whether this region can take a charge.

    200 when the payments table and the shard map answer, else 503; says which of them does not.
    """
    checks = {name: _works(probe) for name, probe in _PROBES.items()}
    healthy = all(checks.values())
    body = Health(
        status="ok" if healthy else "degraded",
        region=regions.here(),
        checks={name: "ok" if works else "failed" for name, works in checks.items()},
        request_id=exchange.request_id(router.current_event),
    )
    return exchange.answer(HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE, body)


_PROBES: dict[str, Callable[[], object]] = {
    "payments": lambda: books.find(_NO_PAYMENT),
    "shards": lambda: regions.primary(0),
}


def _works(probe: Callable[[], object]) -> bool:
    try:
        probe()
    except (BotoCoreError, ClientError, PynamoDBException):
        return False
    return True
