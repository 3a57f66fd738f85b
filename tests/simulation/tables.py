"""The tables of one region in memory, and what DynamoDB does with them; replication is `replication.py`.

Every operation takes effect at one instant, as DynamoDB's do on an item and in a transaction. What no code under test
sends is an error.
"""

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from tests.simulation import expressions
from tests.simulation.expressions import Item
from tests.simulation.hub import NotSimulated

Key = tuple[str, ...]
Watch = Callable[[str, Key, Item], None]

KEYS: dict[str, tuple[str, ...]] = {
    "payments": ("payment_id",),
    "ledger": ("payment_id", "journal_id"),
    "shards": ("shard",),
    "balances": ("account", "period"),
    "tokens": ("token", "holding"),
}
"""`tokens` stands for the vault's table, whose functions are not the real ones here."""

INDEXES = {
    "pending": ("pending_bucket", "pending_since"),
    "merchant": ("merchant_bucket", "listed_as"),
    "review": ("review", "listed_as"),
}
STALE_SECONDS = 0.3
"""How long an eventually consistent read may find what was there before."""


class Tables:
    """A region's copy of every table. `watch` is told of each write that is about to be made here, `stale` decides
    whether a read that need not be consistent finds what was there before."""

    def __init__(self, now: Callable[[], float], watch: Watch, stale: Callable[[], bool]):
        self.items: dict[str, dict[Key, Item]] = {name: {} for name in KEYS}
        self._before: dict[tuple[str, Key], tuple[float, Item | None]] = {}
        self._now, self._watch, self._stale = now, watch, stale
        self._committed: set[str] = set()
        self.replaced: Callable[[str, Item, Item], None] = lambda table, old, new: None
        """Is told of each item that takes another one's place, as the tables' streams are."""

    def do(self, operation: str, asked: dict[str, Any], token: str) -> dict[str, Any]:
        """The answer to an operation. `token` is the same for every try of one request (ClientRequestToken)."""
        match operation:
            case "GetItem":
                return self._get(asked)
            case "BatchGetItem":
                return self._batch_get(asked)
            case "Query":
                found = list(self._query(asked))[: asked.get("Limit")]
                return {"Items": found, "Count": len(found), "ScannedCount": len(found)}
            case "Scan" if asked["TotalSegments"] == 1:
                return {
                    "Items": [self.items[asked["TableName"]][key] for key in sorted(self.items[asked["TableName"]])]
                }
            case "TransactWriteItems":
                return self._transact(asked["TransactItems"], token)
        raise NotSimulated(operation)

    def put(self, table: str, item: Item) -> None:
        """Write an item, as a request of this region."""
        key = self._key(table, item)
        self._watch(table, key, item)
        self.place(table, key, item)

    def place(self, table: str, key: Key, item: Item) -> None:
        """Have this item, wherever it was written."""
        before = self.items[table].get(key)
        self._before[table, key] = self._now(), before
        self.items[table][key] = item
        if before:
            self.replaced(table, before, item)

    def _get(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = self._read(asked["TableName"], self._key(asked["TableName"], asked["Key"]), asked)
        return {"Item": found} if found else {}

    def _batch_get(self, asked: dict[str, Any]) -> dict[str, Any]:
        """In the order of keys, not of the request: pynamodb asks in the order of a set."""
        answers = {}
        for table, wanted in asked["RequestItems"].items():
            keys = sorted(self._key(table, key) for key in wanted["Keys"])
            answers[table] = [item for key in keys if (item := self._read(table, key, wanted))]
        return {"Responses": answers, "UnprocessedKeys": {}}

    def _read(self, table: str, key: Key, asked: dict[str, Any]) -> Item | None:
        if not asked.get("ConsistentRead") and (table, key) in self._before:
            changed, before = self._before[table, key]
            if self._now() - changed < STALE_SECONDS and self._stale():
                return before
        return self.items[table].get(key)

    def _query(self, asked: dict[str, Any]) -> Iterator[Item]:
        table, index = asked["TableName"], asked.get("IndexName")
        test = expressions.condition(asked["KeyConditionExpression"])
        names, values = asked.get("ExpressionAttributeNames", {}), asked["ExpressionAttributeValues"]
        if "FilterExpression" in asked or "ExclusiveStartKey" in asked:
            raise NotSimulated(asked)
        keys = INDEXES[index] if index else KEYS[table]
        found = [item for item in self.items[table].values() if keys[0] in item and test(item, names, values)]
        found.sort(key=lambda item: expressions.comparable(item[keys[-1]]))
        if not asked.get("ScanIndexForward", True):
            found.reverse()
        for item in found:
            yield {name: item[name] for name in (*keys, *KEYS[table])} if index else item

    def _transact(self, parts: list[dict[str, Any]], token: str) -> dict[str, Any]:
        if token in self._committed:
            return {}
        fates = [self._allows(kind, part) for single in parts for kind, part in single.items()]
        if not all(fates):
            raise canceled(*("None" if fate else "ConditionalCheckFailed" for fate in fates))
        for single in parts:
            for kind, part in single.items():
                self._write(kind, part)
        self._committed.add(token)
        return {}

    def _allows(self, kind: str, part: dict[str, Any]) -> bool:
        if "ConditionExpression" not in part:
            return True
        key = self._key(part["TableName"], part["Item"] if kind == "Put" else part["Key"])
        names, values = part.get("ExpressionAttributeNames", {}), part.get("ExpressionAttributeValues", {})
        return expressions.condition(part["ConditionExpression"])(
            self.items[part["TableName"]].get(key, {}), names, values
        )

    def _write(self, kind: str, part: dict[str, Any]) -> None:
        table = part["TableName"]
        match kind:
            case "ConditionCheck":
                return
            case "Put":
                self.put(table, part["Item"])
            case "Update":
                item = {**self.items[table].get(self._key(table, part["Key"]), part["Key"])}
                names, values = part.get("ExpressionAttributeNames", {}), part.get("ExpressionAttributeValues", {})
                expressions.update(part["UpdateExpression"])(item, names, values)
                self.put(table, item)
            case _:
                raise NotSimulated(kind)

    @staticmethod
    def _key(table: str, item: Item) -> Key:
        return tuple(next(iter(item[name].values())) for name in KEYS[table])


def canceled(*codes: str) -> ClientError:
    """A transaction that was not made, with a reason for each of its parts."""
    reasons = [{"Code": code, "Message": code} for code in codes]
    error = {"Error": {"Code": "TransactionCanceledException", "Message": ", ".join(codes)}}
    return ClientError({**error, "CancellationReasons": reasons}, "TransactWriteItems")
