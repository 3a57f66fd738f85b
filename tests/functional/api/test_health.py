"""`GET /health` says in time what a charge can count on, whatever is away, and tells strangers no more than that."""

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import msgspec
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from bench.operations import _belongs
from bench.trail import Call
from functions.api import app, health, openapi, probes
from functions.api.settings import ApiSettings
from payments import clients
from tests.functional.api import contract
from tests.functional.api.merchant import event

BUDGET_MS = 150
A_LITTLE_MS = 350
"""What a busy machine may take beside the budget. A probe that is waited for to its end takes seconds."""

SECRET = "sk_test_not_for_strangers"
DEPENDENCIES = ("payments", "ledger", "shards", "vault", "saga", "bus")
NEEDED = DEPENDENCIES[:-1]


def refused(code):
    return ClientError({"Error": {"Code": code, "Message": SECRET}}, "Operation")


class Region:
    """Everything a charge needs, behind one object that stands in for each client; what is set in `faults` breaks."""

    def __init__(self):
        self.faults, self.asked, self.lock = {}, [], Lock()
        self.released = Event()
        self.mark, self.machine, self.keys = None, "ACTIVE", [{"kid": "k"}]

    def get_item(self, TableName, Key):
        self.meet(TableName)
        return {"Item": self.mark} if TableName == "shards" and self.mark and Key == {"shard": {"N": "-10"}} else {}

    def query(self, **_):
        self.meet("ledger")
        return {"Items": []}

    def invoke(self, FunctionName, Payload):
        self.meet("vault")
        return {"Payload": io.BytesIO(json.dumps({"keys": self.keys}).encode()), **self.faults.get("broken", {})}

    def describe_state_machine(self, **_):
        self.meet("saga")
        return {"status": self.machine}

    def describe_event_bus(self, Name):
        self.meet("bus")
        return {"Name": Name}

    def meet(self, name):
        with self.lock:
            self.asked.append(name)
        match self.faults.get(name):
            case "hangs":
                self.released.wait(30)
            case Exception() as error:
                raise error


@pytest.fixture
def region(monkeypatch):
    """A region in which everything works, and a process that has not been asked yet."""
    found = Region()
    monkeypatch.setattr(probes, "client", lambda *_, **__: found)
    monkeypatch.setenv("HEALTH_BUDGET_MS", str(BUDGET_MS))
    monkeypatch.setattr(health, "_known", None)
    yield found
    found.released.set()


@pytest.fixture
def ask(region, context, monkeypatch):
    """Asks for the health of the region; the answer must be one that the API's description knows."""

    def send(again=True):
        if again:
            monkeypatch.setattr(health, "_known", None)
        begun = time.monotonic()
        answer = app.handler(event("GET", "/health", merchant=None), context)
        took_ms = 1000 * (time.monotonic() - begun)
        contract.check("GET", "/health", answer["statusCode"], json.loads(answer["body"]))
        return answer["statusCode"], json.loads(answer["body"]), took_ms

    return send


def results(body):
    return {name: check["result"] for name, check in body["checks"].items()}


def test_a_region_where_everything_answers_is_ok(ask):
    status, body, _ = ask()

    assert (status, body["status"], body["region"]) == (200, "ok", "us-east-1")
    assert results(body) == dict.fromkeys(DEPENDENCIES, "ok")
    assert all(0 <= check["ms"] <= BUDGET_MS for check in body["checks"].values())


@pytest.mark.parametrize("name", DEPENDENCIES)
@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (EndpointConnectionError(endpoint_url=SECRET), "failed"),
        (refused("AccessDeniedException"), "failed"),
        (refused("ResourceNotFoundException"), "failed"),
        (refused("InternalServerError"), "failed"),
        (ReadTimeoutError(endpoint_url=SECRET), "slow"),
        (ConnectTimeoutError(endpoint_url=SECRET), "slow"),
        (RuntimeError(SECRET), "failed"),
        ("hangs", "slow"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_away_is_named_in_time_and_nothing_else_is_told(region, ask, name, fault, result):
    region.faults[name] = fault

    status, body, took_ms = ask()

    assert results(body) == {**dict.fromkeys(DEPENDENCIES, "ok"), name: result}
    assert (status, body["status"]) == ((503, "unavailable") if name in NEEDED else (200, "degraded"))
    assert took_ms < BUDGET_MS + A_LITTLE_MS
    assert SECRET not in json.dumps(body)
    assert "Error" not in json.dumps(body)
    assert "Exception" not in json.dumps(body)


def test_all_may_hang_at_once(region, ask):
    region.faults = dict.fromkeys(DEPENDENCIES, "hangs")

    status, body, took_ms = ask()

    assert (status, body["status"], results(body)) == (503, "unavailable", dict.fromkeys(DEPENDENCIES, "slow"))
    assert BUDGET_MS <= took_ms < BUDGET_MS + A_LITTLE_MS


def test_probes_go_side_by_side(region, ask, monkeypatch):
    """Each waits for the others to have begun: one after the other, none would end."""
    meet = region.meet

    def together(name):
        meet(name)
        while len(region.asked) < len(DEPENDENCIES):
            time.sleep(0.001)

    monkeypatch.setattr(region, "meet", together)

    assert ask()[1]["status"] == "ok"


@pytest.mark.parametrize("name", DEPENDENCIES)
@pytest.mark.parametrize("code", ["ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"])
def test_who_refuses_because_too_many_ask_is_there(region, ask, name, code):
    """Else anybody could take a region out of service by asking for its health often enough."""
    region.faults[name] = refused(code)

    status, body, _ = ask()

    assert (status, body["status"], results(body)[name]) == (200, "ok", "ok")


@pytest.mark.parametrize("keys", [[], None])
def test_a_vault_without_keys_is_away(region, ask, keys):
    region.keys = keys

    assert results(ask()[1])["vault"] == "failed"


def test_a_vault_that_breaks_is_away(region, ask):
    region.faults["broken"] = {"FunctionError": "Unhandled"}

    status, body, _ = ask()

    assert (status, results(body)["vault"]) == (503, "failed")


def test_a_state_machine_that_is_being_deleted_is_away(region, ask):
    region.machine = "DELETING"

    status, body, _ = ask()

    assert (status, results(body)["saga"]) == (503, "failed")


def test_a_region_that_was_marked_as_failed_is_out_of_service_though_it_works(region, ask):
    region.mark = {"shard": {"N": "-10"}, "region": {"S": "us-east-1"}, "state": {"S": "failed"}}

    status, body, _ = ask()

    assert (status, body["status"]) == (503, "failed_over")
    assert results(body) == dict.fromkeys(DEPENDENCIES, "ok")


def test_a_marked_region_stays_out_of_service_while_something_in_it_is_away(region, ask):
    region.mark = {"region": {"S": "us-east-1"}, "state": {"S": "failed"}}
    region.faults = {"vault": "hangs", "bus": refused("InternalFailure")}

    assert ask()[:2][0] == 503
    assert ask()[1]["status"] == "failed_over"


@pytest.mark.parametrize(
    "mark",
    [
        {"region": {"S": "us-east-1"}, "state": {"S": "serving"}},
        {"region": {"S": "us-west-2"}, "state": {"S": "failed"}},
        {"region": {"S": "us-east-1"}},
        {"state": {"S": "failed"}},
        {"region": {"S": "us-east-1"}, "state": {"N": "1"}},
        {"region": {"S": "us-east-1"}, "state": {"S": "FAILED "}},
        {"region": {"NULL": True}, "state": {"L": [{"S": "failed"}]}},
        {"anything": {"B": b"\x00"}},
    ],
    ids=str,
)
def test_what_is_no_mark_of_this_region_marks_nothing(region, ask, mark):
    region.mark = mark

    status, body, _ = ask()

    assert (status, body["status"], results(body)["shards"]) == (200, "ok", "ok")


@pytest.mark.parametrize("fault", ["hangs", refused("InternalServerError")], ids=str)
def test_a_map_that_cannot_be_read_is_no_mark(region, ask, fault):
    region.mark = {"region": {"S": "us-east-1"}, "state": {"S": "failed"}}
    region.faults["shards"] = fault

    assert ask()[1]["status"] == "unavailable"


def test_each_region_looks_at_its_own_mark(region, ask, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    keys = []
    region.get_item = lambda TableName, Key: keys.append(Key) or {}

    body = ask()[1]

    assert body["region"] == "us-west-2"
    assert {"shard": {"N": "-11"}} in keys


def test_many_requests_at_once_are_one_question(region, ask):
    region.faults["vault"] = "hangs"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(again=False), range(64)))

    assert {(status, body["status"]) for status, body, _ in answers} == {(503, "unavailable")}
    assert sorted(region.asked) == sorted(DEPENDENCIES)
    assert max(took_ms for *_, took_ms in answers) < BUDGET_MS + A_LITTLE_MS + 500


def test_an_answer_is_used_again_for_a_second_and_no_longer(region, ask, monkeypatch):
    assert ask()[1]["status"] == "ok"
    region.faults["saga"] = refused("StateMachineDoesNotExist")

    assert ask(again=False)[1]["status"] == "ok"
    now = health.clock.utc()
    monkeypatch.setattr(health.clock, "utc", lambda: now + health.REUSED)

    assert ask(again=False)[1]["status"] == "unavailable"


def test_an_answer_from_before_the_clock_was_put_back_is_not_used_again(region, ask, monkeypatch):
    assert ask()[1]["status"] == "ok"
    region.faults["saga"] = refused("StateMachineDoesNotExist")
    now = health.clock.utc()
    monkeypatch.setattr(health.clock, "utc", lambda: now - 3600 * health.REUSED)

    assert ask(again=False)[1]["status"] == "unavailable"


def test_probes_that_never_end_do_not_pile_up(region, ask):
    region.faults["bus"] = "hangs"

    for _ in range(probes._MOST_WAITING + 3):
        assert results(ask()[1])["bus"] == "slow"

    assert region.asked.count("bus") == probes._MOST_WAITING


def test_a_region_is_well_again_with_the_next_question(region, ask):
    region.faults = dict.fromkeys(DEPENDENCIES, "hangs")
    assert ask()[0] == 503
    region.faults = {}

    assert ask()[:2][0] == 200


def test_faults_go_to_the_log_by_their_types_alone(region, ask, monkeypatch):
    logged = []
    monkeypatch.setattr(health.logger, "warning", lambda *args, extra: logged.append(extra))
    region.faults = {"saga": RuntimeError(SECRET), "vault": refused("TooManyRequestsException"), "bus": "hangs"}

    ask()

    assert logged == [{"faults": {"saga": "RuntimeError", "vault": "TooManyRequestsException", "bus": "NotInTime"}}]


def test_the_budget_leaves_route_53_time():
    """It gives up two seconds after it is connected, and TLS and API Gateway's way come on top."""
    (budget,) = (field.default for field in msgspec.structs.fields(ApiSettings) if field.name == "health_budget_ms")
    assert budget <= 1000 < 1000 * probes._READ_TIMEOUT_SECONDS


def test_health_asks_for_no_key_and_is_described(ask):
    operations = {path: operation for _, path, operation, _ in openapi._routes()}

    assert operations["/health"].public
    assert set(operations["/health"].answers) == {200, 503}


def test_the_real_clients_are_understood(tables, context, monkeypatch):
    """The requests and answers are AWS's own: moto has the tables, the state machine and the bus, and no vault."""
    monkeypatch.setattr(health, "_known", None)
    monkeypatch.setenv("HEALTH_BUDGET_MS", "20000")
    role = "arn:aws:iam::123456789012:role/saga"
    machine = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
    clients.client("events").create_event_bus(Name="payments")
    clients.client("stepfunctions").create_state_machine(
        name="payments-charge", definition=json.dumps(machine), roleArn=role, type="EXPRESS"
    )
    mark = {"shard": {"N": "-10"}, "region": {"S": "us-east-1"}, "state": {"S": "failed"}}
    clients.client("dynamodb").put_item(TableName="shards", Item=mark)

    answer = app.handler(event("GET", "/health", merchant=None), context)

    body = json.loads(answer["body"])
    assert results(body) == {**dict.fromkeys(DEPENDENCIES, "ok"), "vault": "failed"}
    assert (answer["statusCode"], body["status"]) == (503, "failed_over")


def test_what_health_asks_is_not_counted_as_a_charges(region, ask, monkeypatch):
    """bench/operations.py prices a charge by the calls that were made meanwhile."""
    calls = []
    for name, operation in (("get_item", "GetItem"), ("query", "Query")):
        real = getattr(region, name)
        monkeypatch.setattr(
            region,
            name,
            lambda real=real, operation=operation, **asked: calls.append((operation, asked)) or real(**asked),
        )
    ask()

    made = [Call("us-east-1", operation, 0.0, asked) for operation, asked in calls]
    charges = Call(
        "us-east-1", "Query", 0.0, {"TableName": "ledger", "ExpressionAttributeValues": {":0": {"S": "pay_1"}}}
    )

    assert len(made) == 3
    assert not [call for call in made if _belongs(call, "pay_1", 17)]
    assert _belongs(charges, "pay_1", 17)
