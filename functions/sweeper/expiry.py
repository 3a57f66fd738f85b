"""Authorizations that their merchants did not capture in time are voided, and the cardholder has the money back."""

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec

from functions.sweeper.orphans import INTERVAL, due
from payments import books, clock
from payments.clients import client
from payments.lifecycle import EXPIRED, Payment
from payments.observability import logger
from payments.settings import load

LIFETIME = timedelta(days=7)
"""How long an authorization can be captured."""

_TURNS = 10
"""A shard is looked at in every tenth run: minutes are nothing to an authorization of a week."""

_INTERVAL = INTERVAL * _TURNS
"""Between two looks at a shard."""

_CANDIDATES = 1_000
"""Authorizations looked at per bucket of a shard and run, oldest first."""

_AT_ONCE = 200
"""Voids per run, chosen by chance among those that are due: they take a third of the sweeper's time-out."""

_READ_TIMEOUT_SECONDS = 10
"""One try: the next turn is the retry."""


class CommandSettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    command_function: str


def expire(shards: Sequence[int], now: datetime) -> int:
    """Voids what of these shards' authorizations is left after `LIFETIME`; of how many payments.

    A payment that is captured in the same moment refuses to be voided, and so does one in dispute: its turn comes
    again, ever more rarely.
    """
    turn = [shard for shard in shards if shard % _TURNS == now.minute % _TURNS]
    over = [payment_id for shard in turn for payment_id in _over(shard, now)]
    chosen = random.sample(over, min(len(over), _AT_ONCE))
    payments = (books.find(payment_id) for payment_id in chosen)
    return sum(_void(payment) for payment in payments if payment)


def _over(shard: int, now: datetime) -> list[str]:
    found = books.pending(shard, clock.timestamp(now - LIFETIME), _CANDIDATES, awaiting_capture=True)
    return [payment_id for payment_id, since in found if due(datetime.fromisoformat(since) + LIFETIME, now, _INTERVAL)]


def _void(payment: Payment) -> bool:
    """Whether this voided the payment."""
    key = f"expire/{payment.payment_id}/{payment.capturable}"  # once refused, what is left then is another void
    command = {
        "command": "void",
        "payment_id": payment.payment_id,
        "merchant_id": payment.merchant_id,
        "key": key,
        "origin": "platform",
        "fingerprint": sha256(key.encode()).hexdigest(),
        "amount": None,
        "final": False,
        "reason": EXPIRED,
    }
    answer = _invoke(command)
    logger.info("authorization expired", extra={"payment_id": payment.payment_id, "result": answer.get("result")})
    return answer.get("result") == "done"


def _invoke(command: dict[str, Any]) -> dict[str, Any]:
    answer = client("lambda", read_timeout=_READ_TIMEOUT_SECONDS, attempts=1).invoke(
        FunctionName=load(CommandSettings).command_function, Payload=json.dumps(command)
    )
    if "FunctionError" in answer:
        return {"result": "failed"}
    found: dict[str, Any] = json.loads(answer["Payload"].read())
    return found
