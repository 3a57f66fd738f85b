"""`/operations/v1/conflicts`: two requests under one idempotency key, both accepted, and which of them stands."""

from collections.abc import Sequence
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.operations import caller, requests, resources, review_queue
from functions.operations.queries import ConflictsQuery
from functions.operations.requests import Acknowledge
from payments import clock, conflicts, identifiers, proofs
from payments.conflicts import Acknowledgement, Conflict
from payments.errors import Busy, IdempotencyKeyReused, NotFound
from payments.errors import Conflict as NotPossible
from payments.listings import InvalidCursor
from payments.rest import exchange
from payments.rest.queries import decode
from payments.store import Contention

router = APIGatewayRouter()
REPLAYED = "Idempotent-Replayed"
_PATH = "/operations/v1/conflicts"
_LISTS = {"open": conflicts.OPEN, "resolved": conflicts.RESOLVED}


@router.get(_PATH)
def listed() -> Response[Any]:
    """Those that are open, or resolved, the oldest first."""
    event = router.current_event
    caller.operator(event)
    query = decode(event, ConflictsQuery)
    opened = query.state == "open"

    def read(keys: Sequence[str]) -> list[Conflict]:
        """What the index shows and is so; it may be a moment behind."""
        payment_ids = [key.partition("#")[0] for key in keys]
        found = conflicts.find_all(payment_ids)
        return [found[name] for name in payment_ids if name in found and (found[name].resolution is None) is opened]

    try:
        page = review_queue.walk(_LISTS[query.state], read, _id, _position, query.limit, query.cursor)
    except InvalidCursor:
        raise query.invalid_cursor() from None
    seen = conflicts.acknowledgements(map(_id, page.data))
    return exchange.page(event, page, [resources.conflict(found, seen.get(_id(found))) for found in page.data])


@router.get(f"{_PATH}/<payment_id>")
def one(payment_id: str) -> Response[Any]:
    """A conflict with both its sides."""
    event = router.current_event
    caller.operator(event)
    return _answer(_found(payment_id), conflicts.acknowledgements([payment_id], consistent=True).get(payment_id))


@router.post(f"{_PATH}/<payment_id>/acknowledge")
def acknowledge(payment_id: str) -> Response[Any]:
    """Say that it was seen to, and how; once."""
    by, key, body = requests.decision(router.current_event, Acknowledge)
    found = _found(payment_id)
    fingerprint = sha256(proofs.canonical({"conflict": payment_id, "reason": body.reason}).encode()).hexdigest()
    asked = Acknowledgement(by, clock.now(), body.reason, key, fingerprint)
    try:
        standing = conflicts.acknowledge(found, asked)
    except Contention:
        raise Busy("conflict_busy", "Others are at it at this moment; nothing was done.") from None
    if standing is asked:
        return _answer(found, standing)
    if standing.key != key:
        raise NotPossible("conflict_acknowledged", "Somebody has acknowledged it.")
    if standing.fingerprint != fingerprint:
        sentence = "This idempotency key was used with another request."
        raise IdempotencyKeyReused("idempotency_key_reused", sentence, param="Idempotency-Key")
    return _answer(found, standing, {REPLAYED: "true"})


def _found(payment_id: str) -> Conflict:
    found = conflicts.find(payment_id) if identifiers.is_identifier(payment_id, "pay") else None
    if found is None:
        raise NotFound("conflict_not_found", "There is no conflict under this payment id.")
    return found


def _answer(found: Conflict, seen: Acknowledgement | None, headers: dict[str, str] | None = None) -> Response[Any]:
    request_id = exchange.request_id(router.current_event)
    return exchange.answer(HTTPStatus.OK, {**resources.conflict(found, seen), "request_id": request_id}, headers or {})


def _position(payment_id: str) -> str:
    found = conflicts.find(payment_id) if identifiers.is_identifier(payment_id, "pay") else None
    if found is None:
        raise InvalidCursor(payment_id)
    return found.listed_as


def _id(found: Conflict) -> str:
    return found.payment_id
