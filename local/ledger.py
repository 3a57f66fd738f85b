"""One region's ledger as an operator and an auditor read it: its tables, its archive, its functions.

Everything is read with whoever's credentials the clients have; nothing here believes what a projection says about the
ledger. What is done with it is in the modules `ledger_…` beside this one.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from payments import identifiers, proofs, records

LEDGER, PAYMENTS, BALANCES, ACCOUNTS, PROOFS, SHARDS = "ledger", "payments", "balances", "accounts", "proofs", "shards"
"""Names of the tables."""

_SEGMENTS = 8
"""Parts of a table that are read at the same time; a page of each, 1 MB, is in memory."""

Clients = Callable[[str, str], Any]
"""Makes the client of a service in a region."""

Item = dict[str, Any]
Page = tuple[int, list[Item], Item | None]


class Refused(Exception):
    """It was not done; the message says why and what to do."""


@dataclass(frozen=True)
class Head:
    """The newest batch of a chain, as the notary keeps it."""

    number: int
    hash: str


class Region:
    """The ledger in one region. `account` is the AWS account's number, which the archive's name has."""

    def __init__(self, name: str, clients: Clients, account: str):
        self.name = name
        self.bucket = f"payments-ledger-archive-{account}-{name}"
        self._clients = clients

    @cached_property
    def dynamodb(self) -> Any:
        """The region's DynamoDB."""
        return self._clients("dynamodb", self.name)

    @cached_property
    def s3(self) -> Any:
        """The region's S3."""
        return self._clients("s3", self.name)

    def scan(self, table: str) -> Iterator[list[Item]]:
        """The whole table, a page after the other, in no order: everything that was in it when the scan began."""
        with ThreadPoolExecutor(_SEGMENTS) as pool:
            waiting = {pool.submit(self._page, table, segment, None) for segment in range(_SEGMENTS)}
            while waiting:
                done, waiting = _first(waiting)
                pages = [future.result() for future in done]
                waiting |= {pool.submit(self._page, table, segment, then) for segment, _, then in pages if then}
                yield from (items for _, items, _ in pages)

    def query(self, table: str, condition: str, values: dict[str, str], **options: Any) -> Iterator[Item]:
        """The items of one partition, in their order; `values` are text."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
            ConsistentRead=True,
            **options,
        )
        for page in pages:
            yield from page["Items"]

    def get(self, table: str, **key: str) -> Item | None:
        """The item of this key."""
        names = {name: {"S": value} for name, value in key.items()}
        found: Item | None = self.dynamodb.get_item(TableName=table, Key=names, ConsistentRead=True).get("Item")
        return found

    def journals(self, payment_id: str) -> list[Item]:
        """The journals of a payment or transfer as plain items, in the order of its steps."""
        found = [records.plain(item) for item in self.query(LEDGER, "payment_id = :id", {":id": payment_id})]
        return sorted(found, key=lambda item: (item["sequence"], item["created_at"], item["journal_id"]))

    def heads(self) -> dict[int, Head]:
        """The newest batch of every chain of this region, by shard."""
        return {
            int(item["position"]["S"]): Head(int(item["number"]["N"]), item["hash"]["S"])
            for item in self.query(PROOFS, "#record = :head", {":head": "head"}, **_RECORD)
        }

    def feed(self) -> Iterator[list[str]]:
        """The journals that this region wrote and that are not sealed yet, in canonical form, some at a time.

        Something that cannot be read is a text that is no journal.
        """
        for item in self._waiting():
            try:
                yield zlib.decompress(item["journals"]["B"]).decode().split("\n")
            except (zlib.error, UnicodeDecodeError, KeyError, TypeError):
                yield [""]

    def _waiting(self) -> Iterator[Item]:
        for partition in proofs.FEEDS:
            yield from self.query(PROOFS, "#record = :feed", {":feed": partition}, **_RECORD)

    def invoke(self, function: str, event: Item) -> Item:
        """What the function answers. Raises `Refused` when it fails."""
        answer = self._clients("lambda", self.name).invoke(FunctionName=function, Payload=json.dumps(event))
        content = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise Refused(f"{function} in {self.name}: {content.get('errorMessage', content)}")
        found: Item = content
        return found

    def _page(self, table: str, segment: int, start: Item | None) -> Page:
        """A page of one segment, and where the next begins."""
        options = {"ExclusiveStartKey": start} if start else {}
        answer = self.dynamodb.scan(
            TableName=table, Segment=segment, TotalSegments=_SEGMENTS, ConsistentRead=True, **options
        )
        return segment, answer["Items"], answer.get("LastEvaluatedKey")


_RECORD = {"ExpressionAttributeNames": {"#record": "record"}}
"""`record` is one of DynamoDB's reserved words in some expressions; a name of its own works in all."""


@dataclass(frozen=True)
class Read:
    """A journal as somebody has it: what tells it from every other."""

    name: str
    region: str
    created_at: str
    leaf: bytes
    essence: bytes
    """Equal for the copies of one journal that two regions wrote: everything but where, when and in which step."""

    @classmethod
    def of_item(cls, item: Item) -> "Read":
        """From an item of the ledger; what is no journal has an empty leaf, which is that of none."""
        try:
            record = records.plain(item)
            return cls.of_record(record, proofs.canonical(record))
        except (ValueError, TypeError, AttributeError, StopIteration):
            name = f"{_text(item, 'payment_id')}#{_text(item, 'journal_id')}"
            return cls(name, _text(item, "region"), _text(item, "created_at"), b"", b"")

    @classmethod
    def of_text(cls, text: str) -> "Read":
        """From the canonical form. Raises `ValueError` or `TypeError` when it is none."""
        record = json.loads(text)
        if not isinstance(record, dict) or proofs.canonical(record) != text:
            raise ValueError("not in canonical form")
        return cls.of_record(record, text)

    @classmethod
    def of_record(cls, record: Item, text: str) -> "Read":
        """From a plain item and its canonical form."""
        essence = {name: value for name, value in record.items() if name not in ("region", "created_at", "sequence")}
        return cls(
            f"{record.get('payment_id')}#{record.get('journal_id')}",
            str(record.get("region")),
            str(record.get("created_at")),
            proofs.leaf(text),
            proofs.leaf(proofs.canonical(essence)),
        )

    @property
    def shard(self) -> int:
        """The shard it belongs to. Raises `ValueError` when its payment's id is none."""
        return identifiers.shard_of(self.name.partition("#")[0])


def _text(item: Item, attribute: str) -> str:
    return str(next(iter(item.get(attribute, {"S": ""}).values()), ""))


def _first(waiting: set[Future[Page]]) -> tuple[set[Future[Page]], set[Future[Page]]]:
    done, rest = wait(waiting, return_when=FIRST_COMPLETED)
    return done, rest
