"""Asks what a charge needs whether it is there: all at once, each once, and nothing is waited for beyond the budget."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Literal

import msgspec
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from functions.api.settings import settings
from payments import clock, identifiers, regions
from payments.clients import client
from payments.settings import TableSettings, load

Probe = Callable[[], Any]
State = Literal["ok", "failed", "slow"]

FIRST_MARK = -10
"""The key of the first region's mark in the shard map; the others follow below it (docs/interfaces.md)."""

_READ_TIMEOUT_SECONDS = 2
"""Longer than any budget: a probe that nobody waits for any more ends a little later by itself."""

_MOST_WAITING = 5
"""Probes of one thing at a time. Where not even a time-out ends them (a name that does not resolve), no more begin."""

_TOO_MANY = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Refusals of somebody who is there. The calls that describe things have small quotas, which anybody could use up
by asking for our health; and traffic must not leave a region because it is much: the other one would get it all."""

_NO_PAYMENT = identifiers.payment_id("mer_health", "health")


class Missing(RuntimeError):
    """Something answered, but not as it does when a charge can use it."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of a probe, after how many milliseconds; `found` is what it returned, `fault` the type of its error."""

    state: State
    ms: int
    found: Any = None
    fault: str | None = None


def charge_path() -> dict[str, Probe]:
    """What a charge needs, by name. Clients are made here, one after the other, because botocore cannot do it side by
    side; each has one try, for the next request for our health is the second."""
    tables, functions, machines, buses = (
        client(service, read_timeout=_READ_TIMEOUT_SECONDS, attempts=1)
        for service in ("dynamodb", "lambda", "stepfunctions", "events")
    )
    return {
        "payments": lambda: _payment(tables),
        "ledger": lambda: _journal(tables),
        "shards": lambda: _mark(tables),
        "vault": lambda: _vault(functions),
        "saga": lambda: _saga(machines),
        "bus": lambda: buses.describe_event_bus(Name=settings().event_bus),
    }


def ask(probes: Mapping[str, Probe], until: float) -> dict[str, Probed]:
    """What each probe came to by this moment (`clock.monotonic`); one that has not ended by then is slow."""
    begun, answers = clock.monotonic(), SimpleQueue[tuple[str, Probed]]()
    asked = [name for name, probe in probes.items() if _begin(name, probe, answers)]
    found: dict[str, Probed] = {}
    while len(found) < len(asked):
        try:
            name, probed = answers.get(timeout=max(until - clock.monotonic(), 0))
        except Empty:
            break
        found[name] = probed
    late = Probed("slow", _ms_since(begun), fault="NotInTime")
    return {name: found.get(name, late) for name in probes}


def _begin(name: str, probe: Probe, answers: SimpleQueue[tuple[str, Probed]]) -> bool:
    """Starts a probe; False when too many of its kind are still waiting."""
    thread = f"probe-{name}"
    if sum(other.name == thread for other in threading.enumerate()) >= _MOST_WAITING:
        return False
    threading.Thread(target=lambda: answers.put((name, _try(probe))), name=thread, daemon=True).start()
    return True


def _try(probe: Probe) -> Probed:
    begun = clock.monotonic()
    state: State = "failed"
    try:
        return Probed("ok", found=probe(), ms=_ms_since(begun))
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        state, fault = "slow", type(error).__name__
    except ClientError as error:
        fault = error.response.get("Error", {}).get("Code", "")
        state = "ok" if fault in _TOO_MANY else "failed"
    except Exception as error:  # noqa: BLE001 - the outermost edge of a thread
        fault = type(error).__name__
    return Probed(state, _ms_since(begun), fault=fault)


def _payment(tables: Any) -> None:
    key = {"payment_id": {"S": _NO_PAYMENT}}
    tables.get_item(TableName=load(TableSettings).payments_table, Key=key)


def _journal(tables: Any) -> None:
    tables.query(
        TableName=load(TableSettings).ledger_table,
        KeyConditionExpression="payment_id = :none",
        ExpressionAttributeValues={":none": {"S": _NO_PAYMENT}},
        Limit=1,
    )


def _mark(tables: Any) -> bool:
    """Whether this region is marked as failed. What is no such mark, or another region's, marks nothing."""
    place = [*regions.endpoints(), regions.here()].index(regions.here())
    key = {"shard": {"N": str(FIRST_MARK - place)}}
    item = tables.get_item(TableName=load(TableSettings).shards_table, Key=key).get("Item") or {}
    return bool(item.get("state") == {"S": "failed"} and item.get("region") == {"S": regions.here()})


def _vault(functions: Any) -> None:
    """The vault's public keys are read from its table, by a function that has opened the key store."""
    answer = functions.invoke(FunctionName=settings().public_key_function, Payload=b"{}")
    if "FunctionError" in answer or not msgspec.json.decode(answer["Payload"].read()).get("keys"):
        raise Missing("vault")


def _saga(machines: Any) -> None:
    saga = settings().charge_state_machine_arn
    machine = machines.describe_state_machine(stateMachineArn=saga, includedData="METADATA_ONLY")
    if machine.get("status") != "ACTIVE":
        raise Missing("saga")


def _ms_since(begun: float) -> int:
    return round(1000 * (clock.monotonic() - begun))
