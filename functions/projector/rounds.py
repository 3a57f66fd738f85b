"""The notary's state: the round under way, and the head of every shard's chain; each changed by conditional writes.

A round has a number, one more than the round before. It says which items of the feed it takes, and when they are
sealed: whoever works it off, at whatever time, makes the same batches. A head says in which round it was advanced, so
a shard gets one batch per round. A round ends when its items are gone from the feed, and the next cannot begin before.
"""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from functions.projector import dynamodb
from functions.projector.dynamodb import Item
from functions.projector.settings import HEAD, ROUND, NotarySettings
from payments.clients import client
from payments.proofs import GENESIS, Batch
from payments.settings import load


class ChainBroken(RuntimeError):
    """What stands in the archive or in `proofs` is not what this notary, or another, has left there."""


@dataclass(frozen=True, slots=True)
class Round:
    """`feed` has the positions of the items it takes; a round without any is over. Round 0 is before the first."""

    number: int = 0
    sealed_at: str = ""
    feed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a shard's chain: the last batch's number and hash, and the round in which it became that."""

    number: int = 0
    hash: str = GENESIS
    round: int = 0


def current() -> Round:
    """The last round that began."""
    item = _get(ROUND, "-")
    if item is None:
        return Round()
    feed = tuple(position["S"] for position in item["feed"]["L"]) if "feed" in item else ()
    return Round(int(item["number"]["N"]), item["sealed_at"]["S"], feed)


def begin(last: Round, feed: list[str], sealed_at: str) -> Round:
    """The next round, or the one that another notary has begun in the meantime; which may be over again."""
    began = Round(last.number + 1, sealed_at, tuple(feed))
    unchanged = "#number = :last AND attribute_not_exists(feed)" if last.number else "attribute_not_exists(#number)"
    values: Item = {
        ":number": {"N": str(began.number)},
        ":sealed_at": {"S": sealed_at},
        ":feed": {"L": [{"S": position} for position in feed]},
    }
    if last.number:
        values[":last"] = {"N": str(last.number)}
    change = "SET #number = :number, sealed_at = :sealed_at, feed = :feed"
    return began if _update(ROUND, "-", change, unchanged, values) else current()


def end(ended: Round) -> None:
    """The round is over, if no other notary has found so before."""
    _update(ROUND, "-", "REMOVE feed", "#number = :number", {":number": {"N": str(ended.number)}})


def heads() -> dict[int, Head]:
    """The heads of all chains, by shard."""
    query = {
        "TableName": _table(),
        "ConsistentRead": True,
        "KeyConditionExpression": "#record = :head",
        "ExpressionAttributeNames": {"#record": "record"},
        "ExpressionAttributeValues": {":head": {"S": HEAD}},
    }
    items = client("dynamodb").query(**query)["Items"]  # 128 small items are one page
    return {int(item["position"]["S"]): _head(item) for item in items}


def advance(before: Head, batch: Batch, under_way: Round) -> None:
    """Makes the batch the end of its chain, unless another notary did in the same round. Raises `ChainBroken`."""
    values: Item = {
        ":number": {"N": str(batch.number)},
        ":hash": {"S": batch.hash},
        ":round": {"N": str(under_way.number)},
    }
    unchanged = "attribute_not_exists(#number)"
    if before.number:
        unchanged = "#number = :before AND #hash = :previous"
        values |= {":before": {"N": str(before.number)}, ":previous": {"S": before.hash}}
    change = "SET #number = :number, #hash = :hash, #round = :round"
    if _update(HEAD, f"{batch.shard:03d}", change, unchanged, values):
        return
    standing = _get(HEAD, f"{batch.shard:03d}")
    if standing is None or _head(standing).round < under_way.number:
        raise ChainBroken(f"the head of shard {batch.shard} was changed outside of round {under_way.number}")


def _head(item: Item) -> Head:
    return Head(int(item["number"]["N"]), item["hash"]["S"], int(item["round"]["N"]))


def _get(record: str, position: str) -> Any:
    key = {"record": {"S": record}, "position": {"S": position}}
    return client("dynamodb").get_item(TableName=_table(), Key=key, ConsistentRead=True).get("Item")


def _update(record: str, position: str, change: str, condition: str, values: Item) -> bool:
    """Whether the condition held."""
    used = {f"#{name}": name for name in ("number", "hash", "round") if f"#{name}" in change + condition}
    try:
        client("dynamodb").update_item(
            TableName=_table(),
            Key={"record": {"S": record}, "position": {"S": position}},
            UpdateExpression=change,
            ConditionExpression=condition,
            ExpressionAttributeNames=used,
            ExpressionAttributeValues=values,
        )
    except ClientError as error:
        if not dynamodb.condition_failed(error):
            raise
        return False
    return True


def _table() -> str:
    return load(NotarySettings).proofs_table
