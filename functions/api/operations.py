"""What a route says of itself for the API's description (docs/openapi.json, made by `functions.api.openapi`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

Route = TypeVar("Route", bound=Callable[..., Any])

FORM_ERRORS = ("invalid_json", "invalid_field", "card_required", "sealed_card_invalid", "card_data_in_field")
CARD_ERRORS = (
    "incorrect_number",
    "expired_card",
    "invalid_expiry",
    "invalid_cvc",
    "unsupported_brand",
    "sealed_card_invalid",
)
"""What the vault says of a card that cannot be charged, docs/interfaces.md."""


@dataclass(frozen=True)
class Operation:
    """One method of one path. `answers` are the successful ones by status, `errors` the codes of the others.

    `path` and `headers` are the types of parameters, `query` is a structure of them; `answer_headers` maps the names of
    an answer's headers to what they say. Title and description are the route's docstring.
    """

    answers: Mapping[int, Any]
    errors: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    body: Any = None
    body_required: bool = True
    path: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    query: type[msgspec.Struct] | None = None
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    public: bool = False


OPERATIONS: dict[Callable[..., Any], Operation] = {}
"""What each route said of itself."""


def describes(operation: Operation) -> Callable[[Route], Route]:
    """Notes the operation of a route; costs a request nothing."""

    def note(route: Route) -> Route:
        OPERATIONS[route] = operation
        return route

    return note
