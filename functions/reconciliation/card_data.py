"""Card numbers in the rows of a file: found, and made unreadable where a row is told. In SQL, for millions of rows."""

from functions.reconciliation.database import listed, text

MASK = "[digits]"

_SHORTEST_PAN, _LONGEST_PAN = 13, 19
_PRINTED = ("4-4-4-4", "4-4-4-4-3", "4-6-5", "4-6-4")
_SHAPES = listed((*map(str, range(_SHORTEST_PAN, _LONGEST_PAN + 1)), *_PRINTED))
"""Digits of the groups that a card number is written in."""

_MOST_GROUPS = max(shape.count("-") for shape in _PRINTED) + 1

_STRETCH = f"[0-9](?:[^0-9A-Za-z,|]{{0,3}}[0-9]){{{_SHORTEST_PAN - 1},}}"
"""So many digits that a card number may be among them, in one field."""

_GROUPS = "[0-9]{4}(?:[^0-9A-Za-z]{1,3}[0-9]{4}){3}|[0-9]{4}[^0-9A-Za-z]{1,3}[0-9]{6}[^0-9A-Za-z]{1,3}[0-9]{4}"
"""Groups as on cards with anything between them, also commas."""

_STRANGE = text(r"[^ -~\p{L}]")


def found_sql(column: str) -> str:
    """The SQL of whether a field of a text has a run of 13 to 19 digits, or as many in the groups of a card, that
    passes the Luhn check (ISO/IEC 7812-1, annex B). Longer runs are references, such as an acquirer's of 23 digits."""
    groups = "regexp_extract_all(stretch, '[0-9]+')"
    neighbours = f"lambda first: list_transform(range({_MOST_GROUPS}), lambda more: groups[first:first + more])"
    shape = "array_to_string(list_transform(near, lambda one: length(one)), '-')"
    joined = "array_to_string(near, '')"
    is_pan = f"lambda near: {shape} IN {_SHAPES} AND {_luhn(joined)}"
    pans = f"list_filter(flatten(list_transform(range(1, len(groups) + 1), {neighbours})), {is_pan})"
    has_pan = f"lambda groups: len({pans}) > 0"
    stretches = f"list_transform(regexp_extract_all({column}, {text(_STRETCH)}), lambda stretch: {groups})"
    found = f"len(list_filter({stretches}, {has_pan})) > 0"
    return f"CASE WHEN regexp_matches({column}, {text(_STRETCH)}) THEN {found} ELSE false END"


def masked_sql(column: str) -> str:
    """The SQL of a text without stretches of 13 and more digits, Luhn or not, however they are parted."""
    masked = column
    for digits in (_STRETCH, _GROUPS):
        masked = f"regexp_replace({masked}, {text(digits)}, {text(MASK)}, 'g')"
    return f"CASE WHEN {column} = '' THEN '' ELSE {masked} END"


def readable_sql(column: str) -> str:
    """The SQL of a text with `?` for all but ASCII and letters, so that no other script's digits are left."""
    return f"regexp_replace({column}, {_STRANGE}, '?', 'g')"


def _luhn(digits: str) -> str:
    doubled = "(2 * digit::INTEGER) // 10 + (2 * digit::INTEGER) % 10"
    weighed = f"lambda digit, place: CASE WHEN place % 2 = 0 THEN {doubled} ELSE digit::INTEGER END"
    return f"list_sum(list_transform(string_split(reverse({digits}), ''), {weighed})) % 10 = 0"
