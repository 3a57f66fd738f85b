"""A charge over an empty saga of the same shape on the same emulator: `python -m bench.saga`, with a local cloud up.

Compared is end to end, from the client's request to the answer, both at the emulator of the primary region without the
edge: `POST /api/v1/payments/charge` with a raw card, and a second REST API with a REQUEST authorizer (cached as long)
and a Lambda proxy that starts an Express state machine and returns its output. That machine is `charge.asl.json`
itself, its tasks bound to functions that log one line and return a canned answer of the success path, its events to a
bus without rules. Runs alternate, each charge's webhook is awaited before the next run so that the work after a charge
falls into neither. What was made is removed.
"""

import io
import json
import statistics
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from bench.cloud import Cloud, charge_body, running
from local.client import new_key
from local.settings import ACCOUNT, ROOT

BUDGET_RATIO = 1.25
"""DESIGN section 9."""

EMULATORS_SLEEP_MS = 150
"""Inside MiniStack's StartSyncExecution, so in both."""

_RUNS = 40
_WARM = 5
_QUIET_SECONDS = 0.4
"""After the webhook: for the ledger's stream and replication to come to rest."""

_NAME = "bench-empty"
_ROLE = f"arn:aws:iam::{ACCOUNT}:role/{_NAME}"
_CARD = {
    "token": "tok_" + "a" * 53,
    "brand": "visa",
    "network": "visa",
    "bin": "400000",
    "last4": "0000",
    "exp_month": 12,
    "exp_year": 2031,
}
_PAYMENT = {
    "id": "pay_" + "a" * 26,
    "object": "payment",
    "status": "pending",
    "amount": 4200,
    "currency": "USD",
    "card": _CARD,
}
ANSWERS = {
    "TokenizeFunctionArn": {"result": "tokenized", "card": _CARD},
    "FraudFunctionArn": {"score": 0, "reasons": [], "model": "none", "degraded": False},
    "LedgerFunctionArn": {"result": "posted", "payment": _PAYMENT, "event": {"id": "evt_1", "data": _PAYMENT}},
    "ReleaseFunctionArn": {"result": "kept"},
}
"""What takes each task of the saga to the next on the way to `Accepted`."""

_CODE = """
import json, os
from functools import cache
import botocore.session

def task(event, context):
    print(json.dumps({"message": "task"}))
    return json.loads(os.environ["ANSWER"])

def authorizer(event, context):
    print(json.dumps({"message": "authorized"}))
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*"}
    return {"principalId": "bench", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}

@cache
def client():
    return botocore.session.get_session().create_client("stepfunctions")

def api(event, context):
    done = client().start_sync_execution(stateMachineArn=os.environ["MACHINE"], input=event["body"])
    print(json.dumps({"message": "request"}))
    return {"statusCode": 201 if done["status"] == "SUCCEEDED" else 500, "body": done.get("output", "{}")}
"""


@dataclass(frozen=True)
class Comparison:
    """Milliseconds of every run."""

    charges: list[float]
    empty: list[float]

    @property
    def ratio(self) -> float:
        """p50 of a charge over p50 of an empty saga."""
        return statistics.median(self.charges) / statistics.median(self.empty)

    @property
    def ratio_without_sleep(self) -> float:
        """The same without the emulator's own sleep in either: harsher, and closer to what the code costs."""
        charge, empty = statistics.median(self.charges), statistics.median(self.empty)
        return (charge - EMULATORS_SLEEP_MS) / (empty - EMULATORS_SLEEP_MS)


def compare(cloud: Cloud, runs: int = _RUNS) -> Comparison:
    """Alternating charges and empty sagas. Raises `httpx.HTTPStatusError` when one is not answered with 201."""
    found = Comparison([], [])
    with _empty_saga(cloud) as empty_url, httpx.Client(timeout=60, trust_env=False) as http:
        for number in range(-_WARM, runs):
            charge = _charge(cloud, http, number)
            empty = _timed(lambda: http.post(empty_url, headers=_headers(cloud), json=_saga_input()))[0]
            if number >= 0:
                found.charges.append(charge)
                found.empty.append(empty)
    return found


def _charge(cloud: Cloud, http: httpx.Client, number: int) -> float:
    url, body = f"{cloud.api}/api/v1/payments/charge", charge_body(number)
    milliseconds, answer = _timed(lambda: http.post(url, headers=_headers(cloud), json=body))
    cloud.await_webhook(answer.json()["id"])
    time.sleep(_QUIET_SECONDS)
    return milliseconds


def _timed(send: Callable[[], httpx.Response]) -> tuple[float, httpx.Response]:
    start = time.perf_counter()
    answer = send()
    elapsed = (time.perf_counter() - start) * 1e3
    if answer.status_code != 201:
        raise httpx.HTTPStatusError(f"{answer.status_code}: {answer.text}", request=answer.request, response=answer)
    return elapsed, answer


def _headers(cloud: Cloud) -> dict[str, str]:
    return {"Authorization": f"Bearer {cloud.endpoints['merchant']['api_key']}", "Idempotency-Key": new_key()}


def _saga_input() -> dict[str, Any]:
    return {
        "payment_id": "pay_1",
        "attempt": "att_1",
        "merchant_id": "mer_1",
        "shard": 1,
        "epoch": 0,
        "mapped_at": "2026-11-23T10:00:00.000Z",
        "fingerprint": "0" * 64,
        "amount": 4200,
        "currency": "USD",
        "capture": True,
        "created_at": "2026-11-23T10:00:00.000Z",
        "network_ref": "nrf_1",
        "card": {"sealed_card": "x" * 550},
        "customer": {"id": "cus_1"},
        "device": {"fingerprint": "dev_1"},
        "description": None,
        "metadata": {},
    }


@contextmanager
def _empty_saga(cloud: Cloud) -> Iterator[str]:
    """The empty saga behind an API of its own; the URL to post to."""
    with ExitStack() as made:
        machine = _machine(cloud, made)
        front = _function(cloud, made, "api", "api", {"MACHINE": machine})
        guard = _function(cloud, made, "authorizer", "authorizer", {})
        yield _rest_api(cloud, made, front, guard)


def _machine(cloud: Cloud, made: ExitStack) -> str:
    events, machines = cloud.aws("events"), cloud.aws("stepfunctions")
    events.create_event_bus(Name=_NAME)
    made.callback(events.delete_event_bus, Name=_NAME)
    definition = (ROOT / "statemachines" / "charge.asl.json").read_text().replace("${EventBusName}", _NAME)
    for placeholder, answer in ANSWERS.items():
        name = placeholder.removesuffix("FunctionArn").lower()
        arn = _function(cloud, made, name, "task", {"ANSWER": json.dumps(answer)})
        definition = definition.replace(f"${{{placeholder}}}", arn)
    arn = machines.create_state_machine(name=_NAME, type="EXPRESS", definition=definition, roleArn=_ROLE)[
        "stateMachineArn"
    ]
    made.callback(machines.delete_state_machine, stateMachineArn=arn)
    return str(arn)


def _function(cloud: Cloud, made: ExitStack, name: str, entry: str, environment: dict[str, str]) -> str:
    functions, full_name = cloud.aws("lambda"), f"{_NAME}-{name}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("empty.py", _CODE)
    answer = functions.create_function(
        FunctionName=full_name,
        Runtime="python3.13",
        Role=_ROLE,
        Handler=f"empty.{entry}",
        Timeout=30,
        MemorySize=1024,
        Code={"ZipFile": archive.getvalue()},
        Environment={"Variables": environment},
    )
    made.callback(functions.delete_function, FunctionName=full_name)
    return str(answer["FunctionArn"])


def _rest_api(cloud: Cloud, made: ExitStack, front: str, guard: str) -> str:
    gateway, region = cloud.aws("apigateway"), cloud.primary
    invoke = f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{{}}/invocations"
    api = gateway.create_rest_api(name=_NAME)["id"]
    made.callback(gateway.delete_rest_api, restApiId=api)
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    resource = gateway.create_resource(restApiId=api, parentId=root, pathPart="charge")["id"]
    authorizer = gateway.create_authorizer(
        restApiId=api,
        name=_NAME,
        type="REQUEST",
        authorizerUri=invoke.format(guard),
        identitySource="method.request.header.Authorization",
        authorizerResultTtlInSeconds=60,
    )["id"]
    method = {"restApiId": api, "resourceId": resource, "httpMethod": "POST"}
    gateway.put_method(**method, authorizationType="CUSTOM", authorizerId=authorizer)
    gateway.put_integration(**method, type="AWS_PROXY", integrationHttpMethod="POST", uri=invoke.format(front))
    gateway.create_deployment(restApiId=api, stageName="live")
    return f"{cloud.at.aws_url(region)}/restapis/{api}/live/_user_request_/charge"


def main() -> None:
    """Prints both medians and their ratio."""
    found = compare(running())
    print(f"charge, p50           {statistics.median(found.charges):8.1f} ms  ({len(found.charges)} runs)")
    print(
        f"empty saga, p50       {statistics.median(found.empty):8.1f} ms  (REST API, authorizer, Lambda, same states)"
    )
    print(f"ratio                 {found.ratio:8.2f}     of {BUDGET_RATIO}")
    print(f"  without the emulator's {EMULATORS_SLEEP_MS} ms sleep in both: {found.ratio_without_sleep:.2f}")


if __name__ == "__main__":
    main()
