"""DynamoDB's condition and update expressions, as far as the platform sends them; anything else is an error.

An expression becomes a function of an item in DynamoDB's JSON, compiled once for each text. Checked against moto by
`test_expressions.py`.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from tests.simulation.hub import NotSimulated

Item = dict[str, Any]
Names, Values = dict[str, str], dict[str, Any]
Test = Callable[[Item, Names, Values], bool]
Change = Callable[[Item, Names, Values], None]
Operand = Callable[[Item, Names, Values], Any]

_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>(),]|[#:]?[A-Za-z0-9_]+)")
_CLAUSE = re.compile(r"\b(SET|REMOVE|ADD|DELETE)\b")
_COMPARES: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@lru_cache(maxsize=1_000)
def condition(text: str) -> Test:
    """The test of a condition, key condition or filter."""
    parser = _Parser(text)
    test = parser.either()
    if parser.tokens:
        raise NotSimulated(text)
    return test


@lru_cache(maxsize=1_000)
def update(text: str) -> Change:
    """The change of an update expression, made in the item."""
    parts = [part.strip() for part in _CLAUSE.split(text)]
    changes = [_clause(kind, found) for kind, found in zip(parts[1::2], parts[2::2], strict=True)]
    if parts[0] or not changes:
        raise NotSimulated(text)

    def change(item: Item, names: Names, values: Values) -> None:
        for single in changes:
            single(item, names, values)

    return change


def comparable(value: dict[str, Any]) -> Any:
    """A value as Python compares it: numbers by size, whatever their digits."""
    ((kind, content),) = value.items()
    return Decimal(content) if kind == "N" else content if kind == "S" else (kind, repr(content))


class _Parser:
    """Recursive descent over the tokens that are left."""

    def __init__(self, text: str):
        if _TOKEN.sub("", text).strip():
            raise NotSimulated(text)
        self.text, self.tokens = text, _TOKEN.findall(text)

    def either(self) -> Test:
        left = self.both()
        while self._took("OR"):
            left = _or(left, self.both())
        return left

    def both(self) -> Test:
        left = self.single()
        while self._took("AND"):
            left = _and(left, self.single())
        return left

    def single(self) -> Test:
        if self._took("("):
            inner = self.either()
            self._expect(")")
            return inner
        if self._peek() in ("attribute_exists", "attribute_not_exists", "begins_with"):
            return self._function(self.tokens.pop(0))
        return self._comparison(self._operand())

    def _function(self, name: str) -> Test:
        self._expect("(")
        found = self._operand()
        if name == "begins_with":
            self._expect(",")
            prefix = self._operand()
            self._expect(")")
            return lambda item, names, values: str(found(item, names, values)).startswith(prefix(item, names, values))
        self._expect(")")
        wanted = name == "attribute_exists"
        return lambda item, names, values: (found(item, names, values) is not None) is wanted

    def _comparison(self, left: Operand) -> Test:
        operator = self.tokens.pop(0) if self.tokens else ""
        if operator == "BETWEEN":
            low = self._operand()
            self._expect("AND")
            return _and(_compared(">=", left, low), _compared("<=", left, self._operand()))
        if operator not in _COMPARES:
            raise NotSimulated(self.text)
        return _compared(operator, left, self._operand())

    def _operand(self) -> Operand:
        return _operand(self.tokens.pop(0), self.text)

    def _peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def _took(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self.tokens.pop(0)
        return True

    def _expect(self, token: str) -> None:
        if not self._took(token):
            raise NotSimulated(self.text)


def _operand(token: str, text: str) -> Operand:
    if token.startswith(":"):
        return lambda item, names, values: comparable(values[token])
    if not re.fullmatch(r"#?[A-Za-z0-9_]+", token):
        raise NotSimulated(text)
    if token.startswith("#"):
        return lambda item, names, values: _found(item, names[token])
    return lambda item, names, values: _found(item, token)


def _found(item: Item, name: str) -> Any:
    value = item.get(name)
    return None if value is None else comparable(value)


def _compared(operator: str, left: Operand, right: Operand) -> Test:
    compare = _COMPARES[operator]

    def test(item: Item, names: Names, values: Values) -> bool:
        one, other = left(item, names, values), right(item, names, values)
        if one is None or other is None or type(one) is not type(other):
            return operator == "<>"
        return compare(one, other)

    return test


def _and(left: Test, right: Test) -> Test:
    return lambda item, names, values: left(item, names, values) and right(item, names, values)


def _or(left: Test, right: Test) -> Test:
    return lambda item, names, values: left(item, names, values) or right(item, names, values)


def _clause(kind: str, text: str) -> Change:
    if kind == "REMOVE":
        gone = [part.strip() for part in text.split(",")]
        return lambda item, names, values: [item.pop(names.get(name, name), None) for name in gone] and None
    pairs = [re.fullmatch(r"(#?\w+)\s*=\s*(:\w+)", part.strip()) for part in text.split(",")]
    if kind != "SET" or not all(pairs):
        raise NotSimulated(f"{kind} {text}")
    placed = [found.groups() for found in pairs if found]
    return lambda item, names, values: item.update({names.get(name, name): values[value] for name, value in placed})
