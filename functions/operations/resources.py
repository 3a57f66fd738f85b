"""What the operators' API answers."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from functions.operations import names, table
from functions.operations.table import Item
from payments import discrepancies

_FIELDS = (
    "class",
    "type",
    "movement",
    "network",
    "currency",
    "expected",
    "settled",
    "difference",
    "fee_expected",
    "fee_settled",
    "at_risk",
    "split",
    "merchant_id",
    "payment_id",
    "line_ref",
    "file",
    "row",
    "day",
    "due",
    "batch_ref",
    "case_ref",
    "note",
    "run",
    "first_seen",
    "changed_at",
    "open_since",
    "assignee",
    "wait_until",
)
"""Attributes of a result that are shown as they are."""

BEGUN, DONE = "begun", "done"
"""States of a decision."""

_REPORT = ("id", "run", "as_of", "created_at", "match_rate", "at_risk", "clearing")
"""What a list shows of a report."""


def discrepancy(record: Item) -> dict[str, Any]:
    """A result, with its age in days (null where it is closed) and what operators decided about it."""
    opened = discrepancies.is_open(record)
    return {
        "id": names.identifier(record["network_ref"], record["line"]),
        "object": "discrepancy",
        "network_ref": record["network_ref"],
        "record": record["line"],
        **{name: record.get(name) for name in _FIELDS},
        "open": opened,
        "age_days": age(record) if opened else None,
        "disputed": _decoded(record, "disputed"),
        "resolution": _decoded(record, "resolution"),
    }


def age(record: Item) -> int:
    """Whole days since when it is open, by UTC's calendar."""
    since = str(record.get("open_since") or record["first_seen"])[:10]
    return (datetime.now(UTC).date() - date.fromisoformat(since)).days


def trail(audits: Sequence[Item]) -> list[dict[str, Any]]:
    """Who did what, the oldest first."""
    return [
        {
            "at": item["at"],
            "by": item["by"],
            "what": item["what"],
            **{name: msgspec.json.decode(item[name]) for name in ("request", "before", "after")},
        }
        for item in audits
    ]


def whole(items: Sequence[Item], record: Item) -> dict[str, Any]:
    """A result with its trail, and the other results of the same reference."""
    others = [item for item in table.results(items) if item["line"] != record["line"]]
    return {
        **discrepancy(record),
        "audit": trail(table.audits(items, record["line"])),
        "related": [discrepancy(other) for other in others],
    }


def report(told: dict[str, Any]) -> dict[str, Any]:
    """A report as a list shows it."""
    return {"object": "reconciliation_report", **{name: told.get(name) for name in _REPORT}}


def unfinished(record: Item) -> bool:
    """Whether a decision about it has begun and not come to its end: the same request with the same key ends it."""
    found = _decoded(record, "resolution")
    return found is not None and found["state"] != DONE


def _decoded(record: Item, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = msgspec.json.decode(record[name]) if name in record else None
    return found
