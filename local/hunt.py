"""The hunt for card numbers: every place of the running platform and its surroundings, and what it holds."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

Place = tuple[str, bytes]
"""A name and what was found there."""

_MESSAGE_SECONDS = 30
"""How long a message that was looked at is kept from others."""


def disguises(number: str) -> list[bytes]:
    """The number as it may be written: plain, grouped, in hexadecimal, or in base64 at any of its three alignments."""
    groups = [number[start : start + 4] for start in range(0, len(number), 4)]
    aligned = [base64.b64encode(b"\0" * shift + number.encode())[(4 if shift else 0) : -4] for shift in range(3)]
    plain = [number, " ".join(groups), "-".join(groups), ".".join(groups), number.encode().hex(), f"{int(number):x}"]
    return [text.encode() for text in plain] + aligned


def dump(value: Any) -> bytes:
    """Anything as text to search, with bytes as they are."""
    return json.dumps(
        value, default=lambda other: other.decode("latin-1") if isinstance(other, bytes) else str(other)
    ).encode()


class Places:
    """The places of one local cloud. `aws` makes the client of a service in a region."""

    def __init__(self, aws: Callable[[str, str], Any], home: Path, endpoints: dict[str, Any]):
        self._aws, self._home, self._endpoints = aws, home, endpoints

    def everywhere(self, regions: Iterable[str]) -> Iterator[Place]:
        """All of them in these regions, and around."""
        for region in regions:
            for place in (self.tables, self.queues, self.logs, self.executions, self.objects):
                yield from place(region)
        yield from self.files()
        yield from self.stand_ins()

    def hits(self, numbers: Iterable[str], regions: Iterable[str]) -> list[str]:
        """Names of the places that hold one of the numbers in any disguise, each once."""
        needles = [needle for number in numbers for needle in disguises(number)]
        places = self.everywhere(regions)
        return sorted({name for name, content in places if any(needle in content for needle in needles)})

    def tables(self, region: str) -> Iterator[Place]:
        """Every item of every table."""
        dynamodb = self._aws("dynamodb", region)
        for table in dynamodb.list_tables()["TableNames"]:
            for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
                for item in page["Items"]:
                    yield f"{region} table {table}", dump(item) + b"".join(_opened(item))

    def queues(self, region: str) -> Iterator[Place]:
        """Every message that waits; nobody else gets it for a while."""
        sqs = self._aws("sqs", region)
        asked = {"MaxNumberOfMessages": 10, "VisibilityTimeout": _MESSAGE_SECONDS, "WaitTimeSeconds": 0}
        for url in sqs.list_queues().get("QueueUrls", []):
            while messages := sqs.receive_message(QueueUrl=url, **asked).get("Messages"):
                for message in messages:
                    yield f"{region} queue {url.rsplit('/', 1)[-1]}", dump(message)

    def logs(self, region: str) -> Iterator[Place]:
        """Every line of every log."""
        logs = self._aws("logs", region)
        for group in logs.describe_log_groups()["logGroups"]:
            name = group["logGroupName"]
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
                for event in page["events"]:
                    yield f"{region} log {name}", event["message"].encode()

    def executions(self, region: str) -> Iterator[Place]:
        """Every execution of every state machine, with its history."""
        machines = self._aws("stepfunctions", region)
        for machine in machines.list_state_machines()["stateMachines"]:
            for execution in machines.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]:
                arn = execution["executionArn"]
                yield f"{region} execution", dump(machines.describe_execution(executionArn=arn))
                history = machines.get_execution_history(executionArn=arn, maxResults=1000)
                yield f"{region} execution history", dump(history["events"])

    def objects(self, region: str) -> Iterator[Place]:
        """Every object of every bucket."""
        s3 = self._aws("s3", region)
        for bucket in s3.list_buckets()["Buckets"]:
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
                for item in page.get("Contents", []):
                    content = s3.get_object(Bucket=bucket["Name"], Key=item["Key"])["Body"].read()
                    yield f"{region} object {item['Key']}", content + _unpacked(content)

    def files(self) -> Iterator[Place]:
        """Every file of the home directory."""
        for path in self._home.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink():
                    yield f"file {path.relative_to(self._home)}", path.read_bytes()

    def stand_ins(self) -> Iterator[Place]:
        """What the card network and the webhooks' receiver have."""
        for name, path in (("card_network", "authorizations"), ("webhook_inbox", "webhooks")):
            yield name, httpx.get(f"{self._endpoints[name]}/{path}", trust_env=False, timeout=30).content


def _opened(item: dict[str, Any]) -> Iterator[bytes]:
    """What an item's binary attributes hold when they are compressed."""
    for value in item.values():
        if "B" in value:
            yield _unpacked(bytes(value["B"]))


def _unpacked(content: bytes) -> bytes:
    for unpack in (gzip.decompress, zlib.decompress):
        with suppress(OSError, EOFError, zlib.error):
            return bytes(unpack(content))
    return b""
