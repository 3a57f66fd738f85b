"""The table `settlements`: results, files that were taken, and reports (docs/reconciliation.md, "Results").

A result stands beside what operators add to it (`_TOUCHED`): it is written attribute by attribute, and never over what
a later run has written. What is open is in the sparse index `unmatched`, unless somebody has decided it; who reads the
index leaves out what waits.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from functions.reconciliation.crowd import each
from functions.reconciliation.items import stored
from functions.reconciliation.runs import Run
from functions.reconciliation.settings import Settings
from payments.clients import client
from payments.records import plain
from payments.settings import load

_BUCKETS = 16
"""Partitions of the index `unmatched`."""

_KEYS = ("network_ref", "line")
_OURS = (*_KEYS, "changed", "withdrawn", "open_since")
"""Of a row, what is no attribute of its item, or not as it is."""

_WITHDRAWN = "withdrawn"
"""The class of a record whose movement has lines now, where it stays for what operators have done with it."""

_NOT_LATER = "(attribute_not_exists(#run) OR #run <= :run)"
_TOUCHED = ("assignee", "disputed", "resolution", "wait_until")
"""What operators add."""

_UNTOUCHED = " AND ".join(f"attribute_not_exists({name})" for name in _TOUCHED)
_UNDECIDED = "attribute_not_exists(resolution)"

Row = Mapping[str, Any]
"""A result as plain values (`ageing.changed`); `open_since` is the day since when it is open, None where it is not."""


def write(rows: Iterable[Row], run: Run) -> None:
    """Puts results, many at once. Repeating it changes nothing; what a later run has written stays."""
    client("dynamodb")  # made once, before the threads ask for it
    each(lambda row: _write(row, run), rows)


def known(network_refs: Sequence[str]) -> list[dict[str, Any]]:
    """The results of these payments, as plain values, in the order of their keys."""
    client("dynamodb")
    return [item for items in each(_of_payment, sorted(set(network_refs))) for item in items]


def take(file: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a file: this one if the file is new, or was refused before; else the one that stands."""
    key = {"network_ref": "file", "line": file}
    taken = _done(
        client("dynamodb").put_item,
        TableName=_table(),
        Item=_item({**key, **record}),
        ConditionExpression="attribute_not_exists(line) OR #result = :refused",
        ExpressionAttributeNames={"#result": "result"},
        ExpressionAttributeValues={":refused": {"S": "refused"}},
    )
    if taken:
        return {**key, **record}
    return plain(client("dynamodb").get_item(TableName=_table(), Key=_item(key), ConsistentRead=True)["Item"])


def put_reports(reports: Iterable[Mapping[str, Any]]) -> None:
    """Puts reports, each with its keys."""
    client("dynamodb")
    each(lambda report: client("dynamodb").put_item(TableName=_table(), Item=_item(report)), reports)


def _write(row: Row, run: Run) -> None:
    if row["withdrawn"]:
        if not _remove(row, run):
            _update({**row, "class": _WITHDRAWN, "at_risk": 0}, run, listed=False)
    elif row["open_since"] is None or not _update(row, run, listed=True):
        _update(row, run, listed=False)


def _remove(row: Row, run: Run) -> bool:
    """Whether the record is gone; it stays where an operator has worked on it, or a later run wrote it.

    A run's functions have all ended before its lease can be taken over, so nobody writes it anew for an earlier run.
    """
    return _done(
        client("dynamodb").delete_item,
        TableName=_table(),
        Key=_item({name: row[name] for name in _KEYS}),
        ConditionExpression=f"{_NOT_LATER} AND {_UNTOUCHED}",
        ExpressionAttributeNames={"#run": "run"},
        ExpressionAttributeValues={":run": {"S": run.run}},
    )


def _update(row: Row, run: Run, *, listed: bool) -> bool:
    """Whether the result was written: listed as open, which nobody must have decided, or not listed."""
    kept = {name: value for name, value in row.items() if name not in _OURS and value is not None}
    kept |= {"run": run.run, "changed_at": run.began_at}
    if listed:
        kept |= {"open": str(zlib.crc32(row["network_ref"].encode()) % _BUCKETS), "open_since": row["open_since"]}
    gone = sorted({*row, "open", "open_since"} - kept.keys() - {*_KEYS, "changed", "withdrawn"})
    names = sorted(kept)
    change = "SET " + ", ".join(f"#{name} = :{name}" for name in names)
    change += ", first_seen = if_not_exists(first_seen, :changed_at)"
    if gone:
        change += " REMOVE " + ", ".join(f"#{name}" for name in gone)
    values = {f":{name}": stored(kept[name]) for name in names}
    return _done(
        client("dynamodb").update_item,
        TableName=_table(),
        Key=_item({name: row[name] for name in _KEYS}),
        UpdateExpression=change,
        ConditionExpression=f"{_NOT_LATER} AND {_UNDECIDED}" if listed else _NOT_LATER,
        ExpressionAttributeNames={f"#{name}": name for name in (*names, *gone)},
        ExpressionAttributeValues=values,
    )


def _done(write: Callable[..., object], **arguments: Any) -> bool:
    """Whether the write's condition held."""
    try:
        write(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _of_payment(network_ref: str) -> list[dict[str, Any]]:
    pages = (
        client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=_table(),
            KeyConditionExpression="network_ref = :payment",
            ExpressionAttributeValues={":payment": {"S": network_ref}},
            ConsistentRead=True,
        )
    )
    return [plain(item) for page in pages for item in page["Items"]]


def _item(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: stored(value) for name, value in values.items() if value is not None}


def _table() -> str:
    return load(Settings).settlements_table
