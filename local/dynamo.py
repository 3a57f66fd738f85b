"""The few DynamoDB calls replication makes, over plain HTTP: less CPU time than boto3, no retries behind its back.

The local emulator checks no signature; the credential scope in the header only names the region.
"""

import json
from collections.abc import Mapping
from typing import Any

import urllib3

from local.convergence import Image

_TABLES = "DynamoDB_20120810."
_STREAMS = "DynamoDBStreams_20120810."
_MAX_CONDITIONS = 100
"""DynamoDB allows 300 operators in an expression; a partial comparison is still a comparison."""


class NotReached(Exception):
    """No connection: the request was certainly not received."""


class NoAnswer(Exception):
    """The request was sent and not answered: it may have taken effect, or may yet."""


class Refused(Exception):
    """The service answered with an error; `code` is its name."""

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code


class Dynamo:
    """DynamoDB and its streams in one region."""

    def __init__(self, url: str, region: str, timeout: float = 2.0):
        self._url = url
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=4, retries=False, timeout=timeout)
        scope = f"test/20260101/{region}/dynamodb/aws4_request"
        self._scope = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"

    def streams(self) -> dict[str, str]:
        """The stream ARN of every table that has one."""
        return {found["TableName"]: found["StreamArn"] for found in self._call(_STREAMS + "ListStreams", {})["Streams"]}

    def iterator(self, arn: str, after: str | None) -> str:
        """A position in the stream: after this sequence number, or its oldest record."""
        shards = self._call(_STREAMS + "DescribeStream", {"StreamArn": arn})["StreamDescription"]["Shards"]
        request = {"StreamArn": arn, "ShardId": shards[0]["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        if after is not None:
            request |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
        return str(self._call(_STREAMS + "GetShardIterator", request)["ShardIterator"])

    def records(self, iterator: str) -> tuple[list[dict[str, Any]], str]:
        """Records from this position on, and the next position."""
        answer = self._call(_STREAMS + "GetRecords", {"ShardIterator": iterator})
        return answer["Records"], answer["NextShardIterator"]

    def put(self, table: str, image: Image, expected: Image | None, keys: Image, blindly: bool = False) -> Image | None:
        """Put the item where `expected` is (None: nothing). Returns what it replaced."""
        request = {"TableName": table, "Item": image, "ReturnValues": "ALL_OLD"} | _condition(expected, keys, blindly)
        return self._call(_TABLES + "PutItem", request).get("Attributes") or None

    def delete(self, table: str, expected: Image | None, keys: Image, blindly: bool = False) -> Image | None:
        """Delete the item where `expected` is. Returns what was deleted."""
        request = {"TableName": table, "Key": keys, "ReturnValues": "ALL_OLD"} | _condition(expected, keys, blindly)
        return self._call(_TABLES + "DeleteItem", request).get("Attributes") or None

    def _call(self, target: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0", "Authorization": self._scope}
        try:
            answer = self._pool.request("POST", self._url, body=json.dumps(payload), headers=headers)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise NotReached(str(error)) from None
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswer(str(error)) from None
        if answer.status >= 500:
            raise NoAnswer(f"HTTP {answer.status}")
        decoded: dict[str, Any] = json.loads(answer.data or b"{}")
        if answer.status >= 400:
            raise Refused(str(decoded.get("__type", "")).rpartition("#")[2], str(decoded.get("message", "")))
        return decoded


def _condition(expected: Image | None, keys: Image, blindly: bool) -> dict[str, Any]:
    if blindly:
        return {}
    if expected is None:
        return {"ConditionExpression": "attribute_not_exists(#k)", "ExpressionAttributeNames": {"#k": next(iter(keys))}}
    compared = list(expected.items())[:_MAX_CONDITIONS]
    return {
        "ConditionExpression": " AND ".join(f"#a{n} = :v{n}" for n in range(len(compared))),
        "ExpressionAttributeNames": {f"#a{n}": name for n, (name, _) in enumerate(compared)},
        "ExpressionAttributeValues": {f":v{n}": value for n, (_, value) in enumerate(compared)},
    }
