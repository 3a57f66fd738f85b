"""A request's body as a typed value: size, depth, unknown fields, lengths and misplaced card numbers are checked."""

import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from payments.errors import BodyTooLarge, InvalidRequest
from payments.rest import card_numbers

MAXIMUM_BODY_BYTES = 64 * 1024
MAXIMUM_TEXT = 500
LONGEST_SEALED = 4_096
_MAXIMUM_DEPTH = 10

Body = TypeVar("Body", bound=msgspec.Struct)


def decode(body: str, kind: type[Body]) -> Body:
    """The body as this kind of value.

    Raises `BodyTooLarge`, or `InvalidRequest` with the field's name and never its content.
    """
    content = _content(body)
    _check_texts(content, kind.__struct_fields__)
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            "invalid_field", "A field is missing, unknown or of the wrong type.", param=path_of(error)
        ) from None


def _content(body: str) -> dict[str, Any]:
    try:
        if len(body.encode()) > MAXIMUM_BODY_BYTES:
            raise BodyTooLarge("body_too_large", f"The body has at most {MAXIMUM_BODY_BYTES} bytes.")
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        raise InvalidRequest("invalid_json", "The body is not valid JSON.") from None
    if not isinstance(content, dict):
        raise InvalidRequest("invalid_json", "The body must be a JSON object.")
    return content


def _check_texts(content: dict[str, Any], known: tuple[str, ...]) -> None:
    """Refuses overlong texts and card numbers anywhere but in the card itself."""
    for name, value in content.items():
        if name == "card":
            continue
        param = name if name in known else None
        for text in (name, *_texts(value)):
            if len(text) > (LONGEST_SEALED if name == "sealed_card" else MAXIMUM_TEXT):
                raise InvalidRequest("invalid_field", f"A text has at most {MAXIMUM_TEXT} characters.", param=param)
            card_numbers.refuse(text, param)


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Every text and number of a JSON value, object keys included."""
    if depth > _MAXIMUM_DEPTH:
        raise InvalidRequest("invalid_json", "The body is nested too deeply.")
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _texts(inner, depth + 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def path_of(error: msgspec.ValidationError) -> str | None:
    """The field that an error is about. msgspec names it at the end of its message, ``… - at `$.card.number` ``,
    the rest of which may quote input."""
    found = re.search(r"at `\$\.?([a-z_.]*)[^`]*`$", str(error))
    return found.group(1) or None if found else None
