"""Invokes a Lambda function of the running local cloud with a sample event."""

import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from local.client import TEST_CARD, Client, new_card_number, new_key, until
from local.deploy import aws
from local.seed import DEMO_ENDPOINT
from local.settings import Settings
from payments import clock, identifiers
from payments.sealing import seal_card

_PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}")
_ARRIVAL_SECONDS = 30


class InvalidEvent(ValueError):
    """The file holds no JSON, or a `${…}` that nothing stands for."""


@dataclass(frozen=True)
class Invocation:
    """What came of an invocation."""

    result: Any
    failed: bool
    milliseconds: int
    log: str


def invoke(at: Settings, endpoints: dict[str, Any], function: str, event: Any, region: str) -> Invocation:
    """Invoke a function, by its name with or without `payments-`, with this event, its placeholders filled in."""
    name = function if function.startswith("payments-") else f"payments-{function}"
    payload = json.dumps(Placeholders(at, endpoints, region).fill(event)).encode()
    started = time.perf_counter()
    answer = aws(at, "lambda", region, read_timeout=120).invoke(FunctionName=name, LogType="Tail", Payload=payload)
    elapsed = int((time.perf_counter() - started) * 1000)
    result = json.loads(answer["Payload"].read() or b"null")
    log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
    return Invocation(result, "FunctionError" in answer, elapsed, log)


def read_event(file: Path) -> Any:
    """The event in a file. Raises `InvalidEvent`."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InvalidEvent(f"{file}: {error}") from None


class Placeholders:
    """Values that only exist in a running cloud; each is made at most once, when an event asks for it."""

    def __init__(self, at: Settings, endpoints: dict[str, Any], region: str):
        self._at, self._endpoints, self._region = at, endpoints, region
        self._made: dict[str, Any] = {}

    def fill(self, event: Any) -> Any:
        """The event with every `${name}` replaced; a text that is nothing else may become any JSON value.

        Raises `InvalidEvent`.
        """
        if isinstance(event, dict):
            return {name: self.fill(value) for name, value in event.items()}
        if isinstance(event, list):
            return [self.fill(value) for value in event]
        if not isinstance(event, str):
            return event
        if whole := _PLACEHOLDER.fullmatch(event):
            return self._value(whole[1])
        return _PLACEHOLDER.sub(lambda found: _text(self._value(found[1])), event)

    def _value(self, name: str) -> Any:
        makers: dict[str, Callable[[], Any]] = {
            "merchant_id": lambda: self._endpoints["merchant"]["id"],
            "shard": lambda: str(identifiers.merchant_shard(self._endpoints["merchant"]["id"])),
            "endpoint_id": lambda: DEMO_ENDPOINT,
            "idempotency_key": new_key,
            "api_key": lambda: self._endpoints["merchant"]["api_key"],
            "region": lambda: self._region,
            "now": clock.now,
            "sealed_card": self._sealed_card,
            "payment_id": lambda: self._value("payment")["payment_id"],
            "token": lambda: self._value("payment")["card"]["token"],
            "payment": self._payment,
            "refund_id": self._refund,
        }
        if name not in makers:
            raise InvalidEvent(f"${{{name}}}; there are {', '.join(sorted(makers))}")
        if name not in self._made:
            self._made[name] = makers[name]()
        return self._made[name]

    def _sealed_card(self) -> str:
        answer = aws(self._at, "lambda", self._region).invoke(FunctionName="payments-vault-public-key", Payload=b"{}")
        key = json.loads(answer["Payload"].read())["keys"][0]
        return seal_card(TEST_CARD, key, self._endpoints["merchant"]["id"], new_key(), int(time.time()))

    def _payment(self) -> dict[str, Any]:
        client = Client(self._endpoints["edge"], self._endpoints["merchant"]["api_key"])
        payment_id = client.charge(card={**TEST_CARD, "number": new_card_number()}).body["id"]
        client.settled(payment_id)
        look = partial(items, self._at, self._region, "payments", payment_id)
        return until(look, _ARRIVAL_SECONDS, f"{payment_id} in {self._region}")[0]

    def _refund(self) -> str:
        client = Client(self._endpoints["edge"], self._endpoints["merchant"]["api_key"])
        refund_id = str(client.refund(self._value("payment_id"), 100).body["id"])
        look = partial(self._journal, self._value("payment_id"), refund_id)
        until(look, _ARRIVAL_SECONDS, f"{refund_id} in {self._region}")
        return refund_id

    def _journal(self, payment_id: str, journal_id: str) -> bool:
        journals = items(self._at, self._region, "ledger", payment_id)
        return any(journal["journal_id"] == journal_id for journal in journals)


def items(at: Settings, region: str, table: str, payment_id: str) -> list[dict[str, Any]]:
    """The items of a payment in a table keyed by `payment_id`, as plain values."""
    found = aws(at, "dynamodb", region).query(
        TableName=table,
        KeyConditionExpression="payment_id = :id",
        ExpressionAttributeValues={":id": {"S": payment_id}},
        ConsistentRead=True,
    )["Items"]
    return [{name: plain(value) for name, value in item.items()} for item in found]


def plain(value: dict[str, Any]) -> Any:
    """A DynamoDB attribute as a plain value."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return int(content) if content.lstrip("-").isdecimal() else float(content)
        case "M":
            return {name: plain(inner) for name, inner in content.items()}
        case "L":
            return [plain(inner) for inner in content]
        case "NULL":
            return None
        case _:
            return content


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
