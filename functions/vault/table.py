"""DynamoDB as the vault uses it: botocore without resources, `#name` for attributes, conditions as answers."""

import logging
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

logging.getLogger("botocore").setLevel(logging.WARNING)  # it shows every request, card keys included, at DEBUG

Item = dict[str, Any]  # in DynamoDB's own typed form
Key = tuple[str, str]  # `token` and `holding`, the key of both of the vault's tables


def dynamodb_client() -> Any:
    """A client with explicit time-outs; region, credentials and AWS_ENDPOINT_URL come from the environment."""
    config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3})
    return botocore.session.get_session().create_client("dynamodb", config=config)


class Table:
    """One of the vault's two tables. Everything is read with strong consistency.

    In expressions `#name` stands for the attribute `name`. A change whose condition does not hold is answered with
    None, and nothing has changed.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, key: Key) -> Item | None:
        """The item, or None."""
        answer = self._client.get_item(TableName=self._name, Key=_key(key), ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    def query(self, token: str, prefix: str = "") -> list[Item]:
        """All items of a partition whose sort key begins with `prefix`."""
        condition, values = "#token = :token", {":token": {"S": token}}
        if prefix:
            condition += " AND begins_with(#holding, :prefix)"
            values[":prefix"] = {"S": prefix}
        found: list[Item] = []
        request = {
            "TableName": self._name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": _names(condition),
            "ExpressionAttributeValues": values,
            "ConsistentRead": True,
        }
        while True:
            answer = self._client.query(**request)
            found += answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return found
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def page(self, limit: int, start: Item | None) -> tuple[list[Item], Item | None]:
        """The next at most `limit` items of the whole table from `start` on, and where the page after it starts."""
        request: dict[str, Any] = {"TableName": self._name, "Limit": limit, "ConsistentRead": True}
        answer = self._client.scan(**request, **({"ExclusiveStartKey": start} if start else {}))
        return answer["Items"], answer.get("LastEvaluatedKey")

    def put(self, key: Key, attributes: Item, condition: str = "", values: Item | None = None) -> bool:
        """Puts an item; False where the condition does not hold."""
        request = {"Item": _key(key) | attributes}
        return self._write("put_item", request, condition, values or {}) is not None

    def update(self, key: Key, update: str, values: Item, condition: str = "") -> Item | None:
        """The item as it is after the update."""
        request = {"Key": _key(key), "UpdateExpression": update, "ReturnValues": "ALL_NEW"}
        answer = self._write("update_item", request, condition, values)
        return None if answer is None else dict(answer["Attributes"])

    def delete(self, key: Key, condition: str = "", values: Item | None = None) -> Item | None:
        """The item that was deleted; None if there was none."""
        request = {"Key": _key(key), "ReturnValues": "ALL_OLD"}
        answer = self._write("delete_item", request, condition, values or {})
        return (answer or {}).get("Attributes") or None

    def _write(self, operation: str, request: Item, condition: str, values: Item) -> Item | None:
        request["TableName"] = self._name
        if condition:
            request["ConditionExpression"] = condition
        names = _names(f"{request.get('UpdateExpression', '')} {condition}")
        if names:
            request["ExpressionAttributeNames"] = names
        if values:
            request["ExpressionAttributeValues"] = values
        try:
            answer: Item = getattr(self._client, operation)(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return None
        return answer


def number(value: int) -> dict[str, str]:
    """A number in DynamoDB's form."""
    return {"N": str(value)}


def integer(item: Mapping[str, Any], name: str) -> int | None:
    """A number attribute of an item, or None if it has none of that name."""
    return int(item[name]["N"]) if name in item else None


def key_of(item: Item) -> Key:
    """The key of an item."""
    return item["token"]["S"], item["holding"]["S"]


def _key(key: Key) -> Item:
    return {"token": {"S": key[0]}, "holding": {"S": key[1]}}


@cache
def _names(expressions: str) -> dict[str, str]:
    return {f"#{name}": name for name in re.findall(r"#(\w+)", expressions)}
