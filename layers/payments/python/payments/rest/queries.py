"""A request's query as a typed value: unknown, repeated and malformed parameters and card numbers are refused."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta

from payments import clock
from payments.errors import InvalidRequest
from payments.listings import Cursor
from payments.rest import bodies, exchange

DEFAULT_LIMIT, MAXIMUM_LIMIT = 10, 100

PAGE_ERRORS = ("invalid_field", "invalid_cursor", "card_data_in_field")
"""What the query of a list may be refused with."""

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_LARGEST = 10**12 - 1
"""Far above every amount, and one digit short of what may be a card number."""

_ALMOST_A_MILLISECOND = timedelta(microseconds=999)

Text = Annotated[str, Meta(min_length=1, max_length=bodies.MAXIMUM_TEXT)]
Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, with its time zone.")]
Amount = Annotated[int, Meta(ge=0, le=_LARGEST, description="In the currency's minor unit.")]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217, in capitals.")]
After = Annotated[str, Meta(min_length=1, max_length=bodies.MAXIMUM_TEXT, description="An id: what is older than it.")]
Before = Annotated[str, Meta(min_length=1, max_length=bodies.MAXIMUM_TEXT, description="An id: what is newer than it.")]


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a query may say; `integers` are the names of the parameters that are numbers."""

    integers: ClassVar[frozenset[str]] = frozenset()


Kind = TypeVar("Kind", bound=Query)


class PageQuery(Query, frozen=True):
    """Which page of a list; at most one of `starting_after` and `ending_before`."""

    integers: ClassVar[frozenset[str]] = frozenset({"limit"})

    limit: Annotated[int, Meta(ge=1, le=MAXIMUM_LIMIT, description="How many a page has at most.")] = DEFAULT_LIMIT
    starting_after: After | None = None
    ending_before: Before | None = None

    @property
    def cursor(self) -> Cursor | None:
        """Where the page begins. Raises `InvalidRequest` when the query says it twice."""
        if self.starting_after and self.ending_before:
            raise self.invalid_cursor()
        if self.ending_before:
            return Cursor(self.ending_before, back=True)
        return Cursor(self.starting_after) if self.starting_after else None

    def invalid_cursor(self) -> InvalidRequest:
        """The error for a cursor that leads nowhere."""
        param = "ending_before" if self.ending_before else "starting_after"
        sentence = "Send one id of this list, as starting_after or as ending_before."
        return InvalidRequest("invalid_cursor", sentence, param=param)


def decode(event: APIGatewayProxyEvent, kind: type[Kind]) -> Kind:
    """The query as this kind of value. Raises `InvalidRequest` with the parameter's name and never its content."""
    exchange.refuse_misplaced_cards(event)
    try:
        return msgspec.convert(dict(_values(event, kind)), kind)
    except msgspec.ValidationError as error:
        raise _invalid(bodies.path_of(error)) from None


def first_millisecond(moment: datetime | None, param: str) -> str | None:
    """The first time, as the platform writes it, that is not before the moment. Raises `InvalidRequest`."""
    try:
        return clock.timestamp(moment.astimezone(UTC) + _ALMOST_A_MILLISECOND) if moment else None
    except OverflowError:  # a time zone, or a millisecond, beyond the calendar
        raise _invalid(param) from None


def last_millisecond(moment: datetime, param: str) -> str:
    """The last time, as the platform writes it, that is not after the moment. Raises `InvalidRequest`."""
    try:
        return clock.timestamp(moment)
    except OverflowError:
        raise _invalid(param) from None


def _values(event: APIGatewayProxyEvent, kind: type[Query]) -> Iterator[tuple[str, Any]]:
    """The parameters, integers as such. Raises `InvalidRequest` for one that is unknown or there twice."""
    raw = event.raw_event
    once = {name: [value] for name, value in (raw.get("queryStringParameters") or {}).items()}
    for name, values in (raw.get("multiValueQueryStringParameters") or once).items():
        if name not in kind.__struct_encode_fields__ or len(values) != 1:
            raise _invalid(name if name in kind.__struct_encode_fields__ else None)
        (text,) = values
        yield name, int(text) if name in kind.integers and _INTEGER.fullmatch(text) else text


def _invalid(param: str | None) -> InvalidRequest:
    sentence = "A parameter of the query is unknown, there twice, or not of its form."
    return InvalidRequest("invalid_field", sentence, param=param)
