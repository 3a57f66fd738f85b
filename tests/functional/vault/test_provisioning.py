"""The vault's keys: made once, the same everywhere, and only where they may be."""

import pytest

from functions.vault import app
from functions.vault.errors import InvalidRequest, KeyStoreForbidden, NotProvisioned, UnwrapRefused
from functions.vault.table import Table
from tests.functional.vault.conftest import WEST
from tests.functional.vault.envelopes import MERCHANT, seal
from tests.key_stores import file_setting


def ring_item(vault, name):
    return dict(vault.table.get_item(Key={"token": "ring", "holding": name})["Item"])


def test_provisioning_twice_keeps_every_key(blank_vault):
    first = blank_vault.keys("provision")
    before = blank_vault.items()
    app.forget_container()

    assert blank_vault.keys("provision") == first == blank_vault.keys("show")
    assert blank_vault.items() == before
    assert first == {
        "kek": {"version": 1, "next": None},
        "token": [{"version": 1, "current_from": blank_vault.now, "kek_version": 1}],
        "sealing": [
            {
                "version": 1,
                "kid": blank_vault.jwk()["kid"],
                "current_from": blank_vault.now,
                "kek_version": 1,
                "retires_at": None,
            }
        ],
    }


def test_provisioning_that_lost_the_race_uses_the_winners_keys(blank_vault, monkeypatch):
    query, put, others = Table.query, Table.put, []

    def put_after_another(table, key, *arguments):
        if not others:
            others.append(key)
            blank_vault.keys("provision")
        return put(table, key, *arguments)

    monkeypatch.setattr(Table, "put", put_after_another)
    monkeypatch.setattr(Table, "query", lambda table, *key: query(table, *key) if others else [])
    lost = blank_vault.keys("provision")

    assert others
    assert blank_vault.keys("show") == lost
    assert blank_vault.tokenize()["result"] == "tokenized"


@pytest.mark.parametrize("call", ["tokenize", "public_key", "store"])
def test_vault_that_is_not_provisioned_says_so(blank_vault, call):
    event = {
        "payment_id": "pay_1", "attempt": "att_1", "merchant_id": MERCHANT, "card": {"sealed_card": "x"},
        "sealed_card": "x",
    }  # fmt: skip
    with pytest.raises(NotProvisioned):
        getattr(app, call)(event, None)

    app.key_ring({"do": "provision"}, None)
    getattr(app, call)(event, None)  # the same container recovers


def test_keys_that_have_not_replicated_yet_are_not_provisioned(blank_vault):
    blank_vault.keys("provision")
    blank_vault.move_to(WEST)

    with pytest.raises(NotProvisioned):
        app.public_key({}, None)


def test_two_regions_with_the_same_keys_agree_on_every_token(vault):
    cards = [
        {"number": number, "exp_month": 12, "exp_year": 2031} for number in ("4242424242424242", "378282246310005")
    ]
    east = [vault.tokenize(card) for card in cards]
    vault.move_to(WEST)

    assert [vault.tokenize(card) for card in reversed(cards)] == east[::-1]


def test_public_key_is_complete_and_holds_nothing_private(vault):
    jwk = vault.jwk()

    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"]) == ("EC", "P-256", "enc", "ECDH-ES")


def test_exchanged_public_key_is_noticed(vault):
    envelope = vault.sealed()
    vault.change(ring_item(vault, "sealing#1"), public_jwk='{"kty": "EC"}')
    app.forget_container()

    with pytest.raises(UnwrapRefused):
        vault.submit({"sealed_card": envelope})
    with pytest.raises(UnwrapRefused):
        vault.jwk()


def test_wrapped_keys_cannot_take_each_others_place(vault):
    envelope, sealing = vault.sealed(), ring_item(vault, "sealing#1")
    vault.change(ring_item(vault, "token#1"), wrapped=sealing["wrapped"])
    app.forget_container()

    with pytest.raises(UnwrapRefused):
        vault.submit({"sealed_card": envelope})


def test_another_key_store_does_not_open_the_keys_nor_replace_them(vault, monkeypatch, tmp_path):
    before = vault.items()
    monkeypatch.setenv("KEY_STORE", file_setting(tmp_path / "another"))
    app.forget_container()

    with pytest.raises(UnwrapRefused):
        vault.keys("provision")
    assert vault.items() == before


def test_file_key_store_refuses_production(vault, monkeypatch, tmp_path):
    envelope = seal(vault.jwk(), now=vault.now)
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("KEY_STORE", file_setting(tmp_path))
    app.forget_container()

    for call in (lambda: vault.keys("provision"), lambda: vault.submit({"sealed_card": envelope})):
        with pytest.raises(KeyStoreForbidden):
            call()


def test_no_key_leaves_the_vault_in_the_clear(vault):
    secrets = [key.secret for key in app._vault().rings.ring().token_keys]
    stored = repr([{name: bytes(v) if hasattr(v, "value") else v for name, v in i.items()} for i in vault.items()])

    assert secrets[0].hex() not in stored
    assert repr(secrets[0])[2:-1] not in stored
    assert "secret" not in repr(app._vault().rings.ring().token_keys[0]).replace("TokenKey", "")


@pytest.mark.parametrize(
    "event", [{}, {"do": "rotate"}, {"do": "destroy"}, {"do": "rotate", "key": "kek", "lead_s": 60}]
)
def test_operator_is_told_what_can_be_done(vault, event):
    with pytest.raises(InvalidRequest):
        app.key_ring(event, None)
