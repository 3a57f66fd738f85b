"""How long a discrepancy has been open: since the day of the run that first found it so."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from functions.reconciliation.exchange import OPEN

Row = dict[str, Any]

SETTLED = ("matched", "network_fee", "batch", "resolved")
"""Classes of lines that nobody must look at."""

_OPENED = """
SELECT network_ref, record, coalesce(since, $as_of) AS since, currency, at_risk
FROM results LEFT JOIN earlier USING (network_ref, record)
WHERE list_contains($classes, class) AND NOT withdrawn
ORDER BY network_ref, record
"""
_NOTHING = "SELECT NULL::VARCHAR AS network_ref, NULL::VARCHAR AS record, NULL::DATE AS since LIMIT 0"

_COUNTS = """
SELECT count(*), count(*) FILTER (changed), count(*) FILTER (told),
    count(*) FILTER (told AND list_contains($settled, class))
FROM (
    SELECT class, changed,
        (list_contains($files::VARCHAR[], file) AND class <> 'partially_settled') IS TRUE
        OR (changed AND class = 'missing_at_network' AND line_ref IS NULL) AS told
    FROM results WHERE NOT withdrawn
)
"""

_BY_AGE = """
SELECT CASE WHEN days <= 1 THEN '0-1' WHEN days <= 7 THEN '2-7' WHEN days <= 30 THEN '8-30' ELSE '31+' END AS age,
    currency, count(*), sum(at_risk)::BIGINT
FROM (SELECT $as_of - since AS days, currency, at_risk FROM opened)
GROUP BY ALL
ORDER BY ALL
"""

_CHANGED = """
SELECT * EXCLUDE (record), record AS line
FROM (SELECT * FROM results WHERE changed OR withdrawn)
LEFT JOIN (SELECT network_ref, record, since AS open_since FROM opened) USING (network_ref, record)
ORDER BY network_ref, line
OFFSET $start
"""


def age(
    connection: DuckDBPyConnection, results: Path, before: Path | None, opened: Path, as_of: str, files: Sequence[str]
) -> Row:
    """Writes `opened`, the open records with the day `since` when they are; `before` is that of the last run.

    Answers how many `results` there are, how many `open` and `changed`; `open_by_age`, a list of `days`, `currency`,
    `lines` and `at_risk`; and for the match rate how many are `told`, lines of the `files` and movements that it should
    have had lines of, and of these `settled`. What is settled in part, and is not due, is not told.
    """
    day = date.fromisoformat(as_of)
    _view(connection, "results", results)
    if before:
        connection.read_parquet(str(before)).project("network_ref, record, since").create_view("earlier")
    else:
        connection.sql(_NOTHING).create_view("earlier")
    connection.sql(_OPENED, params={"as_of": day, "classes": list(OPEN)}).write_parquet(str(opened))
    _view(connection, "opened", opened)
    counts = connection.execute(_COUNTS, {"files": list(files), "settled": list(SETTLED)}).fetchall()[0]
    names = ("days", "currency", "lines", "at_risk")
    aged = [dict(zip(names, row, strict=True)) for row in connection.execute(_BY_AGE, {"as_of": day}).fetchall()]
    return {
        **dict(zip(("results", "changed", "told", "settled"), counts, strict=True)),
        "open": sum(row["lines"] for row in aged),
        "open_by_age": aged,
    }


def changed(connection: DuckDBPyConnection, results: Path, opened: Path, start: int, batch: int) -> Iterator[list[Row]]:
    """What the table must hear of, in batches from number `start` on, as plain values.

    Each row has its sort key as `line`, and `open_since`, None where it is not open.
    """
    _view(connection, "results", results)
    _view(connection, "opened", opened)
    found = connection.execute(_CHANGED, {"start": start})
    names = [column[0] for column in found.description or ()]
    while rows := found.fetchmany(batch):
        yield [dict(zip(names, map(_plain, row), strict=True)) for row in rows]


def _view(connection: DuckDBPyConnection, name: str, file: Path) -> None:
    connection.read_parquet(str(file)).create_view(name)


def _plain(value: Any) -> Any:
    """Dates as the platform writes them."""
    return value.isoformat() if isinstance(value, date) else value
