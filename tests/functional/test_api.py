"""The merchants' API: the idempotency contract, refusals, and that card data goes nowhere but into the envelope."""

import io
import json

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey

from functions.api import app, routing, saga, sealing
from functions.ledger import app as ledger
from payments import books, clients, identifiers, regions

PAN = "4242424242424242"
RUN = saga.run
MERCHANT = "mer_" + "a" * 24
SHARD = identifiers.merchant_shard(MERCHANT)
KEY = ECKey.generate_key("P-256", {"kid": "sealing-1", "use": "enc", "alg": "ECDH-ES"})
CARD = {"number": PAN, "exp_month": 12, "exp_year": 2031, "cvc": "123"}
BODY = {"amount": 4200, "currency": "USD", "card": CARD}
FRAUD = {"score": 3, "reasons": [], "model": "test", "degraded": False}
CARD_FACTS = {
    "token": "tok_x",
    "brand": "visa",
    "network": "visa",
    "bin": "424242",
    "last4": "4242",
    "exp_month": 12,
    "exp_year": 2031,
}


def event(method, path, body=None, headers=None, merchant=MERCHANT, resource=None):
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": {"Idempotency-Key": "key-1", **(headers or {})},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "isBase64Encoded": False,
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "requestContext": {
            "requestId": "request-1",
            "stage": "v1",
            "httpMethod": method,
            "path": path,
            "identity": {},
            "authorizer": {"merchant_id": merchant, "shard": str(identifiers.merchant_shard(merchant))},
        },
    }


def sealed():
    """A card sealed as a merchant does it."""
    header = {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": "sealing-1",
        "merchant": MERCHANT,
        "nonce": "n",
        "iat": 1,
        "exp": 2,
    }
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)
    return jwe.encrypt_compact(header, json.dumps(CARD).encode(), KEY, registry=registry)


class Vault:
    """Stands in for the Lambda service: answers the vault's public key, and counts."""

    def invoke(self, FunctionName, Payload):
        return {"Payload": io.BytesIO(json.dumps({"keys": [KEY.as_dict(private=False)]}).encode())}


@pytest.fixture
def sagas(tables, monkeypatch):
    """Runs a charge's ledger step in place of the state machine, and records the saga's inputs."""
    inputs = []

    def run(charge):
        inputs.append(charge)
        asked = {**charge, "card": CARD_FACTS}
        answer = ledger.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
        if answer["result"] == "conflict":
            return {"outcome": "conflict"}
        return {"outcome": {"posted": "accepted", "exists": "exists"}[answer["result"]], "payment": answer["payment"]}

    monkeypatch.setattr(saga, "run", run)
    monkeypatch.setattr(sealing, "client", lambda service: Vault())
    monkeypatch.setattr(regions, "primary", lambda shard: "us-east-1")
    sealing._public_key.cache_clear()
    return inputs


@pytest.fixture
def call(sagas, context):
    """Sends a request to the API."""

    def send(*args, **kwargs):
        answer = app.handler(event(*args, **kwargs), context)
        return answer["statusCode"], json.loads(answer["body"]), answer["multiValueHeaders"]

    return send


def charge(call, body=BODY, key="key-1", **kwargs):
    return call("POST", "/api/v1/payments/charge", body, {"Idempotency-Key": key} if key is not None else {}, **kwargs)


def without_request_id(body):
    return {name: value for name, value in body.items() if name != "request_id"}


def test_a_charge_is_answered_with_the_pending_payment(call):
    status, body, _ = charge(call)

    assert status == 201
    assert body["id"] == identifiers.payment_id(MERCHANT, "key-1")
    assert (body["status"], body["amount"], body["currency"]) == ("pending", 4200, "USD")
    assert body["card"]["last4"] == "4242"
    assert body["request_id"] == "request-1"


def test_a_raw_card_reaches_the_saga_only_sealed_to_the_vault(call, sagas):
    charge(call)

    assert PAN not in json.dumps(sagas)
    envelope = jwe.decrypt_compact(
        sagas[0]["card"]["sealed_card"],
        KEY,
        registry=jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False),
    )
    assert json.loads(envelope.plaintext) == CARD
    header = envelope.headers()
    assert (header["kid"], header["merchant"], header["nonce"]) == ("sealing-1", MERCHANT, sagas[0]["payment_id"])
    assert header["exp"] - header["iat"] == 300


def test_the_same_key_and_request_is_replayed_without_a_second_saga(call, sagas):
    _, first, _ = charge(call)
    status, second, headers = charge(call)

    assert (status, without_request_id(second)) == (201, without_request_id(first))
    assert headers["Idempotent-Replayed"] == ["true"]
    assert len(sagas) == 1


def test_a_replay_shows_the_answer_of_then_and_the_payment_shows_now(call, sagas):
    _, first, _ = charge(call)
    payment = books.find(first["id"])
    from payments import lifecycle

    after, journal = lifecycle.decide(payment, lifecycle.Authorization(), "2026-11-23T10:00:09.000Z")
    books.decide(payment, after, journal)

    _, replayed, _ = charge(call)
    _, current, _ = call("GET", f"/api/v1/payments/{first['id']}")

    assert without_request_id(replayed) == without_request_id(first)
    assert current["status"] == "succeeded"


def test_the_same_card_sealed_anew_is_the_same_request(call):
    charge(call, {**BODY, "card": None, "sealed_card": sealed()})

    status, _, headers = charge(call, {**BODY, "card": None, "sealed_card": sealed()})

    assert (status, headers["Idempotent-Replayed"]) == (201, ["true"])


@pytest.mark.parametrize(
    "change",
    [
        {"sealed_card": PAN},
        {"sealed_card": "not.a.jwe"},
        {"sealed_card": ""},
        {"sealed_card": "a" * 5000},
        {"sealed_card": f"{PAN}{PAN}..{'a' * 16}.{'a' * 40}.{'a' * 22}"},
        {"token": PAN},
        {"token": "tok_"},
        {"token": "tok_" + "A" * 52},
        {"token": f"tok_{PAN}aaaaaaaa"},
    ],
)
def test_what_is_not_sealed_and_not_a_token_never_reaches_the_saga(call, sagas, change):
    status, body, _ = charge(call, {**BODY, "card": None, **change})

    assert status == 400
    assert PAN not in json.dumps(body)
    assert sagas == []


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 4300},
        {"currency": "EUR"},
        {"capture": False},
        {"description": "other"},
        {"metadata": {"a": "b"}},
        {"customer": {"id": "cus_2"}},
    ],
)
def test_the_same_key_with_another_request_is_refused(call, change):
    charge(call)

    status, body, _ = charge(call, {**BODY, **change})

    assert (status, body["error"]["code"], body["error"]["type"]) == (
        422,
        "idempotency_key_reused",
        "idempotency_error",
    )


def test_a_race_with_another_request_is_refused_too(call, monkeypatch):
    charge(call)
    find = books.find
    monkeypatch.setattr(books, "find", lambda key, consistent=False: find(key, consistent) if consistent else None)

    status, body, _ = charge(call, {**BODY, "amount": 1})

    assert (status, body["error"]["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", None])
def test_a_charge_needs_an_idempotency_key(sagas, context, key):
    request = event("POST", "/api/v1/payments/charge", BODY)
    request["headers"] = {} if key is None else {"idempotency-key": key}

    answer = app.handler(request, context)

    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (400, "idempotency_key_required")


def test_the_header_of_the_key_is_read_in_any_case(sagas, context):
    request = event("POST", "/api/v1/payments/charge", BODY)
    request["headers"] = {"IDEMPOTENCY-KEY": "key-1"}

    assert app.handler(request, context)["statusCode"] == 201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_json"),
        ("null", "invalid_json"),
        ('"4242424242424242"', "invalid_json"),
        ("[" * 100_000, "body_too_large"),
        ("[" * 5_000, "invalid_json"),
        ({**BODY, "amount": 0}, "invalid_amount"),
        ({**BODY, "amount": -1}, "invalid_amount"),
        ({**BODY, "amount": 1.5}, "invalid_field"),
        ({**BODY, "amount": "42"}, "invalid_field"),
        ({**BODY, "amount": True}, "invalid_field"),
        ({**BODY, "amount": 10**9}, "invalid_amount"),
        ({**BODY, "currency": "XXX"}, "invalid_amount"),
        ({**BODY, "currency": None}, "invalid_field"),
        ({**BODY, "unknown": 1}, "invalid_field"),
        ({**BODY, "card": None}, "card_required"),
        ({**BODY, "token": "tok_x"}, "card_required"),
        ({**BODY, "card": {**CARD, "pin": "1"}}, "invalid_field"),
        ({**BODY, "card": "x"}, "invalid_field"),
        ({**BODY, "metadata": {"a": 1}}, "invalid_field"),
        ({**BODY, "metadata": {str(n): "" for n in range(51)}}, "invalid_field"),
        ({**BODY, "description": "x" * 501}, "invalid_field"),
        ({**BODY, "description": "x" * 70_000}, "body_too_large"),
    ],
)
def test_a_bad_body_is_refused_and_does_nothing(call, sagas, body, code):
    status, answer, _ = charge(call, body)

    assert (status, answer["error"]["code"]) == (413 if code == "body_too_large" else 400, code)
    assert PAN not in json.dumps(answer)
    assert sagas == []


@pytest.mark.parametrize(
    "written",
    [
        PAN,
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        f"card {PAN} please",
        f"2026-11-23 {PAN}",
        "378282246310005",
        f"x{PAN}y",
        f"{PAN} 12/31",
        f"00000{PAN}00000",
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        lambda text: {"description": text},
        lambda text: {"metadata": {"note": text}},
        lambda text: {"metadata": {text: "x"}},
        lambda text: {"customer": {"id": text}},
        lambda text: {"device": {"fingerprint": text}},
        lambda text: {"customer": {"id": "c", "billing_address": {"country": text}}},
        lambda text: {"token": text, "card": None},
        lambda text: {text: "x"},
        lambda text: {"currency": text},
    ],
)
def test_a_card_number_in_any_other_field_is_refused_and_not_echoed(call, sagas, capsys, written, place):
    status, answer, _ = charge(call, {**BODY, **place(written)})

    assert (status, answer["error"]["code"]) == (400, "card_data_in_field")
    assert written not in json.dumps(answer)
    assert written not in capsys.readouterr().out
    assert sagas == []


def test_a_card_number_as_a_number_is_refused(call):
    status, answer, _ = charge(call, {**BODY, "amount": int(PAN)})

    assert (status, answer["error"]["code"]) == (400, "card_data_in_field")


def test_a_card_number_as_the_idempotency_key_is_refused(call):
    status, answer, _ = charge(call, key=PAN)

    assert (status, answer["error"]["code"]) == (400, "card_data_in_field")


def test_an_order_number_is_not_a_card_number(call):
    assert charge(call, {**BODY, "description": "order 20261123000001235, 2026-11-23 10:00:00"})[0] == 201


def test_raw_cards_are_refused_where_the_deployment_does_not_allow_them(call, sagas, monkeypatch):
    import msgspec

    from functions.api import charges

    closed = msgspec.structs.replace(charges.settings(), raw_cards_allowed=False)
    monkeypatch.setattr(charges, "settings", lambda: closed)

    status, answer, _ = charge(call)

    assert (status, answer["error"]["code"]) == (400, "raw_card_refused")
    assert sagas == []


@pytest.mark.parametrize(
    ("output", "status", "code"),
    [
        ({"outcome": "invalid_card", "code": "incorrect_number", "message": "m"}, 402, "incorrect_number"),
        ({"outcome": "conflict"}, 422, "idempotency_key_reused"),
        ({"outcome": "failed"}, 503, "processing_failed"),
    ],
)
def test_each_outcome_of_the_saga_has_its_answer(call, monkeypatch, output, status, code):
    monkeypatch.setattr(saga, "run", lambda _: output)

    answered, body, headers = charge(call)

    assert (answered, body["error"]["code"]) == (status, code)
    assert ("Retry-After" in headers) == (status == 503)


def test_a_blocked_charge_is_declined_now_and_on_replay(call, monkeypatch):
    def block(asked):
        answer = ledger.handler(
            {"operation": "record_blocked", "charge": {**asked, "card": CARD_FACTS}, "fraud": FRAUD}, None
        )
        return {"outcome": "blocked", "payment": answer["payment"]}

    monkeypatch.setattr(saga, "run", block)

    first, second = charge(call), charge(call)

    assert (first[0], first[1]["error"]["code"], first[1]["error"]["type"]) == (402, "fraud_blocked", "card_error")
    assert first[1]["error"]["payment_id"] == identifiers.payment_id(MERCHANT, "key-1")
    assert first[1] == second[1]
    assert second[2]["Idempotent-Replayed"] == ["true"]


def test_an_unexpected_fault_says_nothing_about_itself(call, monkeypatch, capsys):
    def fail(_):
        raise RuntimeError(f"it was {PAN}")

    monkeypatch.setattr(saga, "run", fail)

    status, body, _ = charge(call)

    assert (status, body["error"]["code"]) == (503, "internal_error")
    assert PAN not in json.dumps(body) + capsys.readouterr().out


def test_another_merchants_payment_does_not_exist(call):
    _, made, _ = charge(call)

    status, body, _ = call("GET", f"/api/v1/payments/{made['id']}", merchant="mer_" + "b" * 24)

    assert (status, body["error"]["code"]) == (404, "payment_not_found")


@pytest.mark.parametrize("payment_id", ["pay_00" + "a" * 24, "x", PAN, "%00", "pay_" + "9" * 300])
def test_a_payment_that_is_not_there_is_404_and_not_echoed(call, payment_id):
    status, body, _ = call("GET", f"/api/v1/payments/{payment_id}")

    assert status == 404
    assert payment_id not in json.dumps(body)


def test_an_abandoned_attempt_is_no_payment(call, new_charge):
    abandoned = new_charge()
    ledger.handler({"operation": "abandon", "charge": abandoned, "fraud": FRAUD}, None)

    assert call("GET", f"/api/v1/payments/{abandoned['payment_id']}")[0] == 404


def test_an_unknown_path_is_404_in_the_platforms_form(call):
    status, body, _ = call("GET", "/api/v1/nothing")

    assert (status, body["error"]["type"]) == (404, "invalid_request_error")


def test_health_says_what_works(call):
    status, body, _ = call("GET", "/health")

    assert (status, body["status"], body["checks"]) == (200, "ok", {"payments": "ok", "shards": "ok"})


def test_health_says_what_does_not(aws, context):
    answer = app.handler(event("GET", "/health"), context)

    assert answer["statusCode"] == 503
    assert json.loads(answer["body"])["checks"]["payments"] == "failed"


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
    stand_in = twin(payload({"statusCode": 201, "body": '{"id": "there"}', "multiValueHeaders": {"X-A": ["b"]}}))

    status, body, headers = charge(call)

    assert (status, body, headers["X-A"]) == (201, {"id": "there"}, ["b"])
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
    from botocore.exceptions import EndpointConnectionError

    twin(EndpointConnectionError(endpoint_url="x") if fault == "refused" else {"FunctionError": "Unhandled"})

    assert charge(call)[0] == 201
    assert len(sagas) == 1


def test_a_primary_that_did_not_answer_is_left_alone_for_a_while(call, sagas, twin):
    from botocore.exceptions import ReadTimeoutError

    stand_in = twin(ReadTimeoutError(endpoint_url="x"))

    assert [charge(call, key=f"key-{number}")[0] for number in range(3)] == [201, 201, 201]
    assert len(stand_in.events) == 1


def test_the_shard_map_says_who_is_primary(tables):
    clients.client("dynamodb").put_item(
        TableName="shards", Item={"shard": {"N": "7"}, "primary": {"S": "us-west-2"}, "epoch": {"N": "1"}}
    )

    assert regions.primary(7) == "us-west-2"
    assert {regions.primary(shard) for shard in range(128) if shard != 7} == {"us-east-1", "us-west-2"}


@pytest.mark.parametrize("fault", ["time-out", "throttled", "timed out inside"])
def test_a_saga_without_an_answer_tells_the_merchant_to_send_the_same_request_again(call, monkeypatch, fault):
    from botocore.exceptions import ClientError, ReadTimeoutError

    class StepFunctions:
        def start_sync_execution(self, **_):
            if fault == "time-out":
                raise ReadTimeoutError(endpoint_url="x")
            if fault == "throttled":
                raise ClientError({"Error": {"Code": "ThrottlingException"}}, "StartSyncExecution")
            return {"status": "TIMED_OUT"}

    monkeypatch.setattr(saga, "client", lambda *_, **__: StepFunctions())
    monkeypatch.setattr(saga, "run", RUN)

    status, body, headers = charge(call)

    assert (status, body["error"]["code"], headers["Retry-After"]) == (503, "processing_failed", ["1"])
    assert body["error"]["payment_id"] == identifiers.payment_id(MERCHANT, "key-1")
