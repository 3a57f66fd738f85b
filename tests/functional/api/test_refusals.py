"""What the API refuses, with a clear error and without doing anything."""

import json

import msgspec
import pytest

from functions.api import sealing, vault
from payments import books, regions
from tests.functional.api.merchant import BODY, CARD, PAN, charge


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
        ({**BODY, "metadata": {"": "x"}}, "invalid_field"),
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


@pytest.mark.parametrize("path", ["/api/v1/payments/charge", "/api/v1/tokens"])
def test_where_raw_cards_are_not_allowed_one_is_refused_before_anything_is_looked_up(call, sagas, monkeypatch, path):
    body = BODY if path.endswith("charge") else {"card": CARD}
    assert call("POST", path, body)[0] == 201
    closed = msgspec.structs.replace(sealing.settings(), raw_cards_allowed=False)
    monkeypatch.setattr(sealing, "settings", lambda: closed)
    for module, name in ((books, "find"), (regions, "primary"), (vault, "client")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("looked something up"))

    status, answer, _ = call("POST", path, body)

    assert (status, answer["error"]["code"]) == (400, "raw_card_refused")
    assert PAN not in json.dumps(answer)
    assert len(sagas) == path.endswith("charge"), "the one before"


def test_a_card_number_as_the_idempotency_key_is_refused(call):
    status, answer, _ = charge(call, key=PAN)

    assert (status, answer["error"]["code"]) == (400, "card_data_in_field")


def test_an_order_number_is_not_a_card_number(call):
    assert charge(call, {**BODY, "description": "order 20261123000001235, 2026-11-23 10:00:00"})[0] == 201


def test_raw_cards_are_refused_where_the_deployment_does_not_allow_them(call, sagas, monkeypatch):
    import msgspec

    from functions.api import sealing

    closed = msgspec.structs.replace(sealing.settings(), raw_cards_allowed=False)
    monkeypatch.setattr(sealing, "settings", lambda: closed)

    status, answer, _ = charge(call)

    assert (status, answer["error"]["code"]) == (400, "raw_card_refused")
    assert sagas == []
