"""What reconciliation made of planted errors, against what it must make of them. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from local.planting_field import Mark
from payments.discrepancies import OPEN

Record = Mapping[str, Any]
"""An item of the table `settlements`, as plain values."""

_NOT_DUE = {"expected", "partially_settled"}


def differences(marks: Iterable[Mark], records: Iterable[Record], as_of: str) -> Iterator[str]:
    """A sentence for each mark that was not found as it must be, and for each open record that no mark asks for.

    What is missing at the network may wait until it is due: on a date after `as_of`, or on it.
    """
    found = _Records(records)
    for mark in marks:
        yield from _difference(mark, found.pop(mark), as_of)
    for record in found.rest():
        if record["class"] in OPEN:
            yield f"not planted: {told(record)}"


def waiting(marks: Iterable[Mark], records: Iterable[Record], as_of: str) -> Iterator[Record]:
    """The records of what is planted and not due yet."""
    found = _Records(records)
    for mark in marks:
        record = found.pop(mark)
        if record and _waits(mark, record, as_of):
            yield record


def told(record: Record) -> str:
    """A record in a line."""
    what = f"{record['class']} {record.get('line_ref') or record['line']} of {record['network_ref']}"
    note = f" ({record['note']})" if record.get("note") else ""
    return f"{what}, {record.get('at_risk') or 0} {record.get('currency')} at risk{note}"


class _Records:
    """Records by what marks name them by; each is found once."""

    def __init__(self, records: Iterable[Record]):
        self._by_name = {_name(found.get("line_ref"), found["network_ref"], found["line"]): found for found in records}

    def pop(self, mark: Mark) -> Record | None:
        record = f"{mark.row.type}#{mark.row.movement}"
        return self._by_name.pop(_name(mark.line_ref, mark.row.network_ref, record), None)

    def rest(self) -> Iterable[Record]:
        return self._by_name.values()


def _name(line_ref: str | None, network_ref: str, record: str) -> tuple[str, str]:
    return ("", line_ref) if line_ref else (network_ref, record)


def _difference(mark: Mark, record: Record | None, as_of: str) -> Iterator[str]:
    name = f"{mark.kind} {mark.line_ref or mark.row.network_ref}"
    if record is None or mark.class_ is None:
        if record is not None or mark.class_ is not None:
            yield f"{name}: {told(record) if record else 'there is no record'}, planted was {mark.class_}"
    elif not _waits(mark, record, as_of):
        became = record["class"], record.get("at_risk") or 0
        if became != (mark.class_, mark.at_risk):
            yield f"{name}: {told(record)}, planted was {mark.class_} with {mark.at_risk} at risk"


def _waits(mark: Mark, record: Record, as_of: str) -> bool:
    return mark.class_ == "missing_at_network" and record["class"] in _NOT_DUE and str(record["due"]) >= as_of
