"""DynamoDB's write units of a charge, a capture and a refund: `python -m bench.writes`.

The real handlers run on moto, and every write they ask for is counted in the units AWS bills: 1 KB each, twice in a
transaction, once more in the other region of a global table, and each index. What the projector writes is counted by
`bench.projector`, what a whole charge costs by `bench.operations`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient
from moto import mock_aws
from rich.console import Console
from rich.table import Table

from bench import environment  # noqa: F401 - before anything of the platform is imported
from bench.cpu import silence
from bench.units import Sizes, units
from functions.ledger import app as ledger
from functions.network import authorization, card_network, operations, vault
from payments import clients, clock, events, identifiers
from payments.clients import client
from payments.lifecycle import Authorization
from payments.observability import logger
from payments.tables import JournalItem, PaymentItem, connection

_MERCHANT = "mer_" + "a" * 24
_FEES = {"basis_points": 290, "fixed": 30, "dispute": 1500}
_CARD = {
    "token": "tok_1" + "a" * 52,
    "brand": "visa",
    "network": "visa",
    "bin": "424242",
    "bin8": "42424242",
    "last4": "4242",
    "exp_month": 12,
    "exp_year": 2031,
}
_WRITES = ("TransactWriteItems", "UpdateItem", "PutItem")


@dataclass(frozen=True)
class Written:
    """What a step of a payment's life writes: items of its largest transaction, and units in both regions."""

    step: str
    items: int
    units: float
    by_table: dict[str, float]


def figures() -> list[Written]:
    """Charge (posted, then decided), capture of an authorization, refund: each with what its network worker writes."""
    silence(logger.handlers)
    with mock_aws(), _quiet():
        _forget_clients()
        for model in (PaymentItem, JournalItem):
            model.create_table(billing_mode="PAY_PER_REQUEST")
        _create_shard_map()
        charged, reserved = _charge("charged", True), _charge("reserved", False)
        return [
            _written("charge, as answered", lambda: _post(charged)),
            _written("charge, decided", lambda: authorization.authorize(charged["payment_id"])),
            _written("charge without capture, as answered", lambda: _post(reserved)),
            _written("charge without capture, decided", lambda: authorization.authorize(reserved["payment_id"])),
            _written("capture, as answered", lambda: _command("capture", reserved)),
            _written("capture, taken by the network", lambda: _finish("cap", "capture", reserved)),
            _written("refund, as answered", lambda: _command("refund", charged)),
            _written("refund, taken by the network", lambda: _finish("ref", "refund", charged)),
        ]


def _written(step: str, work: Callable[[], object]) -> Written:
    calls: list[tuple[str, dict[str, Any]]] = []
    call = BaseClient._make_api_call

    def noted(self: BaseClient, operation: str, request: dict[str, Any]) -> Any:
        calls.append((operation, request))
        return call(self, operation, request)

    with patch.object(BaseClient, "_make_api_call", noted):
        work()
    sizes, by_table = Sizes(client("dynamodb")), dict[str, float]()
    for name, request in [made for made in calls if made[0] in _WRITES]:
        for unit in units(name, request, sizes, 1):
            by_table[unit.operation] = by_table.get(unit.operation, 0.0) + unit.number
    items = max((_changed(request) for name, request in calls if name == "TransactWriteItems"), default=0)
    return Written(step, items, sum(by_table.values()), by_table)


def _changed(transaction: dict[str, Any]) -> int:
    """Items that a transaction writes, without those it only checks."""
    return sum("ConditionCheck" not in item for item in transaction["TransactItems"])


def _charge(key: str, capture: bool) -> dict[str, Any]:
    payment_id = identifiers.payment_id(_MERCHANT, key)
    return {
        "payment_id": payment_id,
        "attempt": identifiers.new_attempt(),
        "merchant_id": _MERCHANT,
        "shard": identifiers.merchant_shard(_MERCHANT),
        "epoch": 0,
        "mapped_at": clock.now(),
        "fingerprint": "f" * 64,
        "amount": 4200,
        "currency": "USD",
        "capture": capture,
        "created_at": clock.now(),
        "network_ref": identifiers.network_reference(payment_id),
        "fees": _FEES,
        "card": _CARD,
        "customer": {"id": "cus_123456789012"},
        "description": "order 1",
        "metadata": {"order": "1"},
    }


def _post(charge: dict[str, Any]) -> None:
    fraud = {"score": 3, "reasons": [], "model": "2026-11-23", "degraded": False, "decision": "allow"}
    ledger.handler({"operation": "post", "charge": charge, "fraud": fraud}, None)


def _command(command: str, charge: dict[str, Any]) -> None:
    known = {"payment_id": charge["payment_id"], "merchant_id": _MERCHANT, "key": command, "fingerprint": "f" * 64}
    answer = ledger.command({"command": command, **known}, None)
    if answer["result"] != "done":
        raise RuntimeError(f"{command}: {answer}")


def _finish(prefix: str, command: str, charge: dict[str, Any]) -> None:
    operation_id = identifiers.operation_id(prefix, identifiers.command_id(_MERCHANT, command))
    operations.finish(charge["payment_id"], operation_id)


def _create_shard_map() -> None:
    """An empty one: nothing has been moved."""
    client("dynamodb").create_table(
        TableName="shards",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "shard", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "shard", "AttributeType": "N"}],
    )


def _forget_clients() -> None:
    """Clients that another benchmark made in this process know nothing of moto."""
    clients.client.cache_clear()
    clients._session.cache_clear()
    connection.cache_clear()
    for model in (PaymentItem, JournalItem):
        model._connection = None


@contextmanager
def _quiet() -> Iterator[None]:
    """No bus, no vault, and a card network that approves."""
    with (
        patch.object(events, "publish", lambda *_: None),
        patch.object(vault, "detokenize", lambda *_: _CARD),
        patch.object(card_network, "authorize", lambda *_: Authorization()),
        patch.object(card_network, "tell", lambda *_: None),
    ):
        yield


def main() -> None:
    """Prints the table."""
    table = Table("step", "items in its transaction", "write units", "of them", title="Write units, both regions")
    for found in figures():
        parts = ", ".join(f"{name} {number:g}" for name, number in sorted(found.by_table.items()))
        table.add_row(found.step, str(found.items), f"{found.units:g}", parts.replace(": write units", ""))
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
