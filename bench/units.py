"""DynamoDB's units: which ones a recorded call uses, by the sizes of the items in the tables."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bench import environment, prices  # noqa: F401
from local.settings import GLOBAL_TABLES
from payments.tables import MerchantIndex, PendingIndex

_INDEXES: dict[str, str] = {
    index.Meta.index_name: index._hash_key_attribute().attr_name  # type: ignore[attr-defined,no-untyped-call]
    for index in (PendingIndex, MerchantIndex)
}
"""The attribute that makes a payment an entry of each index: setting and removing it writes the index."""

_PER_BATCH = ("balances", "proofs")
"""Tables of which a batch of the ledger's stream writes one item for many journals of the same merchant."""

_FEED_SHARE = 0.15
"""Of the feed's item, which grows with its batch: 200 journals take some 30 units (`python -m bench.projector`)."""


@dataclass(frozen=True)
class Units:
    """Some units of one kind; `share` is the part of them that a charge pays when it shares a full batch."""

    operation: str
    number: float
    price: float
    share: float = 1.0


class Sizes:
    """Looks items up where a call was made; remembers the largest item per table."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.largest: dict[str, int] = {}

    def item(self, table: str, key: dict[str, Any]) -> int:
        """Bytes of the item, 0 when there is none."""
        found = self._client.get_item(TableName=table, Key=key, ConsistentRead=True)
        return self._seen(table, prices.item_size(found.get("Item", {})))

    def query(self, request: dict[str, Any]) -> int:
        """Bytes that a query looks at."""
        names = ("TableName", "KeyConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues")
        found = self._client.query(**{name: request[name] for name in names if name in request})
        return self._seen(request["TableName"], sum(map(prices.item_size, found["Items"])))

    def replicated_bytes(self, calls: Iterable[Any]) -> int:
        """Bytes of all items these calls wrote into global tables."""
        writes = [write for call in calls for write in _writes(call.name, call.request)]
        return sum(self.written(write) for write in writes if write["TableName"] in GLOBAL_TABLES)

    def written(self, write: dict[str, Any]) -> int:
        if "Item" in write:
            return self._seen(write["TableName"], prices.item_size(write["Item"]))
        return self.item(write["TableName"], write["Key"])

    def _seen(self, table: str, size: int) -> int:
        self.largest[table] = max(size, self.largest.get(table, 0))
        return size


def units(name: str, request: dict[str, Any], sizes: Sizes, stream_batch: int) -> Iterator[Units]:
    """What one call uses, here and in the other region."""
    yield from _reads(name, request, sizes, stream_batch)
    for write in _writes(name, request):
        yield from _write(write, name == "TransactWriteItems", sizes, stream_batch)


def _reads(name: str, request: dict[str, Any], sizes: Sizes, stream_batch: int) -> Iterator[Units]:
    consistent = bool(request.get("ConsistentRead"))
    if name == "GetItem":
        table, key = request["TableName"], request["Key"]
        share = 1 / stream_batch if table == "balances" else 1.0
        yield _read(table, sizes.item(table, key), consistent, share)
    elif name == "Query":
        yield _read(request["TableName"], sizes.query(request), consistent)
    elif name == "BatchGetItem":
        for table, wanted in request["RequestItems"].items():
            for key in wanted["Keys"]:
                yield _read(table, sizes.item(table, key), bool(wanted.get("ConsistentRead")))


def _read(table: str, size: int, consistent: bool, share: float = 1.0) -> Units:
    return Units(f"{table}: read units", prices.read_units(size, consistent), prices.READ_UNIT, share)


def _writes(name: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    if name == "TransactWriteItems":
        return [action for item in request["TransactItems"] for action in item.values()]
    if name == "BatchWriteItem":
        return [
            {"TableName": table, **put["PutRequest"]}
            for table, puts in request["RequestItems"].items()
            for put in puts
            if "PutRequest" in put
        ]
    return [request] if name in ("UpdateItem", "PutItem") else []


def _write(write: dict[str, Any], transaction: bool, sizes: Sizes, stream_batch: int) -> Iterator[Units]:
    table = write["TableName"]
    plain = prices.write_units(sizes.written(write))
    share = 1 / stream_batch if table in _PER_BATCH else 1.0
    if table == "proofs":
        share = max(share, _FEED_SHARE)
    kind = "transaction" if transaction else "plain"
    number = plain * (prices.TRANSACTION_UNITS if transaction else 1)
    yield Units(f"{table}: write units, {kind}", number, prices.WRITE_UNIT, share)
    if table in GLOBAL_TABLES and not _only_checks(write):
        yield Units(f"{table}: write units, replica", plain * prices.REPLICA_UNITS, prices.WRITE_UNIT)
    for index in _moved(write) if table == "payments" else ():
        yield Units(f"payments: write units, index {index}, both regions", prices.REGIONS, prices.WRITE_UNIT)


def _only_checks(write: dict[str, Any]) -> bool:
    """Whether it is a transaction's ConditionCheck, which is paid like a write and changes nothing to replicate."""
    return not {"Item", "UpdateExpression"} & write.keys()


def _moved(write: dict[str, Any]) -> list[str]:
    """The indexes that a write to a payment writes too."""
    named = set(write.get("Item", {})) | set(write.get("ExpressionAttributeNames", {}).values())
    return [index for index, attribute in _INDEXES.items() if attribute in named]
