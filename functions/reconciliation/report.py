"""The report of a run, for machines (JSON), spreadsheets (CSV), people (HTML). Its fields: docs/reconciliation.md."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from functions.reconciliation import report_page
from payments import proofs

_SECTIONS = ("totals", "bookings", "clearing", "open_by_age", "files")

_COLUMNS = (
    "match_rate",
    "network",
    "class",
    "type",
    "currency",
    "days",
    "lines",
    "expected",
    "settled",
    "difference",
    "fees",
    "at_risk",
    "journals",
    "captured",
    "returned",
    "written_off",
    "ledger",
    "open",
    "drift",
    "file",
    "key",
    "business_date",
    "rows",
    "rejected",
    "result",
    "reason",
)
"""Every section has those of them that it has; the first column is the section."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes a cell for a formula by (OWASP, "CSV Injection")."""


def render(report: Mapping[str, Any]) -> dict[str, bytes]:
    """The report's files by name. The same report is the same bytes, whenever and wherever it is rendered."""
    return {
        "report.json": proofs.canonical(report).encode(errors="replace"),
        "report.csv": _csv(report).encode(errors="replace"),
        "report.html": report_page.page(report).encode(errors="replace"),
    }


def _csv(report: Mapping[str, Any]) -> str:
    """RFC 4180, amounts as integers in minor units: one table, so that a spreadsheet can filter it."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(["section", "run", "as_of", *_COLUMNS])
    for section, row in _rows(report):
        writer.writerow(_cell(value) for value in (section, report["run"], report["as_of"], *map(row.get, _COLUMNS)))
    return written.getvalue()


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "summary", {"lines": sum(row["lines"] for row in report["totals"]), "match_rate": report["match_rate"]}
    for currency, amount in sorted(report["at_risk"].items()):
        yield "at_risk", {"currency": currency, "at_risk": amount}
    for section in _SECTIONS:
        for row in report[section]:
            yield section, row


def _cell(value: object) -> object:
    """A cell as it may stand in a spreadsheet: numbers as they are, and no text that would be run as a formula."""
    if value is None or isinstance(value, int):
        return value
    shown = str(value)
    return f"'{shown}" if shown.lstrip(" ").startswith(_FORMULA) else shown
