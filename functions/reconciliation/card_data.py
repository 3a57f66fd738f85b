"""Card numbers in the rows of a file: found, and made unreadable where a row is told. In SQL, for millions of rows."""

from functions.reconciliation.database import text

MASK = "[digits]"

_SHORTEST_PAN, _LONGEST_PAN = 13, 19
_BETWEEN = "[^0-9A-Za-z]{1,3}"
_PRINTED = (
    f"[0-9]{{4}}(?:{_BETWEEN}[0-9]{{4}}){{3}}(?:{_BETWEEN}[0-9]{{3}})?",
    f"[0-9]{{4}}{_BETWEEN}[0-9]{{6}}{_BETWEEN}[0-9]{{4,5}}",
)
"""Digits grouped as on cards: 4-4-4-4, 4-4-4-4-3, 4-6-5, 4-6-4."""

_RUN = f"[0-9]{{{_SHORTEST_PAN},}}"
_SUSPECT = text("|".join((_RUN, *_PRINTED)))
_STRETCH = r"\p{N}(?:[^\p{L}\p{N},|]{0,3}\p{N}){" + str(_SHORTEST_PAN - 1) + ",}"
_TOLD = text("|".join((*_PRINTED, _STRETCH)))


def found_sql(column: str) -> str:
    """The SQL of whether a text has a run of 13 to 19 digits, or as many in the groups of a card, that passes the Luhn
    check (ISO/IEC 7812-1, annex B). Longer runs are references, such as an acquirer's of 23 digits."""
    runs = (
        f"list_transform(regexp_extract_all({column}, {_SUSPECT}), lambda run: regexp_replace(run, '[^0-9]', '', 'g'))"
    )
    is_pan = f"length(run) BETWEEN {_SHORTEST_PAN} AND {_LONGEST_PAN} AND {_luhn('run')}"
    return f"CASE WHEN regexp_matches({column}, {_SUSPECT}) THEN len(list_filter({runs}, lambda run: {is_pan})) > 0 ELSE false END"


def masked_sql(column: str) -> str:
    """The SQL of a text without stretches of 13 and more digits, Luhn or not, however they are parted."""
    return f"CASE WHEN regexp_matches({column}, {_TOLD}) THEN regexp_replace({column}, {_TOLD}, {text(MASK)}, 'g') ELSE {column} END"


def _luhn(digits: str) -> str:
    places = (f"(TRY_CAST({digits} AS UBIGINT) // {10**place} % 10)::INTEGER" for place in range(_LONGEST_PAN))
    weighed = (f"(2 * {place}) // 10 + (2 * {place}) % 10" if odd % 2 else place for odd, place in enumerate(places))
    return f"({' + '.join(weighed)}) % 10 = 0"
