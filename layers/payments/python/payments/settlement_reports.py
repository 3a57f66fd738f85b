"""Pages of reconciliation's reports, newest first: a merchant's own, or those of all, from the table `settlements`.

A report's place is its day and its run; both only grow, so a new report comes before every page that was read.
"""

from datetime import date
from typing import Any

import msgspec

from payments import records, regions
from payments.listings import Cursor, InvalidCursor, Page, page
from payments.settings import load

ALL = "all"
"""Whose reports those for operators are."""

_PREFIX = "rep_"
_DAY = len("2026-11-23")
_FIRST, _LAST = "0", "~"
"""Texts below and above every place: places begin with the year."""


class ReportSettings(msgspec.Struct, frozen=True, rename="upper"):
    """Where the reports are: in the region that reconciles, by default this one."""

    settlements_table: str = "settlements"
    reconciliation_region: str = ""


def reports(
    owner: str, limit: int, cursor: Cursor | None = None, since: date | None = None, before: date | None = None
) -> Page[dict[str, Any]]:
    """A page of a merchant's reports, or of `ALL`: each with `id`, `as_of`, `run`, `created_at`, and what it says.

    `since` and `before` are days of `as_of`. Raises `InvalidCursor` when the cursor is no report of the owner's.
    """
    low, high = str(since or _FIRST), str(before or _LAST)
    back, start = bool(cursor and cursor.back), _place(owner, cursor) if cursor else None
    if start:
        low, high = (max(low, start), high) if back else (low, min(high, start))
    items = _query(owner, low, high, limit + 2, newest_first=not back) if low <= high else []
    found = [_report(item) for item in items if item["line"] != start]
    return page(found, limit, back, lambda report: str(report["id"]))


def _query(owner: str, low: str, high: str, count: int, *, newest_first: bool) -> list[dict[str, Any]]:
    """The items between two places, both included; a bare day is below all places of the day."""
    answer = _dynamodb().query(
        TableName=load(ReportSettings).settlements_table,
        KeyConditionExpression="network_ref = :owner AND line BETWEEN :low AND :high",
        ExpressionAttributeValues={":owner": {"S": _partition(owner)}, ":low": {"S": low}, ":high": {"S": high}},
        ScanIndexForward=not newest_first,
        Limit=count,
    )
    return [records.plain(item) for item in answer["Items"]]


def _report(item: dict[str, Any]) -> dict[str, Any]:
    named = {name: item[name] for name in ("as_of", "run", "created_at")}
    return {**msgspec.json.decode(item["report"]), **named, "id": f"{_PREFIX}{item['as_of']}_{item['run']}"}


def _place(owner: str, cursor: Cursor) -> str:
    """Where the report of this id is. Raises `InvalidCursor`."""
    body = cursor.entry_id.removeprefix(_PREFIX)
    place = f"{body[:_DAY]}#{body[_DAY + 1 :]}"
    key = {"network_ref": {"S": _partition(owner)}, "line": {"S": place}}
    item = _dynamodb().get_item(TableName=load(ReportSettings).settlements_table, Key=key).get("Item")
    if item is None or _report(records.plain(item))["id"] != cursor.entry_id:
        raise InvalidCursor(cursor.entry_id)
    return place


def _dynamodb() -> Any:
    return regions.client_in(load(ReportSettings).reconciliation_region or regions.here(), "dynamodb")


def _partition(owner: str) -> str:
    return f"report#{owner}"
