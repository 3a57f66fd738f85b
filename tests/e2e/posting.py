"""Many payments in little time, for tests that are about what follows: the platform's own code, run in this process.

A charge through the API is a saga, three functions and two queues on a machine of two cores. Here the functions' code
posts it at the ledger, asks the card network over HTTP, and books the answer; nobody is told by event or webhook.
"""

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

PROCESSES, THREADS, BATCH = 2, 4, 50
FEES = {"basis_points": 290, "fixed": 30, "dispute": 1500}


@dataclass(frozen=True)
class Order:
    """A charge and what is done with it then: commands (`capture`, `refund`, `void`), each with its details.

    `told` is whether the network worker hears of it: an orphan's event is lost.
    """

    merchant_id: str
    key: str
    amount: int
    currency: str
    network: str
    capture: bool = True
    then: tuple[tuple[str, dict[str, Any]], ...] = ()
    told: bool = True


def post(orders: Iterable[Order], region: str, environment: dict[str, str]) -> None:
    """Carries out all orders in a region, with the environment that its functions have."""
    settings = {**environment, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    orders = list(orders)
    batches = [orders[start : start + BATCH] for start in range(0, len(orders), BATCH)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn, _prepare, (settings,)) as pool:
        for _ in pool.map(_post, batches):
            pass


def _prepare(environment: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "PAYMENTS_"))]:
        del os.environ[name]
    os.environ.update(environment)
    from payments import events

    events.publish = lambda *_, **__: None


def _post(orders: list[Order]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(_carry_out, orders))


def _carry_out(order: Order) -> None:
    from functions.ledger import charges, commands
    from functions.network import card_network, operations
    from payments import books, clock, lifecycle

    charge = _charge(order)
    payment = charges.opened(
        charge, {"score": 0, "reasons": [], "model": "none", "degraded": False, "decision": "allow"}
    )
    assert charges.post(payment)["result"] == "posted", order
    if not order.told:
        return
    answer = card_network.authorize(payment, payment.card)
    payment = books.step(payment, *lifecycle.decide(payment, answer, clock.now()))
    for number, (command, details) in enumerate(order.then):
        asked = {"command": command, "payment_id": payment.payment_id, "merchant_id": order.merchant_id, **details}
        request = commands.Request(key=f"{order.key}-{number}", fingerprint="f" * 64, **asked)
        assert commands.run(request)["result"] == "done", order
        payment = books.find(payment.payment_id, consistent=True)
        for operation in payment.outstanding:
            payment = operations.finish(payment.payment_id, operation.operation_id)


def _charge(order: Order) -> dict[str, Any]:
    from payments import clock, identifiers

    payment_id = identifiers.payment_id(order.merchant_id, order.key)
    return {
        "payment_id": payment_id,
        "attempt": identifiers.new_attempt(),
        "merchant_id": order.merchant_id,
        "shard": identifiers.merchant_shard(order.merchant_id),
        "epoch": 0,
        "mapped_at": clock.now(),
        "fingerprint": "f" * 64,
        "amount": order.amount,
        "currency": order.currency,
        "capture": order.capture,
        "created_at": clock.timestamp(datetime.now(UTC)),
        "network_ref": identifiers.network_reference(payment_id),
        "fees": FEES,
        "card": {
            "token": "tok_posting",
            "network": order.network,
            "brand": order.network,
            "bin": "400000",
            "bin8": None,
            "last4": "0002",
            "exp_month": 12,
            "exp_year": 2031,
        },
        "customer": {"id": "cus_1"},
        "description": None,
        "metadata": {},
    }
