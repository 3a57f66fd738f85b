"""Markers: which records of the stream are counted.

A marker stands under the first record of a chunk, names all of the chunk's, and is written in the transaction that
counts them, where there is none yet. So the counted part of the stream is a row of markers, each record in one.

A batch walks along them: what begins with a record that has no marker is new. It may therefore come again, two at a
time, with more records or with fewer: Lambda repeats a failed batch from the same record on, with what it then finds.
(The event source neither bisects batches nor reports single failures, which would start a repeat elsewhere.) With
fewer, the next batch starts in the middle of a marker; so before that, the marker is split there.
"""

import time
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from functions.projector import dynamodb
from functions.projector.dynamodb import Item
from functions.projector.settings import ProjectorSettings
from payments.clients import client
from payments.settings import load

_SECONDS = 48 * 3600
"""A stream keeps its records for 24 hours; a marker must outlive them."""

_ABSENT = "attribute_not_exists(sequence_number)"


def counted(numbers: Sequence[int]) -> int:
    """How many of a batch's records, given by ascending sequence numbers, are counted: always the first ones.

    The record after the batch's last either has no marker or is the first of one. Raises botocore's `ClientError` when
    another delivery of the batch splits the same marker.
    """
    done = 0
    while done < len(numbers) and (marker := _read(numbers[done])):
        _end_at(marker, numbers[-1])
        done = bisect_right(numbers, marker[-1])
    return done


def entry(numbers: Sequence[int]) -> dict[str, Any]:
    """The marker of a chunk with these records, for its transaction, which fails when their first one is counted."""
    return _write(numbers, _ABSENT, {})


def _end_at(marker: Sequence[int], last: int) -> None:
    """Splits a marker that goes on beyond a record."""
    kept = bisect_right(marker, last)
    if kept == len(marker):
        return
    unchanged = _write(marker[:kept], "sequence_number = :before", {":before": {"S": str(marker[-1])}})
    dynamodb.transact(lambda _: [unchanged, _write(marker[kept:], _ABSENT, {})])


def _read(first: int) -> tuple[int, ...]:
    """The records of the marker under this one; none when there is no such marker."""
    found = client("dynamodb").get_item(TableName=_table(), Key=_key(first), ConsistentRead=True).get("Item")
    return _unpack(found["records"]["B"]) if found else ()


def _write(numbers: Sequence[int], condition: str, values: Item) -> dict[str, Any]:
    return {
        "Update": {
            "TableName": _table(),
            "Key": _key(numbers[0]),
            "UpdateExpression": "SET sequence_number = :last, records = :records, expires_at = :expiry",
            "ConditionExpression": condition,
            "ExpressionAttributeValues": {
                **values,
                ":last": {"S": str(numbers[-1])},
                ":records": {"B": _pack(numbers)},
                ":expiry": {"N": str(int(time.time()) + _SECONDS)},
            },
        }
    }


def _pack(numbers: Sequence[int]) -> bytes:
    """Ascending numbers by their differences, which are short: the marker of a full batch stays below 1 KB."""
    return zlib.compress(" ".join(str(after - before) for before, after in pairwise((0, *numbers))).encode())


def _unpack(packed: bytes) -> tuple[int, ...]:
    return tuple(accumulate(map(int, zlib.decompress(packed).decode().split())))


def _key(first: int) -> Item:
    return {"account": {"S": f"batch#{first}"}, "period": {"S": "-"}}


def _table() -> str:
    return load(ProjectorSettings).balances_table
