"""A card network's settlement file: from its record to text, in the layouts of docs/settlement_files.md.

Amounts and fees are integers in minor units. The fees are the network's own price list; what the platform expects them
to be is its own business (`functions/reconciliation/terms.json`).
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

import msgspec

from payments.money import InvalidMoney, exponent

BASIS_POINTS = {"amex": 230}
"""What a network takes of a capture, where it is not the usual."""

_USUAL_BASIS_POINTS, _FIXED = 180, 10
_WHOLE = 10_000
_CONTROL_DECIMALS = 4
_UNKNOWN_DECIMALS = 2
_NAMES_2 = {
    "capture": "SALE",
    "refund": "CRDT",
    "chargeback": "CHBK",
    "representment": "REPR",
    "fee": "FEES",
    "batch": "BTCH",
}


@dataclass(frozen=True)
class Row:
    """A line of a file, as it is written: nothing is checked here, because a bad row must be possible too."""

    line_ref: str
    type: str
    network_ref: str
    movement: str
    amount: int
    currency: str
    fee: int
    settled_on: str
    sequence: int = 1
    count: int = 1
    batch_ref: str = ""
    case_ref: str = ""
    reason: str = ""


@dataclass(frozen=True)
class File:
    """A network's file of one date."""

    network: str
    settled_on: str
    reference: str
    rows: tuple[Row, ...]


def fee(network: str, kind: str, amount: int) -> int:
    """What the network keeps of a line: for a capture basis points, rounded half up, plus a fixed amount."""
    if kind != "capture":
        return 0
    basis_points = BASIS_POINTS.get(network, _USUAL_BASIS_POINTS)
    return (amount * basis_points + _WHOLE // 2) // _WHOLE + _FIXED


def of_record(lines: Iterable[Mapping[str, Any]]) -> File:
    """The file of these lines of the network's record (`Cycles.lines`), which are at least one."""
    first, *_ = lines = list(lines)
    rows = tuple(
        Row(
            **{name: line[name] for name in ("line_ref", "type", "network_ref", "movement", "amount", "currency")},
            fee=fee(line["network"], line["type"], line["amount"]),
            settled_on=line["settled_on"],
            case_ref=line["case_ref"],
            reason=line["reason"],
        )
        for line in lines
    )
    return File(first["network"], first["settled_on"], first["reference"], rows)


def written(file: File, layout: str) -> str:
    """The file's text in one of `LAYOUTS`."""
    return LAYOUTS[layout](file)


def read(text: str) -> File:
    """A file of layout 1 that the network wrote."""
    header, *lines, _ = csv.reader(io.StringIO(text))
    network, settled_on, reference = header[2:]
    return File(network, settled_on, reference, tuple(_row(line[1:]) for line in lines))


def _row(texts: list[str]) -> Row:
    return msgspec.convert(dict(zip(Row.__match_args__, texts, strict=True)), Row, strict=False)


def _layout_1(file: File) -> str:
    """Comma-separated, minor units: a header, a line for each row, and a trailer with their number and control sums."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("H", 1, file.network, file.settled_on, file.reference))
    writer.writerows(("L", *astuple(replace(row, reason=_one_line(row.reason)))) for row in file.rows)
    sums = (sum(row.amount for row in file.rows), sum(row.fee for row in file.rows))
    writer.writerow(("T", len(file.rows), *sums))
    return text.getvalue()


def _layout_2(file: File) -> str:
    """Separated by `|`, major units: a header, a line for each row, and a trailer with their number and control sum."""
    header = ("FH", file.network, _day(file.settled_on), file.reference)
    control = sum(row.amount * 10 ** (_CONTROL_DECIMALS - _decimals(row.currency)) for row in file.rows)
    trailer = ("FT", str(len(file.rows)), _point(control, _CONTROL_DECIMALS))
    return "".join("|".join(line) + "\n" for line in (header, *map(_row_2, file.rows), trailer))


def _row_2(row: Row) -> tuple[str, ...]:
    return (
        "FD",
        row.line_ref,
        _NAMES_2.get(row.type, row.type),
        row.network_ref,
        row.movement,
        _day(row.settled_on),
        row.currency,
        _major(row.amount, row.currency),
        _major(row.fee, row.currency),
        f"{row.sequence}/{row.count}",
        row.batch_ref,
        row.case_ref,
        _one_line(row.reason).replace("|", " "),
    )


def _one_line(text: str) -> str:
    """A row is one line: what breaks lines becomes a space."""
    return " ".join(text.splitlines())


def _day(day: str) -> str:
    return day.replace("-", "")


def _major(amount: int, currency: str) -> str:
    return _point(amount, _decimals(currency))


def _point(amount: int, decimals: int) -> str:
    whole, rest = divmod(abs(amount), 10**decimals)
    return f"{'-' if amount < 0 else ''}{whole}" + (f".{rest:0{decimals}}" if decimals else "")


def _decimals(currency: str) -> int:
    try:
        return exponent(currency)
    except InvalidMoney:
        return _UNKNOWN_DECIMALS


LAYOUTS = {"1": _layout_1, "2": _layout_2}
"""What writes each layout."""

SUFFIXES = {"1": ".csv", "2": ".txt"}
"""How the name of a file of each layout ends."""
