"""`GET /health`: whether this region can take a charge. Route 53 asks, and whoever watches over the regions."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from threading import Lock
from typing import Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import probes
from functions.api.operations import Operation, describes
from functions.api.probes import Probed
from functions.api.resources import Check, Health
from functions.api.settings import settings
from payments import clock, regions
from payments.observability import logger
from payments.rest import exchange

Status = Literal["ok", "degraded", "unavailable", "failed_over"]

REUSED = timedelta(seconds=1)
"""How long an answer serves other requests of the same process: dozens of checkers ask, and each of them often. By the
wall clock: the other one may stand still while Lambda has the process frozen."""

NOT_NEEDED = frozenset({"bus"})
"""Without these charges are taken all the same: the sweeper publishes later what the bus did not take."""

_IN_SERVICE = frozenset({"ok", "degraded"})

router = APIGatewayRouter()
_turn = Lock()
_known: tuple[dict[str, Probed], datetime] | None = None


@router.get("/health")
@describes(Operation(answers={200: Health, 503: Health}, public=True))
def health() -> Response[Any]:
    """Whether this region can take a charge.

    200 with `ok`, or `degraded` when something is away without which charges are still taken. 503 with `unavailable`,
    or `failed_over` when operators have taken the region out of service. Answers within a second and a half.
    """
    found = _found()
    status = _status(found)
    body = Health(
        status=status,
        region=regions.here(),
        checks={name: Check(probed.state, probed.ms) for name, probed in found.items()},
        request_id=exchange.request_id(router.current_event),
    )
    return exchange.answer(HTTPStatus.OK if status in _IN_SERVICE else HTTPStatus.SERVICE_UNAVAILABLE, body)


def _found() -> dict[str, Probed]:
    """What the charge path's probes came to, at most `REUSED` ago. One request asks, those that come meanwhile wait."""
    global _known
    with _turn:
        if _known is None or not timedelta(0) <= clock.utc() - _known[1] < REUSED:
            until = clock.monotonic() + settings().health_budget_ms / 1000
            found = probes.ask(probes.charge_path(), until)
            _known = found, clock.utc()
            _tell(found)
        return _known[0]


def _status(found: Mapping[str, Probed]) -> Status:
    away = {name for name, probed in found.items() if probed.state != "ok"}
    if found["shards"].found:
        return "failed_over"
    if away - NOT_NEEDED:
        return "unavailable"
    return "degraded" if away else "ok"


def _tell(found: Mapping[str, Probed]) -> None:
    """Faults go to the log, by their types; the answer, which anybody may read, has none."""
    faults = {name: probed.fault for name, probed in found.items() if probed.fault}
    if faults:
        logger.warning("not healthy", extra={"faults": faults})
