"""Plain values as DynamoDB's JSON: the other direction of `payments.records.plain`."""

from collections.abc import Mapping
from typing import Any


def stored(value: Any) -> dict[str, Any]:
    """A text, integer, truth value, None, list or mapping as an attribute. There are no other numbers here."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case Mapping():
            return {"M": {name: stored(inner) for name, inner in value.items()}}
        case list() | tuple():
            return {"L": [stored(inner) for inner in value]}
    raise TypeError(f"nothing that an item holds: {type(value).__name__}")
