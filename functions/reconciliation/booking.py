"""What reconciliation asks of the ledger: settlements to book, and disputes that the ledger did not hear of.

Both are asked of the ledger's own functions, in the region that writes for the shard, and change nothing when they are
asked again: a settlement's id is made of its reference, a dispute's of the network's case.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from functions.reconciliation.exchange import Booking
from functions.reconciliation.settings import LedgerSettings
from payments import proofs, regions
from payments.clients import client
from payments.settings import load

_READ_TIMEOUT_SECONDS = 30
"""Longer than the ledger's functions take."""

_AMOUNTS = ("captured", "returned", "fees", "written_off")

_PASSING = regions.MOVING | {"payment_busy"}
"""Refusals that are not an answer: the same request may be carried out a moment later."""


class LedgerUnavailable(RuntimeError):
    """The ledger's function did not answer, is too busy, or its shard is moving; asking again is safe."""


class BookingRefused(RuntimeError):
    """The ledger will not book a settlement, or has another one under its reference: the run must not go on."""


def settle(reference: str, settled: Booking) -> None:
    """Books what a network settled of a shard's payments, if it is anything.

    Once for each reference, shard, network and currency. Raises `LedgerUnavailable` or `BookingRefused`.
    """
    amounts = {name: getattr(settled, name) for name in _AMOUNTS}
    if not any(amounts.values()):
        return
    event = {
        "kind": "settlement",
        "shard": settled.shard,
        "reference": f"{reference}/{settled.network}/{settled.currency}",
        "network": settled.network,
        "currency": settled.currency,
    }
    answer = _invoke(load(LedgerSettings).book_function, settled.shard, event | amounts)
    if answer.get("code") in _PASSING:
        raise LedgerUnavailable(answer["code"])
    if answer["result"] not in ("written", "exists"):
        raise BookingRefused(f"{event['reference']}, shard {settled.shard}: {answer.get('code', answer['result'])}")


def open_dispute(
    shard: int, payment_id: str, merchant_id: str, case_ref: str, amount: int, reason: str | None
) -> dict[str, Any]:
    """Opens the dispute of a network's case: `{"dispute": the ledger's answer, "refused": None}`, or `{"dispute": None,
    "refused": code}` where the payment does not allow it.

    The key and what is fingerprinted are an operator's, too, so that one case is one dispute. Raises
    `LedgerUnavailable`.
    """
    asked = {"command": "open_dispute", "payment_id": payment_id, "amount": amount, "reason": reason}
    more = {
        "merchant_id": merchant_id,
        "key": f"{case_ref}#open",
        "origin": "platform",
        "fingerprint": sha256(proofs.canonical(asked).encode()).hexdigest(),
        "final": False,
    }
    answer = _invoke(load(LedgerSettings).command_function, shard, asked | more)
    if answer["result"] == "refused":
        if answer["code"] in _PASSING:
            raise LedgerUnavailable(answer["code"])
        return {"dispute": None, "refused": answer["code"]}
    return {"dispute": answer["answer"], "refused": None}


def functions(region: str) -> Any:
    """The client of a region's functions. A repeated part is the retry."""
    endpoint = regions.endpoints().get(region)
    return client("lambda", region, endpoint, read_timeout=_READ_TIMEOUT_SECONDS, attempts=1)


def _invoke(function: str, shard: int, event: Mapping[str, Any]) -> dict[str, Any]:
    region = regions.primary(shard)
    answer = functions(region).invoke(FunctionName=function, Payload=json.dumps(event))
    content = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise LedgerUnavailable(f"{function} in {region}: {content.get('errorType')}")
    found: dict[str, Any] = content
    return found
