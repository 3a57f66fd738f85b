"""The vault's keys: made once, the same everywhere, and only where they may be."""

import boto3
import pytest

from functions.vault import app
from functions.vault.errors import KeyStoreForbidden, NotProvisioned, UnwrapRefused
from functions.vault.store import TokenStore
from tests.functional.vault.envelopes import MERCHANT, seal


def replicate(items, region):
    table = boto3.resource("dynamodb", region_name=region).Table("vault-tokens")
    for item in items:
        table.put_item(Item=item)


def test_provisioning_twice_keeps_every_key(vault):
    first, before = app.provision({}, None), vault.items()
    app.forget_container()

    assert app.provision({}, None) == first == {"token_key": 1, "sealing_kid": vault.jwk()["kid"]}
    assert vault.items() == before


def test_provisioning_that_lost_the_race_uses_the_winners_keys(blank_vault, monkeypatch):
    with monkeypatch.context() as blind:
        blind.setattr(TokenStore, "read_key", lambda store, name: None)
        for _ in range(2):  # each sees no key and makes its own; the second write is refused
            with pytest.raises(NotProvisioned):
                app.provision({}, None)
    before = blank_vault.items()

    app.provision({}, None)

    assert blank_vault.items() == before
    assert blank_vault.tokenize()["result"] == "tokenized"


@pytest.mark.parametrize("call", ["tokenize", "public_key", "detokenize"])
def test_vault_that_is_not_provisioned_says_so(blank_vault, call):
    event = {
        "payment_id": "pay_1", "attempt": "att_1", "merchant_id": MERCHANT, "token": "tok_1" + "a" * 52,
        "card": {"token": "tok_1" + "a" * 52},
    }  # fmt: skip
    with pytest.raises(NotProvisioned):
        getattr(app, call)(event, None)

    app.provision({}, None)
    getattr(app, call)(event, None)  # the same container recovers


def test_keys_that_have_not_replicated_yet_are_not_provisioned(vault):
    vault.move_to("us-west-2")
    vault.create_table()

    with pytest.raises(NotProvisioned):
        app.public_key({}, None)


def test_two_regions_with_one_key_store_and_a_replicated_table_agree_on_every_token(vault):
    east, items = vault.tokenize(), vault.items()
    vault.move_to("us-west-2")
    vault.create_table()
    replicate([item for item in items if item["token"].startswith("key#")], "us-west-2")

    assert vault.tokenize() == east

    replicate(items, "us-west-2")
    assert vault.detokenize(east["card"]["token"]) == {"result": "detokenized", "card": east["card"]}


def test_public_key_is_complete_and_holds_nothing_private(vault):
    jwk = vault.jwk()

    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"]) == ("EC", "P-256", "enc", "ECDH-ES")


def test_exchanged_public_key_is_noticed(vault):
    vault.table.update_item(
        Key={"token": "key#sealing#1"},
        UpdateExpression="SET public_jwk = :j",
        ExpressionAttributeValues={":j": '{"kty": "EC"}'},
    )

    with pytest.raises(UnwrapRefused):
        app.tokenize({"payment_id": "pay_1", "attempt": "att_1", "merchant_id": "mer_1", "card": {"token": "x"}}, None)


def test_wrapped_keys_cannot_take_each_others_place(vault):
    sealing = vault.item("key#sealing#1")
    vault.table.put_item(Item={**sealing, "token": "key#token#1"})
    app.forget_container()

    with pytest.raises(UnwrapRefused):
        vault.tokenize()


def test_another_key_store_does_not_open_the_keys_nor_replace_them(vault, monkeypatch, tmp_path):
    before = vault.items()
    monkeypatch.setenv("KEY_STORE", f"file:{tmp_path}/another")
    app.forget_container()

    with pytest.raises(UnwrapRefused):
        app.provision({}, None)
    assert vault.items() == before


def test_file_key_store_refuses_production(vault, monkeypatch):
    envelope = seal(vault.jwk())
    monkeypatch.setenv("ENVIRONMENT", "production")
    app.forget_container()

    for call in (lambda: app.provision({}, None), lambda: vault.submit({"sealed_card": envelope})):
        with pytest.raises(KeyStoreForbidden):
            call()
