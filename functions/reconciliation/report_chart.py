"""The report's chart, an inline SVG: how many lines each class has, and what of them is at risk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

from functions.reconciliation import shown

SETTLED, WAITING, OPEN = "settled", "waiting", "open"

CLASSES = {
    "matched": SETTLED,
    "network_fee": SETTLED,
    "batch": SETTLED,
    "resolved": SETTLED,
    "expected": WAITING,
    "partially_settled": WAITING,
    "missing_at_network": OPEN,
    "missing_in_ledger": OPEN,
    "amount_mismatch": OPEN,
    "currency_mismatch": OPEN,
    "duplicate_at_network": OPEN,
    "fee_mismatch": OPEN,
    "batch_mismatch": OPEN,
    "orphan": OPEN,
}
"""Every class in the order in which it is shown, and whether it is done, not due yet, or for somebody to look at."""

_ROW, _TOP, _WIDTH = 24, 34, 480
_LABELS, _BAR = 168, 180
"""Pixels: a row's height, the title's, the chart's width, the labels' and the longest bar's."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a chart: its label, its length in pixels, the figure behind it, and what kind of class it is of."""

    label: str
    length: int
    figure: str
    kind: str


def charts(totals: Sequence[Mapping[str, Any]]) -> str:
    """Both charts, as two elements that stand beside each other where there is room."""
    return _chart("Lines by class", "logarithmic scale", _lines(totals)) + _chart(
        "Money at risk by class", "each currency on its own scale", _risks(totals)
    )


def _lines(totals: Sequence[Mapping[str, Any]]) -> list[Bar]:
    sums = _summed(totals, "lines", ("class",))
    longest = log10(max(sums.values(), default=0) + 1) or 1.0
    return [
        Bar(name, round(log10(lines + 1) / longest * _BAR), shown.count(lines), CLASSES.get(name, OPEN))
        for (name,), lines in sorted(sums.items(), key=lambda item: place(item[0][0]))
    ]


def _risks(totals: Sequence[Mapping[str, Any]]) -> list[Bar]:
    sums = _summed(totals, "at_risk", ("currency", "class"))
    most = {currency: max(sums[key] for key in sums if key[0] == currency) for currency, _ in sums}
    return [
        Bar(
            name,
            amount * _BAR // most[currency],
            f"{shown.money(amount, currency)} {currency}",
            CLASSES.get(name, OPEN),
        )
        for (currency, name), amount in sorted(sums.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    ]


def _summed(totals: Sequence[Mapping[str, Any]], field: str, by: tuple[str, ...]) -> dict[tuple[str, ...], int]:
    """The sums that are not zero."""
    sums: dict[tuple[str, ...], int] = {}
    for row in totals:
        key = tuple(str(row[name]) for name in by)
        sums[key] = sums.get(key, 0) + row[field]
    return {key: total for key, total in sums.items() if total > 0}


def place(name: str) -> tuple[int, str]:
    known = list(CLASSES)
    return (known.index(name) if name in known else len(known), name)


def _chart(title: str, scale: str, bars: Sequence[Bar]) -> str:
    height = _TOP + _ROW * max(len(bars), 1)
    rows = "".join(_row(bar, _TOP + _ROW * number) for number, bar in enumerate(bars))
    if not bars:
        rows = f'<text class="none" x="0" y="{_TOP + 15}">none</text>'
    told = "; ".join(f"{bar.label}: {bar.figure}" for bar in bars) or "none"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{shown.text(f"{title}: {told}")}">'
        f'<text class="title" x="0" y="14">{shown.text(title)}</text>'
        f'<text class="scale" x="{_WIDTH}" y="14" text-anchor="end">{shown.text(scale)}</text>{rows}</svg>'
    )


def _row(bar: Bar, top: int) -> str:
    length = max(2, bar.length)
    name = shown.text(bar.label.replace("_", " "))
    return (
        f'<text x="{_LABELS - 10}" y="{top + 15}" text-anchor="end">{name}</text>'
        f'<rect class="{bar.kind}" x="{_LABELS}" y="{top + 4}" width="{length}" height="15" rx="2"/>'
        f'<text class="figure" x="{_LABELS + length + 6}" y="{top + 15}">{shown.text(bar.figure)}</text>'
    )
