"""Storing and deleting cards: what the vault is asked, what the merchant is answered, and what goes nowhere."""

import io
import json
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from functions.api import app, routing, sealing, vault
from payments import regions
from payments.sealing import seal_card
from tests.functional.api.functions import failing
from tests.functional.api.merchant import CARD, PAN, event, opened, sealed
from tests.functional.samples import MERCHANT

OTHER = "mer_" + "b" * 24
TOKEN = "tok_1" + "a" * 52
PUBLIC_KEY_PATH = "/api/v1/vault/public_key"
STORE, SHRED, PUBLIC_KEY = "payments-vault-store", "payments-vault-shred", "payments-vault-public-key"


@pytest.fixture
def store(call):
    """Stores a card."""

    def send(body, headers=None, **kwargs):
        return call("POST", "/api/v1/tokens", body, headers, **kwargs)

    return send


@pytest.fixture
def delete(call):
    """Deletes a card."""

    def send(token, **kwargs):
        return call("DELETE", f"/api/v1/tokens/{token}", **kwargs)

    return send


@pytest.fixture
def stored(store):
    """The token of a stored card."""
    return store({"sealed_card": sealed(nonce="tokens")})[1]["id"]


def asked(functions, name):
    return [request for function, request in functions.calls if function == name]


def test_a_stored_card_is_answered_with_its_facts(store):
    status, body, _ = store({"card": CARD})

    assert status == 201
    assert body["id"].startswith("tok_")
    until = datetime.fromisoformat(body.pop("expires_at"))
    assert timedelta(days=6) < until - datetime.now(UTC) < timedelta(days=8)
    assert {name: value for name, value in body.items() if name != "id"} == {
        "object": "token",
        "brand": "visa",
        "network": "visa",
        "bin": "424242",
        "last4": "4242",
        "exp_month": 12,
        "exp_year": 2031,
        "request_id": "request-1",
    }


def test_a_card_that_a_charge_has_used_does_not_expire(store, functions):
    answer = functions.handlers[STORE]
    functions.handlers[STORE] = lambda request, context: answer(request, context) | {"expires_at": None}

    assert store({"card": CARD})[1]["expires_at"] is None


def test_only_what_is_documented_of_a_card_is_answered(store, functions):
    answer = functions.handlers[STORE]
    functions.handlers[STORE] = lambda request, context: (
        (whole := answer(request, context)) | {"pan": PAN, "card": whole["card"] | {"number": PAN}}
    )

    status, body, _ = store({"card": CARD})

    assert status == 201
    assert PAN not in json.dumps(body)


def test_a_raw_card_leaves_the_function_only_sealed_for_this_one_use(store, functions, capsys):
    store({"card": CARD})

    assert [name for name, _ in functions.calls] == [PUBLIC_KEY, STORE]
    assert PAN not in json.dumps(functions.calls) + capsys.readouterr().out
    (request,) = asked(functions, STORE)
    header, card = opened(request.pop("sealed_card"))
    assert request == {"merchant_id": MERCHANT}
    assert (header["merchant"], header["nonce"], card) == (MERCHANT, "tokens", CARD)


def test_a_sealed_card_is_passed_on_as_it_is(store, functions):
    envelope = sealed(nonce="tokens")

    assert store({"sealed_card": envelope})[0] == 201
    assert functions.calls == [(STORE, {"merchant_id": MERCHANT, "sealed_card": envelope})]


def test_raw_cards_are_refused_where_the_deployment_does_not_allow_them(store, functions, monkeypatch):
    closed = msgspec.structs.replace(sealing.settings(), raw_cards_allowed=False)
    monkeypatch.setattr(sealing, "settings", lambda: closed)

    status, body, _ = store({"card": CARD})

    assert (status, body["error"]["code"]) == (400, "raw_card_refused")
    assert functions.calls == []
    assert store({"sealed_card": sealed(nonce="tokens")})[0] == 201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"card": {**CARD, "number": "9" * 16}}, "incorrect_number"),
        ({"sealed_card": sealed(nonce="order-1")}, "sealed_card_invalid"),
        ({"sealed_card": sealed(merchant=OTHER, nonce="tokens")}, "sealed_card_invalid"),
    ],
)
def test_an_invalid_card_is_declined_as_in_a_charge(store, body, code):
    status, answer, _ = store(body)

    assert (status, answer["error"]["type"], answer["error"]["code"]) == (402, "card_error", code)


def test_an_idempotency_key_is_not_needed_and_one_that_is_sent_is_ignored(store, context):
    bare = event("POST", "/api/v1/tokens", {"card": CARD})
    bare["headers"] = None

    without = json.loads(app.handler(bare, context)["body"])
    first = store({"card": CARD}, {"Idempotency-Key": "k" * 300})[1]
    other = store({"card": {**CARD, "number": "5555555555554444"}}, {"Idempotency-Key": "k" * 300})[1]

    assert without["id"] == first["id"] != other["id"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_json"),
        ('{"card": "\ud800"}', "invalid_json"),
        ('{"card": ' + "[" * 5_000, "invalid_json"),
        ({"sealed_card": json.loads("[" * 12 + "]" * 12)}, "invalid_json"),
        ({}, "card_required"),
        ({"card": CARD, "sealed_card": sealed()}, "card_required"),
        ({"token": TOKEN}, "invalid_field"),
        ({"card": CARD, "amount": 1}, "invalid_field"),
        ({"card": {**CARD, "pin": "1"}}, "invalid_field"),
        ({"card": {**CARD, "number": int(PAN)}}, "invalid_field"),
        ({"card": {**CARD, "number": "4" * 65}}, "invalid_field"),
        ({"card": {**CARD, "cvc": "1" * 9}}, "invalid_field"),
        ({"card": {**CARD, "exp_year": 10**12}}, "invalid_field"),
        ({"sealed_card": "not.a.jwe"}, "sealed_card_invalid"),
        ({"sealed_card": "a" * 5_000}, "invalid_field"),
        ({"card": {**CARD, "number": "4" * 70_000}}, "body_too_large"),
        ("[" * 100_000, "body_too_large"),
    ],
)
def test_a_bad_body_is_refused_before_the_vault_is_asked(store, functions, body, code):
    status, answer, _ = store(body)

    assert (status, answer["error"]["code"]) == (413 if code == "body_too_large" else 400, code)
    assert PAN not in json.dumps(answer)
    assert functions.calls == []


def test_a_body_that_is_no_text_is_refused(sagas, context):
    request = {**event("POST", "/api/v1/tokens", "gA=="), "isBase64Encoded": True}

    answer = app.handler(request, context)

    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("body", "headers", "query"),
    [
        ({"sealed_card": PAN}, {}, None),
        ({"sealed_card": f"{PAN}{PAN}..{'a' * 16}.{'a' * 40}.{'a' * 22}"}, {}, None),
        ({"card": CARD, "number": PAN}, {}, None),
        ({"card": CARD, PAN: "x"}, {}, None),
        ({"card": CARD, "token": f"tok_{PAN}aaaaaaaa"}, {}, None),
        ({"card": CARD}, {"Idempotency-Key": PAN}, None),
        ({"card": CARD}, {"idempotency-key": "4242 4242 4242 4242"}, None),
        ({"card": CARD}, {}, {"number": PAN}),
        ({"card": CARD}, {}, {PAN: ""}),
    ],
)
def test_a_card_number_in_any_other_place_is_refused_and_goes_nowhere(store, functions, capsys, body, headers, query):
    status, answer, _ = store(body, headers, query=query)

    assert (status, answer["error"]["code"]) == (400, "card_data_in_field")
    assert PAN not in json.dumps(answer) + capsys.readouterr().out
    assert functions.calls == []


@pytest.mark.parametrize("place", ["queryStringParameters", "multiValueQueryStringParameters"])
def test_a_card_number_in_a_charges_query_is_refused(sagas, context, place):
    from tests.functional.api.merchant import BODY

    request = event("POST", "/api/v1/payments/charge", BODY)
    request[place] = {"n": PAN if place == "queryStringParameters" else ["1", PAN]}

    answer = app.handler(request, context)

    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (400, "card_data_in_field")
    assert sagas == []


def test_a_card_is_deleted_once(delete, stored):
    status, body, _ = delete(stored)

    assert (status, body) == (
        200,
        {"object": "token", "id": stored, "deleted": True, "request_id": "request-1"},
    )
    status, body, _ = delete(stored)
    assert (status, body["error"]["code"]) == (404, "token_not_found")


def test_another_merchants_card_does_not_exist(delete, stored):
    status, body, _ = delete(stored, merchant=OTHER)

    assert (status, body["error"]["code"]) == (404, "token_not_found")
    assert delete(stored)[0] == 200


@pytest.mark.parametrize(
    "token",
    [PAN, "4242-4242-4242-4242", "tok_", "tok_" + "A" * 53, "x", f"tok_{PAN}aaaaaaaa", "tok_" + "a" * 81, "%00"],
)
def test_what_is_not_a_token_is_not_found_without_asking_and_not_echoed(delete, functions, capsys, monkeypatch, token):
    monkeypatch.setattr(regions, "primary", lambda shard: "us-west-2")
    monkeypatch.setattr(routing, "client", lambda *_, **__: pytest.fail("asked the other region"))

    status, body, _ = delete(token, resource="/api/v1/tokens/{token}")

    assert (status, body["error"]["code"]) == (404, "token_not_found")
    assert token not in json.dumps(body) + capsys.readouterr().out
    assert functions.calls == []


@pytest.mark.parametrize("kwargs", [{"query": {"n": PAN}}, {"headers": {"Idempotency-Key": PAN}}])
def test_a_card_number_beside_a_deletion_is_refused(delete, functions, kwargs):
    status, body, _ = delete(TOKEN, **kwargs)

    assert (status, body["error"]["code"]) == (400, "card_data_in_field")
    assert functions.calls == []


class Broken:
    """A Lambda service that cannot be reached, or says no."""

    def __init__(self, fault):
        self.fault = fault

    def invoke(self, **_):
        raise self.fault


@pytest.mark.parametrize(
    "fault",
    [
        None,
        ReadTimeoutError(endpoint_url="x"),
        EndpointConnectionError(endpoint_url="x"),
        ClientError({"Error": {"Code": "TooManyRequestsException", "Message": PAN}}, "Invoke"),
    ],
    ids=["crashed", "no answer", "not there", "throttled"],
)
@pytest.mark.parametrize(
    "request_",
    [("POST", "/api/v1/tokens", {"card": CARD}), ("DELETE", f"/api/v1/tokens/{TOKEN}"), ("GET", PUBLIC_KEY_PATH)],
    ids=["store", "delete", "public key"],
)
def test_a_vault_that_does_not_answer_is_a_fault_that_says_nothing(
    call, functions, monkeypatch, capsys, fault, request_
):
    functions.handlers = dict.fromkeys(functions.handlers, failing)
    if fault:
        monkeypatch.setattr(vault, "client", lambda *_, **__: Broken(fault))

    status, body, headers = call(*request_)

    assert (status, body["error"]["code"], headers["Retry-After"]) == (503, "vault_unavailable", ["1"])
    assert PAN not in json.dumps(body) + capsys.readouterr().out


def test_a_vault_that_fails_while_a_card_is_stored_is_a_fault_too(store, functions, capsys):
    functions.handlers = {**functions.handlers, STORE: failing}

    status, body, _ = store({"card": CARD})

    assert (status, body["error"]["code"]) == (503, "vault_unavailable")
    assert PAN not in json.dumps(body) + capsys.readouterr().out


def test_the_vault_itself_stores_a_card_for_its_merchant_and_deletes_it_once(store, delete, real_vault):
    jwk = real_vault.handlers[PUBLIC_KEY]({}, None)["keys"][0]
    envelope = seal_card(CARD, jwk, MERCHANT, "tokens", int(time.time()))
    (first, raw, _), (again, own, _) = store({"card": CARD}), store({"sealed_card": envelope})

    assert (first, again, raw["id"], raw["last4"]) == (201, 201, own["id"], "4242")
    assert datetime.fromisoformat(raw["expires_at"]) > datetime.now(UTC)
    answers = [delete(raw["id"], merchant=OTHER), delete(raw["id"]), delete(raw["id"])]
    assert [status for status, _, _ in answers] == [404, 200, 404]
    assert store({"card": CARD})[1]["id"] == raw["id"]


class Twin:
    """The same function in the other region: handles what it is sent, and keeps it."""

    def __init__(self, context):
        self.context, self.events = context, []

    def invoke(self, FunctionName, Payload):
        self.events.append(json.loads(Payload))
        return {"Payload": io.BytesIO(json.dumps(app.handler(json.loads(Payload), self.context)).encode())}


@pytest.fixture
def twin(call, context, monkeypatch):
    """Makes the other region the primary."""
    there = Twin(context)
    monkeypatch.setattr(regions, "primary", lambda shard: "us-west-2")
    monkeypatch.setattr(routing, "client", lambda *_, **__: there)
    monkeypatch.setattr(routing, "_paused_until", {})
    return there


def test_a_card_is_stored_in_the_primary_region_and_travels_sealed(store, functions, twin):
    status, body, _ = store({"card": CARD})

    assert (status, body["last4"]) == (201, "4242")
    (sent,) = twin.events
    assert sent["forwarded_by"] == "us-east-1"
    assert PAN not in json.dumps(sent)
    assert [name for name, _ in functions.calls] == [PUBLIC_KEY, STORE]


def test_a_card_is_deleted_in_the_primary_region(delete, stored, functions, twin):
    status, body, _ = delete(stored, body={"number": PAN})

    assert (status, body["deleted"]) == (200, True)
    (sent,) = twin.events
    assert sent["forwarded_by"] == "us-east-1"
    assert PAN not in json.dumps(sent)
    assert len(asked(functions, SHRED)) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/api/v1/tokens", 201), ("DELETE", f"/api/v1/tokens/{TOKEN}", 404)]
)
def test_a_forwarded_request_is_answered_here(functions, context, twin, method, path, status):
    sent = {**event(method, path, {"sealed_card": sealed(nonce="tokens")}), "forwarded_by": "us-west-2"}

    assert app.handler(sent, context)["statusCode"] == status
    assert twin.events == []


def test_a_card_is_stored_here_when_the_primary_does_not_answer(store, functions, twin, monkeypatch):
    monkeypatch.setattr(routing, "client", lambda *_, **__: Broken(EndpointConnectionError(endpoint_url="x")))

    assert store({"card": CARD})[0] == 201
    assert len(asked(functions, STORE)) == 1
