"""Which model is asked, and which one is tried beside it: two items of `fraud-rules` (docs/interfaces.md, "Which
model").

Every write is conditional on what a run has seen, so that a run whose challenger or champion was replaced meanwhile
changes nothing, and a step that is repeated changes nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from functions.training.settings import Settings
from payments.clients import client
from payments.settings import load

CHAMPION, SHADOW = "model#champion", "model#shadow"


@dataclass(frozen=True, slots=True)
class Pointer:
    """What an item names: a version since a moment, and by whom or by which run."""

    version: str
    since: str
    by: str | None = None
    run: str | None = None
    previous: str | None = None


def champion() -> Pointer | None:
    """The model that is asked; None where it is the shipped one, without anybody's word."""
    return _read(CHAMPION)


def shadow() -> Pointer | None:
    """The model that is tried."""
    return _read(SHADOW)


def put_shadow(run: str, version: str, now: str) -> Pointer | None:
    """Makes a run's challenger the shadow, unless a later run's is. The pointer that stands: the first one of this run,
    however often this is repeated; None where a later run has its own."""
    item = {**_key(SHADOW), "version": {"S": version}, "since": {"S": now}, "run": {"S": run}}
    condition = "attribute_not_exists(#run) OR #run < :run"
    if not _done(
        client("dynamodb").put_item,
        TableName=_table(),
        Item=item,
        ConditionExpression=condition,
        ExpressionAttributeNames={"#run": "run"},
        ExpressionAttributeValues={":run": {"S": run}},
    ):
        standing = shadow()
        return standing if standing and (standing.run, standing.version) == (run, version) else None
    return Pointer(version, now, run=run)


def remove_shadow(run: str) -> None:
    """Takes away the run's challenger, unless it is gone or another run's."""
    _done(client("dynamodb").delete_item, TableName=_table(), Key=_key(SHADOW), **_of_run(run))


def promote(run: str, version: str, before: str, shipped: str, now: str) -> bool:
    """Makes the run's shadow the champion, with what was asked before as `previous`. Whether it is, now or from an
    earlier try.

    `before` is the version that the run was held against. It must still be the one that is asked: an item that names
    it, or none where it is the `shipped` one.
    """
    standing = champion()
    if standing and (standing.version, standing.by) == (version, _by(run)):
        return True
    item = {**_key(CHAMPION), "version": {"S": version}, "previous": {"S": before}, "since": {"S": now}}
    unchanged: dict[str, Any] = {
        "ConditionExpression": "version = :before" + (" OR attribute_not_exists(version)" if before == shipped else ""),
        "ExpressionAttributeValues": {":before": {"S": before}},
    }
    put = {"TableName": _table(), "Item": {**item, "by": {"S": _by(run)}}, **unchanged}
    remove = {"TableName": _table(), "Key": _key(SHADOW), **_of_run(run)}
    return _done(client("dynamodb").transact_write_items, TransactItems=[{"Put": put}, {"Delete": remove}])


def _by(run: str) -> str:
    return f"training {run}"


def _of_run(run: str) -> dict[str, Any]:
    return {
        "ConditionExpression": "#run = :run",
        "ExpressionAttributeNames": {"#run": "run"},
        "ExpressionAttributeValues": {":run": {"S": run}},
    }


def _done(write: Any, **asked: Any) -> bool:
    """Whether the write's condition held. Two transactions at once are neither: that is raised, and the step
    repeated."""
    try:
        write(**asked)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            return False
        reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", ())}
        if code == "TransactionCanceledException" and reasons <= {"ConditionalCheckFailed", "None"}:
            return False
        raise
    return True


def _read(entry: str) -> Pointer | None:
    found = client("dynamodb").get_item(TableName=_table(), Key=_key(entry), ConsistentRead=True).get("Item")
    if found is None:
        return None
    return Pointer(**{name: found[name]["S"] for name in Pointer.__slots__ if "S" in found.get(name, {})})


def _key(entry: str) -> dict[str, Any]:
    return {"scope": {"S": "global"}, "entry": {"S": entry}}


def _table() -> str:
    return load(Settings).fraud_rules_table
