"""Writes go to the primary region of the merchant's shard."""

import io
import json

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from functions.api import app, routing
from payments import clients, identifiers, regions
from tests.functional.api.life import approved, command
from tests.functional.api.merchant import BODY, PAN, charge, event
from tests.functional.samples import MERCHANT

DECLINED = {"error": {"type": "card_error", "code": "expired_card", "message": "m", "request_id": "request-1"}}


PAYMENT = identifiers.payment_id(MERCHANT, "elsewhere")


class Twin:
    """Stands in for the same function in the other region."""

    def __init__(self, answer):
        self.answer, self.events = answer, []

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
        monkeypatch.setattr(routing, "client", lambda *_, **__: stand_in)
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


def test_a_forwarded_command_is_refused_by_a_region_that_is_the_primary_no_more(call, functions, context, twin):
    stand_in = twin({"FunctionError": "Unhandled"})
    payment_id = approved(call)
    command(call, "refund", payment_id, {"amount": 5})

    assert app.handler(stand_in.events[-1], context)["statusCode"] == 503
    assert "payments-ledger-command" not in [name for name, _ in functions.calls]


def test_reads_are_answered_here(call, twin):
    stand_in = twin(AssertionError("asked the other region"))

    paths = ("payments", "balance", "ledger/entries", f"payments/{PAYMENT}/refunds")
    assert [call("GET", f"/api/v1/{path}")[0] for path in paths] == [200, 200, 200, 404]
    assert stand_in.events == []
