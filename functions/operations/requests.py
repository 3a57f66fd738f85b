"""What operators may send: parsed into typed values, or refused with the field's name and never its content."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta

from functions.operations import caller, names
from payments import clock, proofs
from payments.errors import InvalidRequest
from payments.rest import bodies, exchange
from payments.transfers import MAXIMUM_TRANSFER

MAXIMUM_KEY_LENGTH = 255
_MAXIMUM_NAME = 200

Text = Annotated[str, Meta(min_length=1, max_length=bodies.MAXIMUM_TEXT)]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of a discrepancy, a review or a conflict."""


class Assign(Body, frozen=True):
    """Who sees to it; null is nobody."""

    assignee: Annotated[str, Meta(min_length=1, max_length=_MAXIMUM_NAME)] | None


class Comment(Body, frozen=True):
    """Something worth knowing about it."""

    text: Text


class Resolve(Body, frozen=True, omit_defaults=True):
    """What is decided about it, and why; `until` a day to wait for, `amount` what a merchant is given or loses."""

    action: Literal["accept", "adjust", "wait", "dispute"]
    reason: Text
    until: date | None = None
    amount: int | None = None


class Decide(Body, frozen=True):
    """Why a payment in review is approved or declined, or a region failed or restored."""

    reason: Text


class Acknowledge(Body, frozen=True):
    """What was done about a conflict."""

    reason: Text


Asked = TypeVar("Asked", bound=Body)


@dataclass(frozen=True, slots=True)
class Command:
    """A request about one record: its name, who asks under which idempotency key, when, and what."""

    name: str
    network_ref: str
    record: str
    key: str
    by: str
    at: str
    body: Body

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of what is asked: another record, command or field is another request."""
        asked = {"name": self.name, "network_ref": self.network_ref, "record": self.record}
        content: dict[str, Any] = msgspec.to_builtins(self.body)
        return sha256(proofs.canonical({**asked, "body": content}).encode()).hexdigest()


def command(event: APIGatewayProxyEvent, name: str, network_ref: str, record: str, kind: type[Body]) -> Command:
    """The command in a request, whose path has the names as they are written in paths.

    Raises `PermissionDenied`, `InvalidRequest`, `BodyTooLarge` or `NotFound`.
    """
    by, key, body = decision(event, kind)
    if isinstance(body, Resolve):
        _check(body)
    return Command(name, names.unescaped(network_ref), names.unescaped(record), key, by, clock.now(), body)


def decision(event: APIGatewayProxyEvent, kind: type[Asked]) -> tuple[str, str, Asked]:
    """Who asks, under which idempotency key, and what.

    Raises `PermissionDenied`, `InvalidRequest` or `BodyTooLarge`.
    """
    by, key = caller.operator(event), _key(exchange.idempotency_key(event))
    exchange.refuse_misplaced_cards(event)
    return by, key, bodies.decode(exchange.body(event) or "", kind)


def _key(key: str | None) -> str:
    if not key:
        raise InvalidRequest("idempotency_key_required", "Send an Idempotency-Key header.", param="Idempotency-Key")
    if len(key) > MAXIMUM_KEY_LENGTH:
        raise InvalidRequest("idempotency_key_too_long", "The key has at most 255 characters.", param="Idempotency-Key")
    return key


def _check(body: Resolve) -> None:
    """Each action has its own field, and no other."""
    for field, action in (("until", "wait"), ("amount", "adjust")):
        if (getattr(body, field) is not None) is not (body.action == action):
            raise InvalidRequest("invalid_field", f"`{field}` belongs to `{action}`, which needs it.", param=field)
    if body.until is not None and body.until <= datetime.now(UTC).date():
        raise InvalidRequest("invalid_field", "`until` is a day to come (UTC).", param="until")
    if body.amount is not None and not 1 <= abs(body.amount) <= MAXIMUM_TRANSFER:
        sentence = f"The amount is between 1 and {MAXIMUM_TRANSFER}, negative to take it from the merchant."
        raise InvalidRequest("invalid_amount", sentence, param="amount")
