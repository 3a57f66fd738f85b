"""The table `settlements` as operators read and write it (docs/reconciliation.md, "Results").

Runs write results attribute by attribute and leave what stands beside them alone: `version`, which counts what
operators did, and `assignee`, `wait_until`, `disputed`, `resolution`, which say what. Each is written in one
transaction with a record of who did it, and with its idempotency key.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from functions.operations.requests import Command
from functions.operations.settings import client, settings
from payments import records
from payments.errors import Busy, Conflict

Item = dict[str, Any]
Operation = dict[str, Any]
"""One of a transaction's, as DynamoDB has it."""

Values = Mapping[str, str | None]
"""Attributes of a record that change; None is one that goes."""

_OVER = "over"
"""The state of the lease `run`, `current` when no run is under way."""

_CONDITION_FAILED = "ConditionalCheckFailed"


class Overtaken(Exception):
    """A condition of the transaction did not hold: somebody else was first. Nothing was written."""


def find(network_ref: str) -> list[Item]:
    """Everything under a reference, results and what operators did to them, read consistently."""
    pages = (
        client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=settings().settlements_table,
            KeyConditionExpression="network_ref = :payment",
            ExpressionAttributeValues={":payment": {"S": network_ref}},
            ConsistentRead=True,
        )
    )
    return [records.plain(item) for page in pages for item in page["Items"]]


def read(network_ref: str, line: str) -> Item | None:
    """One item, read consistently."""
    key = _key(network_ref, line)
    item = client("dynamodb").get_item(TableName=settings().settlements_table, Key=key, ConsistentRead=True).get("Item")
    return records.plain(item) if item else None


def marker(key: str) -> Item | None:
    """What was asked under an idempotency key."""
    return read(f"key#{key}", "-")


def mark(command: Command, state: str, **texts: str) -> Operation:
    """Takes the command's idempotency key, which nobody must have."""
    noted = {"fingerprint": command.fingerprint, "state": state, "by": command.by, "at": command.at, **texts}
    return _put(f"key#{command.key}", "-", noted)


def audit(command: Command, what: str, before: Values, after: Values) -> Operation:
    """The record of who did what to a record, and what it was before."""
    noted = {"record": command.record, "what": what, "by": command.by, "at": command.at, "key": command.key}
    noted |= {"before": _json(before), "after": _json(after), "request": _json(msgspec.to_builtins(command.body))}
    return _put(command.network_ref, f"{command.record}#audit#{command.at}#{command.key}", noted)


def change(record: Mapping[str, Any], values: Values) -> Operation:
    """Changes a record, if it is as it was read and nobody has decided it."""
    version = record.get("version")
    setting = {name: {"S": value} for name, value in values.items() if value is not None}
    names = {"#class": "class", "#run": "run", **{f"#{name}": name for name in values}}
    unchanged = "version = :version" if version is not None else "attribute_not_exists(version)"
    expression = "SET version = :next" + "".join(f", #{name} = :{name}" for name in setting)
    gone = ", ".join(f"#{name}" for name in values if name not in setting)
    return {
        "Update": {
            "TableName": settings().settlements_table,
            "Key": _key(record["network_ref"], record["line"]),
            "UpdateExpression": f"{expression} REMOVE {gone}" if gone else expression,
            "ConditionExpression": f"#class = :class AND #run = :run AND {unchanged}"
            " AND attribute_not_exists(resolution)",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {
                ":class": {"S": record["class"]},
                ":run": {"S": record["run"]},
                ":next": {"N": str((version or 0) + 1)},
                **({":version": {"N": str(version)}} if version is not None else {}),
                **{f":{name}": value for name, value in setting.items()},
            },
        }
    }


def no_run_under_way() -> Operation:
    """Holds while no run is under way: what a run has begun with must not change before it is over."""
    return {
        "ConditionCheck": {
            "TableName": settings().settlements_table,
            "Key": _key("run", "current"),
            "ConditionExpression": "attribute_not_exists(network_ref) OR #state = :over",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": {":over": {"S": _OVER}},
        }
    }


def forget(key: str) -> Operation:
    """Gives an idempotency key back."""
    return {"Delete": {"TableName": settings().settlements_table, "Key": _key(f"key#{key}", "-")}}


def transact(operations: Sequence[Operation]) -> None:
    """Writes all or nothing.

    Raises `Overtaken`; `Busy` when others write the same items at this moment, or a run is under way.
    """
    try:
        client("dynamodb").transact_write_items(TransactItems=list(operations))
    except ClientError as error:
        if error.response["Error"]["Code"] != "TransactionCanceledException":
            raise
        codes = [reason.get("Code") for reason in error.response.get("CancellationReasons", ())]
        failed = [kind for code, kind in zip(codes, operations, strict=False) if code == _CONDITION_FAILED]
        if any("ConditionCheck" in operation for operation in failed):
            sentence = "A run of reconciliation is under way; nothing was done, try again when it is over."
            raise Busy("run_under_way", sentence) from None
        if failed:
            raise Overtaken from None
        raise Busy("discrepancy_busy", "Others are changing it at this moment; nothing was done.") from None


def update(network_ref: str, line: str, *, holds: Values, values: Values) -> bool:
    """Changes an item whose attributes hold these values (None: whatever); whether it was so."""
    setting = {name: {"S": value} for name, value in values.items() if value is not None}
    gone = [name for name in values if name not in setting]
    parts = ["SET " + ", ".join(f"#{name} = :{name}" for name in setting)] if setting else []
    parts += ["REMOVE " + ", ".join(f"#{name}" for name in gone)] if gone else []
    wanted = {f":held_{name}": {"S": value} for name, value in holds.items() if value is not None}
    condition = ["attribute_exists(line)", *(f"#{name} = :held_{name}" for name in holds)]
    try:
        client("dynamodb").update_item(
            TableName=settings().settlements_table,
            Key=_key(network_ref, line),
            UpdateExpression=" ".join(parts),
            ConditionExpression=" AND ".join(condition),
            ExpressionAttributeNames={f"#{name}": name for name in {*values, *holds}},
            ExpressionAttributeValues={**{f":{name}": value for name, value in setting.items()}, **wanted},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def closed() -> Conflict:
    """Somebody has decided it, or a run has."""
    return Conflict("discrepancy_closed", "This is no open discrepancy any more.")


def results(items: Iterable[Item]) -> list[Item]:
    """The results among items of one reference."""
    return [item for item in items if "class" in item]


def audits(items: Iterable[Item], record: str) -> list[Item]:
    """What operators did to a record, the oldest first."""
    found = [item for item in items if "what" in item and item["record"] == record]
    return sorted(found, key=lambda item: (item["at"], item["key"]))


def _put(network_ref: str, line: str, texts: Mapping[str, str]) -> Operation:
    item = {**_key(network_ref, line), **{name: {"S": value} for name, value in texts.items()}}
    table = settings().settlements_table
    return {"Put": {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(network_ref)"}}


def _key(network_ref: str, line: str) -> Item:
    return {"network_ref": {"S": network_ref}, "line": {"S": line}}


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
