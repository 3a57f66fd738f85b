"""Stands in for botocore: a session whose clients send their requests over the wire, to the region's services.

Each client repeats what may be repeated, as botocore's standard mode does, with the time-outs it was made with. A
client without a region is one of the region its caller runs in.
"""

import io
import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests.simulation.hub import Crashed, NotSimulated, TimedOut
from tests.simulation.region import Region
from tests.simulation.tables import canceled
from tests.simulation.wire import Refused, Wire

_URL = "https://simulated.test"


class Session:
    """What `payments.clients` makes its clients with. `here` is the region of the task that runs."""

    def __init__(self, wire: Wire, regions: dict[str, Region], here: Callable[[], Region]):
        self.wire, self.regions, self.here, self._tokens = wire, regions, here, count()

    def create_client(self, service: str, region_name: str | None, endpoint_url: str | None, config: Any) -> Any:
        kinds = {"dynamodb": Dynamo, "lambda": Lambda, "events": Events, "stepfunctions": StepFunctions, "sqs": Sqs}
        if service not in kinds:
            raise NotSimulated(service)
        return kinds[service](self, region_name, config.read_timeout, config.retries["total_max_attempts"])

    def token(self) -> str:
        return f"token-{next(self._tokens)}"


class Client:
    """A client of one service."""

    def __init__(self, session: Session, region: str | None, patience: float, attempts: int):
        self._session, self._name, self._patience, self._attempts = session, region, patience, attempts

    @property
    def _region(self) -> Region:
        return self._session.regions[self._name] if self._name else self._session.here()

    def _ask(self, what: str, effect: Callable[[Region], Any]) -> Any:
        """The answer, after as many tries as the client makes. Raises what botocore raises."""
        region, wire, error = self._region, self._session.wire, None
        for attempt in range(self._attempts):
            if attempt:
                wire.hub.sleep(wire.random.uniform(0, 0.1 * 2**attempt))
            try:
                return wire.ask(f"{region.name} {what}", lambda: effect(region), region, self._patience)
            except TimedOut:
                error = ReadTimeoutError(endpoint_url=_URL)
            except Refused:
                error = self._refusal(what)
                if isinstance(error, ClientError):
                    break
        assert error
        raise error

    def _refusal(self, what: str) -> Exception:
        return EndpointConnectionError(endpoint_url=_URL)


class Dynamo(Client):
    """DynamoDB, for botocore's callers and for pynamodb."""

    def _make_api_call(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        token = self._session.token()
        answer = self._ask(_told(operation, asked), lambda region: region.tables.do(operation, asked, token))
        return dict(answer)

    def get_item(self, **asked: Any) -> dict[str, Any]:
        return self._make_api_call("GetItem", asked)

    def query(self, **asked: Any) -> dict[str, Any]:
        return self._make_api_call("Query", asked)

    def scan(self, **asked: Any) -> dict[str, Any]:
        return self._make_api_call("Scan", asked)

    def get_paginator(self, operation: str) -> "Pages":
        if operation != "query":
            raise NotSimulated(operation)
        return Pages(self)

    def _refusal(self, what: str) -> Exception:
        if what.startswith("TransactWriteItems") and self._session.wire.random.random() < 0.5:
            return canceled("TransactionConflict")
        return super()._refusal(what)


class Pages:
    """A paginator whose lists have one page."""

    def __init__(self, client: Dynamo):
        self._client = client

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        yield self._client.query(**asked)


class Lambda(Client):
    """Invokes functions and waits for them."""

    def invoke(self, FunctionName: str, Payload: str | bytes) -> dict[str, Any]:
        caller = self._session.here()

        def effect(region: Region) -> Any:
            return region.invoke(FunctionName, json.loads(Payload), sender=caller)

        try:
            answer = self._ask(f"Invoke {FunctionName}", effect)
        except Crashed:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b"{}")}
        return {"Payload": io.BytesIO(answer.encode())}


class Events(Client):
    """EventBridge."""

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        told = " ".join(entry["DetailType"] for entry in Entries)
        return dict(self._ask(f"PutEvents {told}", lambda region: region.put_events(Entries)))


class Sqs(Client):
    """The network worker's queue."""

    def change_message_visibility(self, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:
        self._ask("ChangeMessageVisibility", lambda region: region.put_off(ReceiptHandle, VisibilityTimeout))


class StepFunctions(Client):
    """Runs the charge's state machine."""

    def start_sync_execution(self, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:
        return dict(self._ask("StartSyncExecution", lambda region: region.execute(json.loads(input))))


def _told(operation: str, asked: dict[str, Any]) -> str:
    """An operation as the trace shows it."""
    match operation:
        case "TransactWriteItems":
            parts = [(kind, part) for single in asked["TransactItems"] for kind, part in single.items()]
            return f"{operation} " + ", ".join(
                f"{kind} {_key(part.get('Key') or part['Item'])}" for kind, part in parts
            )
        case "GetItem":
            return f"{operation} {_key(asked['Key'])}"
        case "BatchGetItem":
            return operation
        case _:
            return f"{operation} {asked['TableName']} {asked.get('IndexName', '')}"


def _key(item: dict[str, Any]) -> str:
    names = ("payment_id", "journal_id", "shard")
    return "/".join(
        next(iter(item[name].values())) for name in names if name in item and (name != "shard" or len(item) == 1)
    )
