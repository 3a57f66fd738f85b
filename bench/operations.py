"""The billable AWS operations of one accepted charge, from API Gateway to the delivered webhook, at list price.

`python -m bench.operations [--known] [--json]`, with a local cloud up. Each charge is of a card that was never seen, or
with `--known` of one that an earlier charge has used. Counted are real charges by one merchant, seconds apart, so that
no batch holds two of them: the functions' own calls in both regions by CloudTrail (`trail.py`), their
invocations by their logs, item sizes in the tables. What no function calls is known from the path and the stacks: one
request at API Gateway and the firewall, one Express execution, the event the saga publishes, a message that EventBridge
sends for each event, and per worker invocation one receive and one delete. "Under load" is the same with every batch
full (batch sizes of the deployed event sources): a charge's share of what is done once per batch. The authorizer's
answer is cached, as it is for every merchant with more than a charge a minute. Durations, logs, traces and transfer
stand apart, as assumptions (`prices.py`).
"""

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import prices, trail
from bench.cloud import Cloud, charge_body, running
from bench.prices import Line
from bench.trail import Call
from bench.units import Sizes, Units, units
from cdk.config import FUNCTIONS

BUDGET_DOLLARS = 15.0
NEXT_BUDGET_DOLLARS = 9.0
"""Per million charges, DESIGN section 9: first, then."""

_CHARGES = 5
_QUIET_SECONDS = 6.0
"""Between charges: longer than the api remembers a shard's primary, so each charge looks it up. (At full load it does
too: one container serves a few charges a second, and there are 128 shards.)"""

_WORKERS = ("payments-network", "payments-webhooks-fanout", "payments-webhooks-deliver")
_ONCE = (
    "payments-vault-tokenize",
    "payments-fraud",
    "payments-ledger",
    "payments-authorizer",
    "payments-vault-detokenize",
)
_PROJECTOR = "payments-projector"
_JOURNALS_PER_CHARGE = 2


@dataclass
class Counted:
    """Sums over all counted charges."""

    charges: int = 0
    calls: list[Call] = field(default_factory=list)
    invocations: dict[str, int] = field(default_factory=dict)
    log_bytes: int = 0


def count(cloud: Cloud, known: bool = False, charges: int = _CHARGES) -> Counted:
    """Charges cards, or one known card again and again, and counts; a charge in whose time the sweeper ran is made
    again."""
    found, number = Counted(), 0
    card = charge_body(0)["card"] if known else None
    with trail.recording(cloud):
        _charge(cloud, 0, card)  # after it the authorizer's answer is cached, and the card is known
        while found.charges < charges:
            number += 1
            start, payment_id, end = _charge(cloud, number, card)
            made = trail.calls(cloud, start, end)
            if not any(_sweeps(call) for call in made):
                found.charges += 1
                found.calls += [call for call in made if _belongs(call, payment_id, cloud.shard)]
                _add_runs(cloud, found, start, end)
            elif number > 4 * charges:
                raise RuntimeError("the sweeper runs all the time")
    return found


def lines(cloud: Cloud, counted: Counted) -> list[Line]:
    """What one charge costs, by operation."""
    batches = _batch_sizes(cloud)
    found = _path_lines(counted, batches) + _table_lines(cloud, counted, batches[_PROJECTOR])
    return found + _assumed_lines(cloud, counted, batches)


def _charge(cloud: Cloud, number: int, card: dict[str, Any] | None) -> tuple[float, str, float]:
    time.sleep(_QUIET_SECONDS)
    start = time.time()
    body = charge_body(number) | ({"card": card} if card else {})
    answer = cloud.merchant().charge(**body)
    if answer.status != 201:
        raise RuntimeError(f"a charge was answered with {answer.status}: {answer.body}")
    cloud.await_webhook(answer.body["id"])
    time.sleep(1.5)  # for the ledger's streams in both regions
    return start, answer.body["id"], time.time()


def _sweeps(call: Call) -> bool:
    return bool(call.request.get("IndexName") == "pending")


def _belongs(call: Call, payment_id: str, shard: int) -> bool:
    """Whether a call is not the health check's, which looks up a payment of its own, its journals and the mark of its
    region. (That the vault reads its keys more often for it, once in ten seconds, stays counted.)"""
    if call.name == "Query" and call.request.get("TableName") == "ledger":
        return ":none" not in call.request.get("ExpressionAttributeValues", {})
    if call.name != "GetItem" or call.request.get("TableName") not in ("payments", "shards"):
        return True
    return call.request["Key"] in ({"payment_id": {"S": payment_id}}, {"shard": {"N": str(shard)}})


def _add_runs(cloud: Cloud, counted: Counted, start: float, end: float) -> None:
    for function in (*_ONCE, *_WORKERS, _PROJECTOR):
        runs = trail.invocations(cloud, function, start, end)
        counted.invocations[function] = counted.invocations.get(function, 0) + runs
        counted.log_bytes += trail.log_bytes(cloud, function, start, end)
    counted.log_bytes += trail.log_bytes(cloud, "payments-api", start, end)


def _batch_sizes(cloud: Cloud) -> dict[str, int]:
    mappings = cloud.aws("lambda").list_event_source_mappings()["EventSourceMappings"]
    return {mapping["FunctionArn"].split(":function:")[1]: mapping["BatchSize"] for mapping in mappings}


def _path_lines(counted: Counted, batches: dict[str, int]) -> list[Line]:
    """Requests, executions, events and messages."""
    runs = {name: number / counted.charges for name, number in counted.invocations.items()}
    once, worker = 1 + sum(runs[name] for name in _ONCE), sum(runs[name] for name in _WORKERS)
    full = sum(1 / batches[name] for name in _WORKERS)
    events = 1 + _calls_named(counted, "PutEvents")
    sent = events + _calls_named(counted, "SendMessage")
    projected = runs[_PROJECTOR], _projector_runs(batches)
    return [
        Line("API Gateway, REST request", 1, 1, prices.API_REQUEST),
        Line("WAF, request", 1, 1, prices.FIREWALL_REQUEST),
        Line("Lambda, requests on the charge's own way", once, once, prices.LAMBDA_REQUEST),
        Line("Lambda, requests of the queues' workers", worker, full, prices.LAMBDA_REQUEST),
        Line("Lambda, requests of the projector, both regions", *projected, prices.LAMBDA_REQUEST),
        Line("Step Functions Express, execution", 1, 1, prices.EXPRESS_REQUEST),
        Line("EventBridge, events", events, events, prices.EVENT),
        Line("SQS, messages sent", sent, sent, prices.QUEUE_REQUEST),
        Line("SQS, receives and deletes", 2 * worker, 2 * full, prices.QUEUE_REQUEST),
        Line("DynamoDB Streams, reads by Lambda and replication", 0, 0, prices.STREAM_READ),
    ]


def _table_lines(cloud: Cloud, counted: Counted, stream_batch: int) -> list[Line]:
    """Units of the tables, with the size of the largest item that was read or written there."""
    sizes = {region: Sizes(cloud.aws("dynamodb", region)) for region in cloud.endpoints["regions"]}
    sums: dict[tuple[str, float], list[float]] = {}
    for unit in _units(counted.calls, sizes, stream_batch):
        pair = sums.setdefault((unit.operation, unit.price), [0.0, 0.0])
        pair[0] += unit.number / counted.charges
        pair[1] += unit.number / counted.charges * unit.share
    return [
        Line(f"DynamoDB, {name} (≤ {_largest(sizes, name)} bytes)", alone, loaded, price)
        for (name, price), (alone, loaded) in sorted(sums.items())
    ]


def _units(calls: Iterable[Call], sizes: dict[str, Sizes], stream_batch: int) -> Iterable[Units]:
    return [unit for call in calls for unit in units(call.name, call.request, sizes[call.region], stream_batch)]


def _largest(sizes: dict[str, Sizes], operation: str) -> int:
    table = operation.partition(":")[0]
    return max(region.largest.get(table, 0) for region in sizes.values())


def _assumed_lines(cloud: Cloud, counted: Counted, batches: dict[str, int]) -> list[Line]:
    runs = {name: number / counted.charges for name, number in counted.invocations.items()} | {"payments-api": 1.0}
    loaded = runs | {_PROJECTOR: _projector_runs(batches)}
    found = [prices.saga_line()]
    found += [
        prices.lambda_line(name, FUNCTIONS[name].memory_mb, runs[name], loaded[name]) for name in prices.ASSUMED_MS
    ]
    replicated = Sizes(cloud.aws("dynamodb")).replicated_bytes(counted.calls) / counted.charges
    own_log = counted.log_bytes / counted.charges
    return [
        *found,
        prices.gigabytes_line("CloudWatch Logs, functions", own_log, prices.LOG_GB),
        prices.gigabytes_line("CloudWatch Logs, access log", prices.ASSUMED_ACCESS_LOG_BYTES, prices.LOG_GB),
        prices.gigabytes_line("Transfer to the other region", replicated, prices.TRANSFER_GB),
        Line("X-Ray, traces", prices.ASSUMED_TRACED, prices.ASSUMED_TRACED, prices.TRACE, assumed=True),
    ]


def _projector_runs(batches: dict[str, int]) -> float:
    return prices.REGIONS * _JOURNALS_PER_CHARGE / batches[_PROJECTOR]


def _calls_named(counted: Counted, name: str) -> float:
    return sum(call.name == name for call in counted.calls) / counted.charges


def totals(found: list[Line]) -> dict[str, float]:
    """Dollars per million charges: counted operations only, and with what is assumed; alone and under load."""
    return {
        "operations": prices.total(found),
        "operations_loaded": prices.total(found, loaded=True),
        "everything": prices.total(found, assumed=True),
        "everything_loaded": prices.total(found, loaded=True, assumed=True),
    }


def table(found: list[Line]) -> Table:
    """The lines for people; dollars are per million charges."""
    shown = Table(
        "operation", "per charge", "under load", "$/million", "$ alone", "$ loaded", title="One accepted charge"
    )
    for line in sorted(found, key=lambda line: line.assumed):
        dollars = f"{line.dollars():.2f}", f"{line.dollars(True):.2f}"
        cells = f"{line.alone:.2f}", f"{line.loaded:.2f}", f"{line.price:.3f}", *dollars
        shown.add_row(("assumed: " if line.assumed else "") + line.operation, *cells)
    sums = totals(found)
    shown.add_section()
    for name, key in (
        (f"operations, budget {BUDGET_DOLLARS:.0f}, then {NEXT_BUDGET_DOLLARS:.0f}", "operations"),
        ("with what is assumed", "everything"),
    ):
        shown.add_row(name, "", "", "", f"{sums[key]:.2f}", f"{sums[key + '_loaded']:.2f}")
    return shown


def measured(known: bool = False) -> list[Line]:
    """Counts on the running local cloud."""
    cloud = running()
    return lines(cloud, count(cloud, known))


def main() -> None:
    """Prints the table, or JSON with `--json`."""
    found = measured("--known" in sys.argv[1:])
    if "--json" in sys.argv[1:]:
        shown = [line.as_json() for line in found]
        content: dict[str, Any] = {"lines": shown, "totals": totals(found), "budget": BUDGET_DOLLARS}
        print(json.dumps(content, indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(table(found))


if __name__ == "__main__":
    main()
