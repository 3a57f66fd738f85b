"""The report as one HTML page, for the screen and for paper: no scripts, and nothing that is loaded from elsewhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from functions.reconciliation import report_chart, shown
from functions.reconciliation.report_chart import CLASSES, OPEN
from functions.reconciliation.report_style import STYLE

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], str]]
"""A heading, and a row's cell as HTML. Headings that begin with `#` are of numbers."""


def page(report: Mapping[str, Any]) -> str:
    """The whole page; every text of the report is escaped, every amount has its currency's decimals."""
    title = f"Settlement reconciliation {report['as_of']}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # The page needs nothing; whoever smuggles something in gets nothing loaded.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{shown.text(title)}</title><style>{STYLE}</style></head><body>"
        f"{_head(report)}{_figures(report)}"
        f'<section class="charts">{report_chart.charts(report["totals"])}</section>{_legend()}'
        f"{_body(report)}</body></html>\n"
    )


def _head(report: Mapping[str, Any]) -> str:
    run, created = shown.text(report["run"]), shown.text(report["created_at"])
    return (
        f"<header><h1>Settlement reconciliation</h1><p>as of <strong>{shown.text(report['as_of'])}</strong>"
        f" · run {run} · {created}</p></header>"
    )


def _figures(report: Mapping[str, Any]) -> str:
    """What somebody with a minute reads."""
    unsettled = [row for row in report["totals"] if CLASSES.get(row["class"], OPEN) == OPEN]
    drifting = [row for row in report["clearing"] if row["drift"]]
    rejected = sum(row["rejected"] for row in report["files"])
    cards = [
        _card("Match rate", shown.rate(report["match_rate"]), "of all lines settle what the ledger expects"),
        _card("Open", shown.count(sum(row["lines"] for row in unsettled)), "discrepancies to look at"),
        _card("At risk", _amounts(report["at_risk"]), "of what is open"),
        _card(
            "Drift",
            _drift(drifting) if report["clearing"] else "\N{EN DASH}",
            "clearing accounts against what is open",
            wrong=bool(drifting),
        ),
        _card("Files", shown.count(len(report["files"])), f"{shown.count(rejected)} rows rejected", wrong=rejected > 0),
    ]
    return f'<section class="figures">{"".join(cards)}</section>'


def _card(name: str, figure: str, note: str, *, wrong: bool = False) -> str:
    state = ' class="wrong"' if wrong else ""
    return f"<div{state}><h2>{name}</h2><p>{figure}</p><small>{note}</small></div>"


def _amounts(sums: Mapping[str, int]) -> str:
    told = [_with_currency(amount, currency) for currency, amount in sorted(sums.items()) if amount]
    return "<br>".join(told) or "0"


def _drift(rows: Sequence[Row]) -> str:
    told = [f"{_with_currency(row['drift'], row['currency'])} {shown.text(row['network'])}" for row in rows]
    return "<br>".join(told) or "0"


def _with_currency(amount: int, currency: str) -> str:
    return f"{shown.text(shown.money(amount, currency))} <abbr>{shown.text(currency)}</abbr>"


def _legend() -> str:
    told = (("settled", "settled or decided"), ("waiting", "not due yet"), ("open", "to look at"))
    return (
        '<p class="legend">' + "".join(f'<span><i class="{kind}"></i>{words}</span>' for kind, words in told) + "</p>"
    )


def _body(report: Mapping[str, Any]) -> str:
    totals = sorted(
        report["totals"],
        key=lambda row: (report_chart.place(row["class"]), row["network"] or "", row["type"], row["currency"]),
    )
    return (
        _table("Classes", totals, _TOTALS)
        + _table("What is open, by age", report["open_by_age"], _AGES)
        + _table("Clearing accounts", report["clearing"], _CLEARING)
        + _table("Booked by this run", report["bookings"], _BOOKINGS)
        + _table("Files", report["files"], _FILES)
    )


def _table(title: str, rows: Iterable[Row], columns: Sequence[Column]) -> str:
    """A table, or a word where there is nothing to show."""
    lines = "".join(f"<tr{_mark(row)}>{''.join(_cell(row, column) for column in columns)}</tr>" for row in rows)
    if not lines:
        return f'<section><h2>{title}</h2><p class="none">none</p></section>'
    heads = "".join(f"<th{_numeric(name)}>{name.lstrip('#')}</th>" for name, _ in columns)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"
    return f"<section><h2>{title}</h2>{table}</section>"


def _cell(row: Row, column: Column) -> str:
    name, show = column
    return f"<td{_numeric(name)}>{show(row)}</td>"


def _numeric(name: str) -> str:
    return ' class="n"' if name.startswith("#") else ""


def _mark(row: Row) -> str:
    """Rows that somebody must look at stand out."""
    wrong = row.get("drift") or row.get("rejected") or row.get("result") == "refused"
    return ' class="wrong"' if wrong else ""


def _text(field: str) -> Callable[[Row], str]:
    return lambda row: shown.text(row[field])


def _class(row: Row) -> str:
    kind = CLASSES.get(row["class"], OPEN)
    return f'<i class="{kind}"></i>{shown.text(row["class"].replace("_", " "))}'


def _count(field: str) -> Callable[[Row], str]:
    return lambda row: shown.text(shown.count(row[field]))


def _money(field: str) -> Callable[[Row], str]:
    return lambda row: shown.text(shown.money(row[field], row["currency"]))


_WHERE: tuple[Column, ...] = (("network", _text("network")), ("currency", _text("currency")))
_TOTALS: tuple[Column, ...] = (
    ("class", _class),
    ("type", _text("type")),
    *_WHERE,
    ("#lines", _count("lines")),
    *(
        (f"#{name.replace('_', ' ')}", _money(name))
        for name in ("expected", "settled", "difference", "fees", "at_risk")
    ),
)
_AGES: tuple[Column, ...] = (
    ("days", _text("days")),
    ("currency", _text("currency")),
    ("#lines", _count("lines")),
    ("#at risk", _money("at_risk")),
)
_CLEARING: tuple[Column, ...] = (
    *_WHERE,
    *((f"#{name}", _money(name)) for name in ("ledger", "open", "drift")),
)
_BOOKINGS: tuple[Column, ...] = (
    *_WHERE,
    ("#journals", _count("journals")),
    *((f"#{name.replace('_', ' ')}", _money(name)) for name in ("captured", "returned", "fees", "written_off")),
)
_FILES: tuple[Column, ...] = (
    ("file", _text("key")),
    ("network", _text("network")),
    ("business date", _text("business_date")),
    ("#rows", _count("rows")),
    ("#rejected", _count("rejected")),
    ("result", _text("result")),
    ("reason", _text("reason")),
    ("content", lambda row: f"<code>{shown.text((row['file'] or '')[:12])}</code>"),
)
