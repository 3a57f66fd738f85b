"""What a layout of settlement files must tell: who sent the file, what its trailer says, and its rows in SQL."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

COLUMNS = (
    "row",
    "text",
    "record",
    "malformed",
    "line_ref",
    "type",
    "network_ref",
    "movement",
    "amount",
    "currency",
    "exponent",
    "fee",
    "settled_on",
    "sequence",
    "count",
    "batch_ref",
    "case_ref",
    "reason",
    "control_amount",
    "control_fee",
)
"""Of `Layout.rows`. `record` is `detail`, `trailer` or `other`. `malformed` says why a row cannot be taken apart, and
is NULL of one that can. Values that are none of their kind are NULL, as are all of a malformed row; `exponent` is NULL
of an unknown currency. `control_amount` and `control_fee` are what the trailer adds up: integers, NULL where they
cannot be read."""

_NETWORK = re.compile(r"[a-z0-9_]{1,32}")


@dataclass(frozen=True)
class Header:
    """Who sent the file, and the network's business date, `2026-11-23`."""

    network: str
    business_date: str


@dataclass(frozen=True)
class Trailer:
    """How many rows the network has written, and what it adds up (`control_amount`, `control_fee`)."""

    count: int
    sums: Mapping[str, int]


@dataclass(frozen=True)
class Layout:
    """A layout. `header` and `trailer` give None for a line that is none.

    `rows` is a query of `COLUMNS` over the relations `texts` (`row`, `text`: a line of the file, not empty) and
    `currencies` (`code`, `exponent`).
    """

    header: Callable[[str], Header | None]
    trailer: Callable[[str], Trailer | None]
    rows: str


def header(network: str, day: str) -> Header | None:
    """A header of these values, if they are a network's name and an ISO 8601 date."""
    try:
        found = date.fromisoformat(day)
    except ValueError:
        return None
    return Header(network, str(found)) if _NETWORK.fullmatch(network) and str(found) == day else None


def integer(text: str) -> int | None:
    """An integer as both layouts write them: no sign but minus, no leading zeros, at most 30 digits."""
    return int(text) if re.fullmatch(r"0|-?[1-9][0-9]{0,29}", text) else None


def integer_sql(text: str) -> str:
    """The SQL of a BIGINT that is written without leading zeros; NULL of what is none."""
    return f"CASE WHEN TRY_CAST({text} AS BIGINT)::VARCHAR = {text} THEN TRY_CAST({text} AS BIGINT) END"


def day_sql(text: str) -> str:
    """The SQL of a date that is written `2026-11-23`; NULL of what is none."""
    written = f"length({text}) = 10 AND TRY_CAST({text} AS DATE)::VARCHAR = {text}"
    return f"CASE WHEN {written} THEN TRY_CAST({text} AS DATE) END"
