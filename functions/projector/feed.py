"""The feed: what the projector has counted and the notary has not sealed yet, one item of `proofs` per chunk.

Written once, in the transaction that counts the chunk, and deleted once its journals are in the archive.
"""

from collections.abc import Iterable
from typing import Any

from functions.projector import chunks, dynamodb
from functions.projector.chunks import Chunk
from functions.projector.dynamodb import Item
from functions.projector.settings import NotarySettings, ProjectorSettings
from payments import regions
from payments.clients import client
from payments.proofs import FEEDS, feed_of
from payments.settings import load


def entry(chunk: Chunk) -> list[dict[str, Any]]:
    """The put of the chunk's item, for its transaction; none when nothing in it is for this region to seal."""
    region = regions.here()
    lines = [arrival.line for arrival in chunk.arrivals if arrival.of(region)]
    if not lines:
        return []
    item = {
        **_key(f"{chunk.arrivals[0].number:040d}"),
        "journals": {"B": chunks.pack(lines)},
        "size": {"N": str(sum(len(line.encode()) for line in lines))},
    }
    return [{"Put": {"TableName": load(ProjectorSettings).proofs_table, "Item": item}}]


def first(most_items: int, most_bytes: int) -> list[str]:
    """The positions of the oldest items, as many as these limits allow and at least one, if there is one.

    The oldest by their place in their part of the stream: of which of them are older than others of another part,
    positions say little, and it does not matter.
    """
    waiting = sorted(item for partition in FEEDS for item in _sizes(partition, most_items, most_bytes))
    found: list[str] = []
    size = 0
    for position, item_size in waiting:
        size += item_size
        if found and (size > most_bytes or len(found) == most_items):
            break
        found.append(position)
    return found


def _sizes(partition: str, most_items: int, most_bytes: int) -> list[tuple[str, int]]:
    """Positions and sizes of a partition's oldest items; no more than could be taken of it."""
    found: list[tuple[str, int]] = []
    start: dict[str, Any] = {}
    while len(found) < most_items and sum(size for _, size in found) <= most_bytes:
        page = client("dynamodb").query(**_oldest(partition), **start)
        found += [(item["position"]["S"], int(item["size"]["N"])) for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    return found


def read(positions: Iterable[str]) -> dict[str, list[str]]:
    """The canonical journals of the items at these positions, in this order; without those that are gone."""
    items = dynamodb.read(_table(), [_key(position) for position in positions])
    found = {item["position"]["S"]: chunks.unpack(item["journals"]["B"]) for item in items}
    return {position: found[position] for position in positions if position in found}


def delete(positions: Iterable[str]) -> None:
    """Removes these items; those that are gone already may be named again."""
    dynamodb.write(_table(), [{"DeleteRequest": {"Key": _key(position)}} for position in positions])


def _oldest(partition: str) -> dict[str, Any]:
    return {
        "TableName": _table(),
        "ConsistentRead": True,
        "KeyConditionExpression": "#record = :feed",
        "ProjectionExpression": "#position, #size",
        "ExpressionAttributeNames": {"#record": "record", "#position": "position", "#size": "size"},
        "ExpressionAttributeValues": {":feed": {"S": partition}},
    }


def _key(position: str) -> Item:
    return {"record": {"S": feed_of(position)}, "position": {"S": position}}


def _table() -> str:
    return load(NotarySettings).proofs_table
