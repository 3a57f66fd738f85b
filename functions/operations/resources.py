"""What the operators' API answers."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from functions.operations import names, table
from functions.operations.table import Item
from payments import discrepancies, events, reasons
from payments.conflicts import Acknowledgement, Conflict
from payments.lifecycle import Payment

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


def review(payment: Payment) -> dict[str, Any]:
    """What fraud scoring found of a payment, as a list shows it; no more of the card than merchants see."""
    fraud = payment.fraud
    return {
        "id": payment.payment_id,
        "object": "review",
        "merchant_id": payment.merchant_id,
        "open": payment.in_review,
        "score": int(fraud["score"]),
        "decision": fraud.get("decision"),
        "reasons": list(map(reasons.told, fraud["reasons"])),
        "model": fraud["model"],
        "degraded": fraud["degraded"],
        "rule": fraud.get("rule"),
        "features_hash": fraud.get("features_hash"),
        "review_decision": asdict(payment.review_decision) if payment.review_decision else None,
        "payment": events.resource(payment),
        "created_at": payment.created_at,
    }


def whole_review(payment: Payment) -> dict[str, Any]:
    """The same, and what was done, the oldest first: by scoring, and by whom who decided."""
    fraud, decided = payment.fraud, payment.review_decision
    audit = [{"at": payment.created_at, "by": fraud["model"], "what": fraud.get("decision"), "reason": None}]
    if decided:
        audit.append({"at": decided.at, "by": decided.by, "what": decided.decision, "reason": decided.reason})
    return {**review(payment), "audit": audit}


def conflict(found: Conflict, seen: Acknowledgement | None) -> dict[str, Any]:
    """Both sides of a conflict, which of them stands and why (null while that is open), and who has seen to it."""
    resolution = asdict(found.resolution) if found.resolution else None
    return {
        "id": found.payment_id,
        "object": "conflict",
        "merchant_id": found.sides[0].merchant_id,
        "open": resolution is None,
        "found_at": found.found_at,
        "found_in": found.found_in,
        "sides": [
            {
                "request": side.fingerprint,
                "region": side.region,
                "stands": resolution["stands"] == side.fingerprint if resolution else None,
                "payment": events.resource(side),
            }
            for side in found.sides
        ],
        "resolution": resolution,
        "acknowledged": {"by": seen.by, "at": seen.at, "reason": seen.reason} if seen else None,
    }


def unfinished(record: Item) -> bool:
    """Whether a decision about it has begun and not come to its end: the same request with the same key ends it."""
    found = _decoded(record, "resolution")
    return found is not None and found["state"] != DONE


def _decoded(record: Item, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = msgspec.json.decode(record[name]) if name in record else None
    return found
