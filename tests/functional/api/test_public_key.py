"""The vault's public keys: for anybody, from any page, and not asked of the vault each time."""

import json

import pytest
from joserfc.jwk import ECKey

from functions.api import app, sealing, vault
from functions.api.requests import RawCard
from tests.functional.api.merchant import CARD, KEY, event, opened
from tests.functional.samples import MERCHANT

PATH = "/api/v1/vault/public_key"


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock the cache goes by."""
    now = [1000.0]
    monkeypatch.setattr(vault.time, "monotonic", lambda: now[0])
    return now


def test_anybody_gets_the_keys_from_any_page_and_may_keep_them_five_minutes(call):
    status, body, headers = call("GET", PATH, merchant=None)

    assert (status, body) == (200, {"keys": [KEY.as_dict(private=False)], "request_id": "request-1"})
    assert headers["Cache-Control"] == ["public, max-age=300"]
    assert headers["Access-Control-Allow-Origin"] == ["*"]


def test_the_request_may_have_no_authorizer_and_no_headers(functions, context):
    bare = {**event("GET", PATH, merchant=None), "headers": None}
    bare["requestContext"]["authorizer"] = None

    assert app.handler(bare, context)["statusCode"] == 200


def test_a_private_part_is_never_passed_on(call, functions):
    functions.handlers["payments-vault-public-key"] = lambda *_: {"keys": [KEY.as_dict(private=True)]}

    _, body, _ = call("GET", PATH)

    assert "d" in KEY.as_dict(private=True)
    assert body["keys"] == [KEY.as_dict(private=False)]


def test_the_vault_is_asked_once_a_minute_for_keys_and_sealing_together(call, functions, clock):
    call("GET", PATH)
    sealing.seal(RawCard(**CARD), MERCHANT, "n")
    clock[0] += 59
    call("GET", PATH)
    assert len(functions.calls) == 1

    clock[0] += 2
    sealing.seal(RawCard(**CARD), MERCHANT, "n")

    assert len(functions.calls) == 2


def test_a_raw_card_is_sealed_to_the_first_of_the_keys(call, functions):
    former = ECKey.generate_key("P-256", {"kid": "sealing-0", "use": "enc", "alg": "ECDH-ES"})
    keys = [KEY.as_dict(private=False), former.as_dict(private=False)]
    functions.handlers["payments-vault-public-key"] = lambda *_: {"keys": keys}

    assert call("GET", PATH)[1]["keys"] == keys
    assert opened(sealing.seal(RawCard(**CARD), MERCHANT, "n"))[0]["kid"] == "sealing-1"


def test_a_fault_is_not_remembered(call, functions):
    answering = functions.handlers["payments-vault-public-key"]
    functions.handlers["payments-vault-public-key"] = lambda *_: json.loads("{")
    assert call("GET", PATH)[0] == 503

    functions.handlers["payments-vault-public-key"] = answering

    assert call("GET", PATH)[0] == 200
