"""What operators may say about lists and rules of fraud scoring."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta

from functions.operations import caller, fraud_values
from functions.operations.requests import MAXIMUM_KEY_LENGTH, Text
from payments import clock, proofs
from payments.errors import InvalidRequest
from payments.rest import bodies, card_numbers, exchange
from payments.rest.queries import Currency, PageQuery, Query

Action = Literal["block", "review", "allow"]
Type = Literal["bin", "card", "country", "customer", "device", "email", "ip"]
Window = Literal["10m", "1h", "24h"]
_Whole = Annotated[int, Meta(ge=1, le=10**12 - 1)]

_RULE = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class ScopeQuery(Query, frozen=True):
    """Whose list or rule it is: `global`, or a merchant's id."""

    scope: str


class ListsQuery(PageQuery, frozen=True):
    """Which entries: of one scope, and of one type if it is said."""

    scope: str = fraud_values.GLOBAL
    type: Type | None = None


class RulesQuery(PageQuery, frozen=True):
    """Which rules: those of one scope."""

    scope: str = fraud_values.GLOBAL


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is asked."""


class PutEntry(Body, frozen=True):
    """What follows for charges with the value, why, and until when."""

    action: Action
    reason: Text
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class Remove(Body, frozen=True):
    """Why a value is no longer listed."""

    reason: Text


class Switch(Body, frozen=True):
    """Which model scored charges when it was decided that another one shall, and why."""

    champion: Text
    reason: Text


class Promoted(Switch, frozen=True):
    """The same, with the version that is promoted, which the path has."""

    version: str


class PutRule(Body, frozen=True):
    """A rule as it shall be from now on, and why."""

    kind: Literal["amount_limit", "count_limit", "sum_limit", "card_testing"]
    when: dict[str, Any]
    action: Action
    state: Literal["off", "shadow", "on"]
    reason: Text


class AmountLimit(Body, frozen=True):
    """See functions/fraud/rules.py, as for the next three."""

    currency: Currency
    over: _Whole


class CountLimit(Body, frozen=True):
    """More than so many charges."""

    per: Literal["card", "customer", "device", "ip"]
    window: Window
    over: _Whole


class SumLimit(Body, frozen=True):
    """More than so much money, in the currency's minor unit."""

    per: Literal["card", "customer", "device", "ip"]
    window: Window
    currency: Currency
    over: _Whole


class CardTesting(Body, frozen=True):
    """Many cards and charges of one device or address; `small` in US cents. Profiles remember 16 cards."""

    per: Literal["device", "ip"]
    window: Window
    charges: Annotated[int, Meta(ge=2, le=10**6)]
    cards: Annotated[int, Meta(ge=2, le=17)]
    small: _Whole | None = None


CONDITIONS: dict[str, type[Body]] = {
    "amount_limit": AmountLimit,
    "count_limit": CountLimit,
    "sum_limit": SumLimit,
    "card_testing": CardTesting,
}

Asked = TypeVar("Asked", bound=Body)


@dataclass(frozen=True, slots=True)
class Change:
    """A request to change one item: what it is called, who asks under which idempotency key, when, and what."""

    name: str
    scope: str
    entry: str
    key: str
    by: str
    at: str
    body: Body

    @property
    def request(self) -> dict[str, Any]:
        """The body as plain values."""
        found: dict[str, Any] = msgspec.to_builtins(self.body)
        return found

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of what is asked."""
        asked = {"name": self.name, "scope": self.scope, "entry": self.entry, "body": self.request}
        return sha256(proofs.canonical(asked).encode()).hexdigest()


def change(event: APIGatewayProxyEvent, name: str, scope: str, entry: str, kind: type[Asked]) -> Change:
    """The change that a request asks for. Raises `PermissionDenied`, `InvalidRequest` or `BodyTooLarge`."""
    by, key = caller.operator(event), exchange.idempotency_key(event)
    if not key or len(key) > MAXIMUM_KEY_LENGTH:
        sentence = f"Send an Idempotency-Key header of at most {MAXIMUM_KEY_LENGTH} characters."
        raise InvalidRequest("idempotency_key_required", sentence, param="Idempotency-Key")
    exchange.refuse_misplaced_cards(event)
    body = bodies.decode(exchange.body(event) or "", kind)
    if isinstance(body, PutEntry) and body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise InvalidRequest("invalid_field", "`expires_at` is a time to come.", param="expires_at")
    return Change(name, scope, entry, key, by, clock.now(), _checked(body) if isinstance(body, PutRule) else body)


def rule_id(text: str) -> str:
    """The id of a rule in a path. Raises `InvalidRequest`."""
    card_numbers.refuse(text, "id")
    if not _RULE.fullmatch(text):
        raise InvalidRequest("invalid_field", "A rule's id is small letters, digits and _, at most 64.", param="id")
    return text


def _checked(body: PutRule) -> PutRule:
    """The rule with its condition as its kind has it."""
    try:
        when = msgspec.convert(body.when, CONDITIONS[body.kind])
    except msgspec.ValidationError as error:
        inner = bodies.path_of(error)
        sentence = "A field of the condition is missing, unknown or of the wrong type."
        raise InvalidRequest("invalid_field", sentence, param=f"when.{inner}" if inner else "when") from None
    return msgspec.structs.replace(body, when=msgspec.to_builtins(when))
