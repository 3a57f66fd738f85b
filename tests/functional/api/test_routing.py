"""Writes go to the primary region of the merchant's shard."""

import io
import json
from dataclasses import replace

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from bench.lambda_pool import COLD_MS
from functions.api import app, commands, routing, saga
from local import edge
from payments import books, clients, clock, identifiers, regions
from payments.clients import CONNECT_TIMEOUT_SECONDS
from tests.functional.api.life import approved, command
from tests.functional.api.merchant import BODY, PAN, charge, event
from tests.functional.conftest import write_here
from tests.functional.samples import MERCHANT

PRIMARY = regions.primary
DECLINED = {"error": {"type": "card_error", "code": "expired_card", "message": "m", "request_id": "request-1"}}


NOT_FOUND = {"error": {"type": "invalid_request_error", "code": "payment_not_found", "message": "m", "request_id": "r"}}
PAYMENT = identifiers.payment_id(MERCHANT, "elsewhere")


class Twin:
    """Stands in for the same function in the other region."""

    def __init__(self, answer):
        self.answer, self.events, self.waits = answer, [], []

    def made(self, service, region, endpoint, *, read_timeout, attempts):
        assert attempts == 1
        self.waits.append(read_timeout)
        return self

    def invoke(self, FunctionName, Payload):
        self.events.append(json.loads(Payload))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def twin(call, monkeypatch):
    """Makes the other region the primary, with a twin that answers as told."""

    def answering(answer):
        stand_in = Twin(answer)
        monkeypatch.setattr(regions, "primary", lambda shard: "us-west-2")
        monkeypatch.setattr(routing, "client", stand_in.made)
        monkeypatch.setattr(routing, "_paused_until", {})
        return stand_in

    return answering


def payload(content):
    return {"Payload": io.BytesIO(json.dumps(content).encode())}


def test_a_write_goes_to_the_primary_region_with_the_card_sealed(call, sagas, twin):
    stand_in = twin(payload({"statusCode": 402, "body": json.dumps(DECLINED), "multiValueHeaders": {"X-A": ["b"]}}))

    status, body, headers = charge(call)

    assert (status, body, headers["X-A"]) == (402, DECLINED, ["b"])
    assert sagas == []
    assert stand_in.events[0]["forwarded_by"] == "us-east-1"
    assert PAN not in json.dumps(stand_in.events)


def test_a_forwarded_write_is_done_here_and_never_sent_back(sagas, context, twin):
    stand_in = twin(AssertionError("sent back"))

    answer = app.handler({**event("POST", "/api/v1/payments/charge", BODY), "forwarded_by": "us-west-2"}, context)

    assert answer["statusCode"] == 201
    assert stand_in.events == []


@pytest.mark.parametrize("fault", ["refused", "crashed"])
def test_a_primary_that_does_not_answer_is_stood_in_for(call, sagas, twin, fault):
    twin(EndpointConnectionError(endpoint_url="x") if fault == "refused" else {"FunctionError": "Unhandled"})

    assert charge(call)[0] == 201
    assert len(sagas) == 1


def test_a_primary_that_did_not_answer_is_left_alone_for_a_while(call, sagas, twin):
    stand_in = twin(ReadTimeoutError(endpoint_url="x"))

    assert [charge(call, key=f"key-{number}")[0] for number in range(3)] == [201, 201, 201]
    assert len(stand_in.events) == 1


def test_what_can_be_done_here_waits_less_for_the_primary_than_what_can_not(call, twin, monkeypatch):
    stand_in = twin(ReadTimeoutError(endpoint_url="x"))

    charge(call)
    monkeypatch.setattr(routing, "_paused_until", {})
    command(call, "void", PAYMENT, {})

    assert stand_in.waits == [routing.TAKEOVER_SECONDS, routing.PATIENCE_SECONDS]
    assert sum(COLD_MS.values()) / 1000 < routing.TAKEOVER_SECONDS, "a primary that is only cold is waited for"
    assert commands._READ_TIMEOUT_SECONDS < routing.PATIENCE_SECONDS


def test_a_charge_that_is_given_up_elsewhere_is_made_here_within_api_gateways_time():
    waits = CONNECT_TIMEOUT_SECONDS + routing.TAKEOVER_SECONDS + saga._READ_TIMEOUT_SECONDS

    assert waits < edge.TIMEOUT


def test_a_charge_that_both_regions_come_to_do_is_of_one_time(call, context, sagas, twin, monkeypatch):
    times = iter(f"2026-11-30T23:59:{second}.000Z" for second in range(50, 60))
    monkeypatch.setattr(clock, "now", lambda: next(times))
    monkeypatch.setattr(books, "find", lambda _: None)  # nothing has been replicated
    stand_in = twin(ReadTimeoutError(endpoint_url="x"))

    charge(call)
    app.handler(stand_in.events[0], context)

    here, there = sagas
    assert here["created_at"] == there["created_at"]
    assert here["attempt"] != there["attempt"]


def test_no_client_can_say_when_its_request_came(call, context, sagas, monkeypatch):
    said = {"received_at": "1999-01-01T00:00:00Z"}
    asked = event("POST", "/api/v1/payments/charge", {**BODY, "metadata": said}, said, query=said)

    assert app.handler(asked, context)["statusCode"] == 201
    assert sagas[0]["created_at"] > "2026"


def test_the_shard_map_says_who_is_primary(tables):
    clients.client("dynamodb").put_item(
        TableName="shards", Item={"shard": {"N": "7"}, "primary": {"S": "us-west-2"}, "epoch": {"N": "1"}}
    )

    assert regions.primary(7) == "us-west-2"
    assert {regions.primary(shard) for shard in range(128) if shard != 7} == {"us-east-1", "us-west-2"}


@pytest.mark.parametrize("name", ["capture", "void", "refund"])
def test_a_command_goes_to_the_primary_region_and_its_answer_comes_back_whole(call, functions, twin, name):
    refusal = {"type": "invalid_request_error", "code": "payment_state_invalid", "message": "m", "request_id": "there"}
    content = {"statusCode": 409, "body": json.dumps({"error": refusal}), "multiValueHeaders": {"X-A": ["b"]}}
    stand_in = twin(payload(content))

    status, body, headers = command(call, name, PAYMENT, {"reason": "x"} if name == "void" else {"amount": 5})

    assert (status, body["error"]["code"], headers["X-A"]) == (409, "payment_state_invalid", ["b"])
    assert stand_in.events[0]["forwarded_by"] == "us-east-1"
    assert stand_in.events[0]["headers"]["Idempotency-Key"] == "command-1"
    assert functions.calls == []


@pytest.mark.parametrize("name", ["capture", "void", "refund"])
def test_a_forwarded_command_is_the_same_request_here_as_there(call, functions, context, twin, name, monkeypatch):
    stand_in = twin({"FunctionError": "Unhandled"})
    payment_id = approved(call, capture=name == "refund")
    body = {} if name == "void" else {"amount": 5}

    refused, _, _ = command(call, name, payment_id, body)
    monkeypatch.setattr(regions, "primary", lambda shard: "us-east-1")
    first, made, _ = command(call, name, payment_id, body)
    again = app.handler(stand_in.events[-1], context)

    assert refused == 503
    assert first in (200, 201)
    assert (again["statusCode"], again["multiValueHeaders"]["Idempotent-Replayed"]) == (first, ["true"])
    assert json.loads(again["body"]) == made


@pytest.mark.parametrize("name", ["capture", "void", "refund"])
@pytest.mark.parametrize("fault", ["refused", "crashed"])
def test_a_command_is_carried_out_in_no_other_region(call, functions, twin, name, fault):
    stand_in = twin(EndpointConnectionError(endpoint_url="x") if fault == "refused" else {"FunctionError": "Unhandled"})
    payment_id = approved(call, capture=name == "refund")
    body = {} if name == "void" else {"amount": 5}

    answers = [command(call, name, payment_id, body) for _ in range(2)]

    assert [(status, body["error"]["code"]) for status, body, _ in answers] == [(503, "processing_failed")] * 2
    assert stand_in.events
    assert "payments-ledger-command" not in [name for name, _ in functions.calls]


@pytest.mark.parametrize("name", ["capture", "void", "refund"])
def test_a_payment_that_was_taken_here_is_not_said_to_be_unknown_because_the_primary_has_it_not_yet(call, twin, name):
    stand_in = twin({"FunctionError": "Unhandled"})
    payment_id = approved(call, capture=name == "refund")
    stand_in.answer = payload({"statusCode": 404, "body": json.dumps(NOT_FOUND), "multiValueHeaders": {}})

    status, body, _ = command(call, name, payment_id, {} if name == "void" else {"amount": 5})

    assert (status, body["error"]["code"]) == (503, "processing_failed")


def test_another_merchants_payment_is_as_unknown_as_one_that_does_not_exist(call, twin, monkeypatch):
    stand_in = twin({"FunctionError": "Unhandled"})
    payment_id = approved(call)
    theirs = replace(books.find(payment_id), merchant_id="mer_bbbbbbbbbbbbbbbbbbbbbbbb")
    monkeypatch.setattr(books, "find", lambda *_, **__: theirs)
    stand_in.answer = payload({"statusCode": 404, "body": json.dumps(NOT_FOUND), "multiValueHeaders": {}})

    assert command(call, "void", payment_id)[0] == 404


def test_a_forwarded_command_is_refused_by_a_region_that_is_the_primary_no_more(call, functions, context, twin):
    stand_in = twin({"FunctionError": "Unhandled"})
    payment_id = approved(call)
    command(call, "refund", payment_id, {"amount": 5})

    assert app.handler(stand_in.events[-1], context)["statusCode"] == 503
    assert "payments-ledger-command" not in [name for name, _ in functions.calls]


def test_what_is_here_is_read_here(call, twin):
    _, made, _ = charge(call)
    stand_in = twin(AssertionError("asked the other region"))

    paths = ("payments", "balance", "ledger/entries", f"payments/{made['id']}", f"payments/{made['id']}/refunds")
    assert [call("GET", f"/api/v1/{path}")[0] for path in paths] == [200] * 5
    assert stand_in.events == []


@pytest.mark.parametrize("path", ["", "/refunds"])
def test_a_payment_that_is_not_here_yet_is_asked_of_the_region_that_writes_for_it(call, twin, path):
    content = {"statusCode": 404, "body": json.dumps(NOT_FOUND), "multiValueHeaders": {"X-A": ["b"]}}
    stand_in = twin(payload(content))

    status, body, headers = call("GET", f"/api/v1/payments/{PAYMENT}{path}")

    assert (status, body, headers["X-A"]) == (404, NOT_FOUND, ["b"])
    (asked,) = stand_in.events
    assert (asked["forwarded_by"], asked["httpMethod"], asked["path"]) == (
        "us-east-1",
        "GET",
        f"/api/v1/payments/{PAYMENT}{path}",
    )


@pytest.mark.parametrize("fault", ["refused", "crashed"])
def test_while_that_region_does_not_answer_nobody_says_that_there_is_no_such_payment(call, twin, fault):
    stand_in = twin(EndpointConnectionError(endpoint_url="x") if fault == "refused" else {"FunctionError": "Unhandled"})

    answers = [call("GET", f"/api/v1/payments/{PAYMENT}") for _ in range(2)]

    assert [(status, body["error"]["code"]) for status, body, _ in answers] == [(503, "processing_failed")] * 2
    assert answers[0][2]["Retry-After"] == ["1"]
    assert stand_in.events


@pytest.mark.parametrize("payment_id", ["x", PAN, "pay_" + "9" * 26, identifiers.payment_id("mer_" + "c" * 24, "k")])
def test_what_can_be_no_payment_of_the_merchant_is_asked_of_nobody(call, twin, payment_id):
    stand_in = twin(AssertionError("asked the other region"))

    assert call("GET", f"/api/v1/payments/{payment_id}")[0] == 404
    assert stand_in.events == []


def test_another_merchants_payment_is_not_here_and_not_asked_for(call, twin):
    _, made, _ = charge(call)
    stand_in = twin(AssertionError("asked the other region"))

    assert call("GET", f"/api/v1/payments/{made['id']}", merchant="mer_" + "b" * 24)[0] == 404
    assert stand_in.events == []


class Regions:
    """Both regions' API functions, each with a map of its own that says that the other one is the primary."""

    def __init__(self, context, monkeypatch):
        self.context, self.here, self.hops = context, "us-east-1", []
        self.other = {"us-east-1": "us-west-2", "us-west-2": "us-east-1"}
        monkeypatch.setattr(regions, "here", lambda: self.here)
        monkeypatch.setattr(regions, "primary", lambda shard: self.other[self.here])
        monkeypatch.setattr(routing, "client", lambda service, region, *_, **__: Sent(self, region))
        monkeypatch.setattr(routing, "_paused_until", {})

    def answer(self, region, asked):
        before, self.here = self.here, region
        self.hops.append(region)
        try:
            return app.handler(asked, self.context)
        finally:
            self.here = before


class Sent:
    """Lambda in a region."""

    def __init__(self, world, region):
        self.world, self.region = world, region

    def invoke(self, FunctionName, Payload):
        return payload(self.world.answer(self.region, json.loads(Payload)))


@pytest.fixture
def disagreeing(sagas, functions, context, monkeypatch):
    return Regions(context, monkeypatch)


def test_regions_that_take_each_other_for_the_primary_pass_a_charge_on_once(disagreeing, sagas):
    answer = disagreeing.answer("us-east-1", event("POST", "/api/v1/payments/charge", BODY))

    assert answer["statusCode"] == 201
    assert disagreeing.hops == ["us-east-1", "us-west-2"]
    assert len(sagas) == 1


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/refund"), ("POST", "/capture"), ("POST", "/void"), ("GET", "")]
)
def test_regions_that_take_each_other_for_the_primary_refuse_what_only_the_primary_may_do(
    disagreeing, functions, method, path
):
    asked = event(method, f"/api/v1/payments/{PAYMENT}{path}", {} if method == "POST" else None)

    assert disagreeing.answer("us-east-1", asked)["statusCode"] == 503
    assert disagreeing.hops == ["us-east-1", "us-west-2"]
    assert functions.calls == []


@pytest.mark.parametrize("where", ["body", "headers", "query"])
def test_no_client_can_say_that_its_request_was_forwarded(context, sagas, functions, twin, where):
    stand_in = twin(payload({"statusCode": 402, "body": json.dumps(DECLINED), "multiValueHeaders": {}}))
    said = {"forwarded_by": "us-west-2"}
    body = {**BODY, "metadata": said} if where == "body" else BODY
    asked = event("POST", "/api/v1/payments/charge", body, said if where == "headers" else None, query=said)

    assert app.handler(asked, context)["statusCode"] == 402
    assert len(stand_in.events) == 1
    assert sagas == []


def test_a_field_of_that_name_in_a_request_is_refused_as_any_other(call, twin):
    stand_in = twin(AssertionError("asked the other region"))

    status, body, _ = charge(call, {**BODY, "forwarded_by": "us-west-2"})

    assert (status, body["error"]["code"]) == (400, "invalid_field")
    assert stand_in.events == []


def test_a_region_whose_shards_have_moved_is_not_asked(call, sagas, twin, monkeypatch):
    stand_in = twin(AssertionError("asked the region that is down"))
    monkeypatch.setattr(regions, "primary", PRIMARY)
    write_here(epoch=1)

    assert charge(call)[0] == 201
    assert call("GET", f"/api/v1/payments/{PAYMENT}")[0] == 404
    assert stand_in.events == []


def test_a_charge_carries_the_epoch_that_it_was_taken_by_and_when_that_was_read(call, sagas, monkeypatch):
    monkeypatch.setattr(regions, "primary", PRIMARY)
    write_here(epoch=7)
    before = clock.now()

    charge(call, key="first")
    read = sagas[0]["mapped_at"]
    charge(call, key="second")

    assert before <= read <= clock.now()
    assert [(charge["epoch"], charge["mapped_at"]) for charge in sagas] == [(7, read)] * 2


@pytest.mark.parametrize("moved", [{"primary": "us-west-2"}, {"since": "2999-01-01T00:00:00Z"}])
@pytest.mark.parametrize("name", ["capture", "void", "refund"])
def test_a_forwarded_command_is_not_carried_out_where_a_fresh_look_says_that_it_must_not(
    call, functions, context, twin, name, moved, monkeypatch
):
    stand_in = twin({"FunctionError": "Unhandled"})
    payment_id = approved(call, capture=name == "refund")
    before = books.find(payment_id)
    command(call, name, payment_id, {} if name == "void" else {"amount": 5})
    monkeypatch.setattr(regions, "primary", lambda shard: "us-east-1")  # what this process remembers
    write_here(epoch=1, **moved)

    answer = app.handler(stand_in.events[-1], context)

    assert (answer["statusCode"], answer["multiValueHeaders"]["Retry-After"]) == (503, ["1"])
    assert json.loads(answer["body"])["error"]["code"] == "processing_failed"
    assert "payments-ledger-command" in [name for name, _ in functions.calls]
    assert books.find(payment_id) == before
