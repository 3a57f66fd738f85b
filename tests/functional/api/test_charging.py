"""Charging: the idempotency contract, and that card data goes nowhere but into the envelope."""

import json

import pytest

from functions.api import app, saga
from functions.ledger import app as ledger
from payments import books, identifiers, lifecycle
from payments.tables import JournalItem, PaymentItem
from tests.functional.api.merchant import BODY, CARD, PAN, charge, event, opened, sealed, without_request_id
from tests.functional.samples import CARD_FACTS, FRAUD, MERCHANT

RUN = saga.run


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
    header, card = opened(sagas[0]["card"]["sealed_card"])
    assert card == CARD
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
    books.step(payment, after, journal)

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


def test_of_two_accepted_requests_the_other_one_waits_until_it_is_decided_which_stands(call):
    first, second = charge(call)[1], {**BODY, "amount": 4300}
    ours = books.find(first["id"])
    PaymentItem(first["id"]).delete()  # so that the other region's is accepted, as there
    JournalItem(first["id"], lifecycle.authorization_id(ours.fingerprint)).delete()
    charge(call, second)
    books.book(lifecycle.authorization_journal(ours))

    status, body, headers = charge(call)
    assert (status, body["error"]["code"], headers["Retry-After"]) == (409, "idempotency_in_progress", ["1"])
    assert charge(call, second)[2]["Idempotent-Replayed"] == ["true"]
    assert charge(call, {**BODY, "amount": 1})[0] == 422, "never accepted"

    books.book(lifecycle.withdrawal_journal(ours, ours.created_at))
    assert charge(call)[0] == 422


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


@pytest.mark.parametrize("fault", ["time-out", "not there", "throttled", "timed out inside"])
def test_a_saga_without_an_answer_tells_the_merchant_to_send_the_same_request_again(call, monkeypatch, fault):
    from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

    class StepFunctions:
        def start_sync_execution(self, **_):
            if fault == "time-out":
                raise ReadTimeoutError(endpoint_url="x")
            if fault == "not there":
                raise EndpointConnectionError(endpoint_url="x")
            if fault == "throttled":
                raise ClientError({"Error": {"Code": "ThrottlingException"}}, "StartSyncExecution")
            return {"status": "TIMED_OUT"}

    monkeypatch.setattr(saga, "client", lambda *_, **__: StepFunctions())
    monkeypatch.setattr(saga, "run", RUN)

    status, body, headers = charge(call)

    assert (status, body["error"]["code"], headers["Retry-After"]) == (503, "processing_failed", ["1"])
    assert body["error"]["payment_id"] == identifiers.payment_id(MERCHANT, "key-1")
