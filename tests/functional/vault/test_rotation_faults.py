"""A rotation that is behind, stopped or mistyped leaves nothing under an old key and nothing that does not open."""

import pytest

from functions.vault import app
from functions.vault.errors import InvalidRequest, NotProvisioned
from functions.vault.ring import MINIMUM_LEAD
from tests.functional.vault.conftest import CARD_KEYS, EAST, TOKENS, WEST, dynamodb
from tests.functional.vault.envelopes import OTHER
from tests.functional.vault.faults import Crashed, crash, lose_keys
from tests.functional.vault.rotating import LEAD, check_value, rotate_kek


def test_ring_key_announced_while_a_kek_is_pending_is_wrapped_by_the_new_one(vault, clock, key_store, tmp_path):
    old = vault.token()
    vault.keys("create_kek")
    vault.keys("activate_kek", version=2, check_value=check_value(vault, 2), lead_s=LEAD)
    clock(5)
    shown = vault.keys("rotate", key="token", lead_s=LEAD)
    assert [key["kek_version"] for key in shown["token"] + shown["sealing"]] == [2, 2, 2]
    clock(LEAD + MINIMUM_LEAD)
    vault.walk("rewrap", "kek-2", kek=2)
    if key_store.startswith("file:"):
        (tmp_path / "kek-1").unlink()
        app.forget_container()

    assert vault.opens(old)
    assert vault.token(card=OTHER).startswith("tok_2")


def test_copy_of_a_stale_holding_is_encrypted_under_the_current_kek(vault, clock, key_store, tmp_path):
    vault.move_to(WEST)
    token = vault.token()
    vault.replicate()
    vault.move_to(EAST)
    rotate_kek(vault, clock)
    vault.walk("rewrap", "kek-2", kek=2)
    vault.move_to(WEST)
    vault.walk("rewrap", "kek-2", kek=2)  # what it did has not been replicated
    vault.move_to(EAST)

    vault.charge_token(token)

    assert vault.item(token)["kek_version"] == 2
    other = vault.item(token, region=WEST)
    vault.table.delete_item(Key={"token": token, "holding": other["holding"]})  # only the copy is left
    if key_store.startswith("file:"):
        (tmp_path / "kek-1").unlink()
        app.forget_container()
    assert vault.opens(token)


def test_walk_waits_for_the_new_kek_to_arrive(vault, clock):
    vault.move_to(WEST)
    vault.token()
    vault.move_to(EAST)
    vault.keys("create_kek")
    vault.keys("activate_kek", version=2, check_value=check_value(vault, 2), lead_s=LEAD)
    clock(LEAD + MINIMUM_LEAD)
    vault.move_to(WEST)

    assert isinstance(vault.fault(lambda: vault.walk("rewrap", "kek-2", kek=2)), InvalidRequest)
    vault.move_to(EAST)
    vault.replicate()
    vault.move_to(WEST)
    assert vault.walk("rewrap", "kek-2", kek=2)["changed"] == 1


def test_walk_counts_what_it_cannot_open(vault, clock):
    vault.token()
    lose_keys(vault)
    rotate_kek(vault, clock)

    assert vault.walk("rewrap", "kek-2", kek=2)["counts"] == {"without_key": 1}


def test_provisioning_does_not_bring_back_a_destroyed_kek(vault, clock, key_store, tmp_path):
    if not key_store.startswith("file:"):
        pytest.skip("the HSM's key is destroyed with the HSM's own tools")
    rotate_kek(vault, clock)
    (tmp_path / "kek-1").unlink()
    app.forget_container()

    vault.keys("provision")

    assert not (tmp_path / "kek-1").exists()


def test_token_key_that_has_not_arrived_is_no_damaged_card(vault, clock):
    vault.keys("rotate", key="token", lead_s=LEAD)
    clock(LEAD)
    token = vault.token()
    for name, items in ((TOKENS, [vault.item(token)]), (CARD_KEYS, vault.card_keys.scan()["Items"])):
        for item in items:
            dynamodb(WEST).Table(name).put_item(Item=item)
    vault.move_to(WEST)

    assert isinstance(vault.fault(lambda: vault.detokenize(token)), NotProvisioned)


def test_envelope_to_a_key_the_container_has_not_heard_of_opens(vault, clock):
    vault.keys("rotate", key="sealing", lead_s=LEAD)
    clock(LEAD)
    envelope = vault.sealed()
    vault.move_to(WEST)
    vault.jwk()  # this container has read the ring
    vault.move_to(EAST)
    vault.replicate()
    vault.move_to(WEST)
    app._vault().rings.ring()
    vault.now += 1

    assert vault.submit({"sealed_card": envelope})["result"] == "tokenized"


@pytest.mark.parametrize("version", [True, 2.0, "2", None, -1])
def test_operator_cannot_activate_what_is_no_version(vault, version):
    vault.keys("create_kek")
    before = vault.items()
    value = check_value(vault, 1 if version is True else 2)

    fault = vault.fault(lambda: vault.keys("activate_kek", version=version, check_value=value, lead_s=LEAD))

    assert isinstance(fault, InvalidRequest)
    assert vault.items() == before


def test_sealing_rotation_that_crashed_is_finished_by_a_second_try(vault, clock, monkeypatch):
    with monkeypatch.context() as crashing:
        crashing.setattr("functions.vault.rotation.KeyRing._retire_sealing_keys", crash)
        with pytest.raises(Crashed):
            vault.keys("rotate", key="sealing", lead_s=LEAD)

    shown = vault.keys("rotate", key="sealing", lead_s=LEAD)["sealing"]

    assert [key["version"] for key in shown] == [1, 2]
    assert shown[0]["retires_at"] == shown[1]["current_from"] + 86_400
    assert shown[1]["retires_at"] is None
