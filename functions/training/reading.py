"""The table of scores: all that a region keeps of a day, page by page. What the table is: docs/interfaces.md."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from math import nan
from typing import Any

from functions.training.labels import DAY
from functions.training.rows import draw
from functions.training.settings import Settings
from payments import regions
from payments.clients import client
from payments.settings import load

BUCKETS = 64
AT_ONCE = 8
"""Partitions that are read at a time; botocore keeps ten connections for a client."""

_READ_TIMEOUT_SECONDS = 10

_NUMBERS = {"at": int, "value": int, "labelled_at": int, "score": float, "probability": float, "weight": float}
_ASKED = (
    "payment_id, #at, merchant, #value, currency, features, catalogue, score, probability, #model, decision, weight, "
    "shadow_model, shadow_score, shadow_probability, label, labelled_at"
)
_NAMES = {"#at": "at", "#value": "value", "#model": "model"}


def everywhere() -> list[str]:
    """The regions whose scores count, this one among them."""
    return list(regions.endpoints()) or [regions.here()]


def of_day(day: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every score of a day (since 1970) with its region, as a plain record: `features` as bytes, a `draw` (rows.py),
    and NaN or an empty text for what is not there of a shadow. In no order, but in the same one each time."""
    for region in everywhere():
        dynamodb = _dynamodb(region)  # made here: clients are not made by several threads
        name = datetime.fromtimestamp(day * DAY, UTC).date().isoformat()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="scores") as threads:
            for first in range(0, BUCKETS, AT_ONCE):  # the next ones are not read before these are used: memory
                partitions = [f"{name}#{bucket}" for bucket in range(first, min(first + AT_ONCE, BUCKETS))]
                for found in threads.map(lambda partition, of=dynamodb: list(_partition(of, partition)), partitions):
                    yield from ((region, item) for item in found)


def _partition(dynamodb: Any, partition: str) -> Iterator[dict[str, Any]]:
    asked = {
        "TableName": load(Settings).fraud_scores_table,
        "KeyConditionExpression": "#day = :day",
        "ExpressionAttributeNames": {"#day": "day", **_NAMES},
        "ExpressionAttributeValues": {":day": {"S": partition}},
        "ProjectionExpression": _ASKED,
    }
    while True:
        page = dynamodb.query(**asked)
        yield from map(_record, page["Items"])
        if "LastEvaluatedKey" not in page:
            return
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _record(item: dict[str, Any]) -> dict[str, Any]:
    found = {name: next(iter(value.values())) for name, value in item.items()}
    found |= {name: kind(found[name]) for name, kind in _NUMBERS.items() if name in found}
    shadow = found.get("shadow_model", "")
    return {
        **found,
        "features": _unpacked(found["features"]),
        "score": found.get("score", nan),
        "probability": found.get("probability", nan),
        "draw": draw(found["payment_id"]),
        "shadow_model": shadow,
        "shadow_score": _number(found.get("shadow_score")),
        "shadow_probability": _number(found.get("shadow_probability")),
    }


def _unpacked(features: bytes) -> bytes:
    """Nothing where it is damaged: a row of another length is left out."""
    try:
        return zlib.decompress(features)
    except zlib.error:
        return b""


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else nan
    except ValueError:
        return nan


def _dynamodb(region: str) -> Any:
    if region == regions.here():
        return client("dynamodb", read_timeout=_READ_TIMEOUT_SECONDS)
    return client("dynamodb", region, regions.endpoints().get(region), read_timeout=_READ_TIMEOUT_SECONDS)
