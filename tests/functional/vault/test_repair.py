"""What crashes, lost keys and altered bytes leave behind, and how it is mended."""

import pytest

from functions.vault import app
from functions.vault.card_keys import CardKeys
from functions.vault.errors import CardKeyMissing
from functions.vault.holdings import UNUSED_LIFETIME, Holdings
from functions.vault.walk import KEY_AGE
from tests.functional.vault.conftest import EAST, WEST
from tests.functional.vault.envelopes import OTHER
from tests.functional.vault.faults import Crashed, crash, key_names, lose_keys


@pytest.mark.parametrize("used", [True, False])
def test_card_whose_key_was_lost_can_be_presented_again_after_a_repair(vault, used):
    token = vault.token()
    if used:
        vault.detokenize(token)
    lose_keys(vault)
    assert vault.detokenize(token) == {"result": "token_unknown"}

    assert vault.walk("repair", "r")["counts"] == {"without_key": 1}

    assert vault.charge_token(token) == "token_unknown"
    assert vault.token("att_2") == token
    assert vault.opens(token)


def test_shredding_that_crashed_is_finished_by_a_second_try(vault, monkeypatch):
    token = vault.token()
    with monkeypatch.context() as crashing:
        crashing.setattr(CardKeys, "destroy", crash)
        with pytest.raises(Crashed):
            vault.shred(token)
    assert len(key_names(vault)) == 1
    assert vault.detokenize(token) == {"result": "token_unknown"}

    assert vault.shred(token) == "token_unknown", "it is deleted already; what was left is destroyed"
    assert key_names(vault) == set()


def test_repair_finishes_what_the_stream_did_not(vault):
    token = vault.token()
    vault.synchronize()
    vault.move_to(WEST)
    vault.shred(token)
    record = vault.item(token)
    vault.move_to(EAST)
    vault.table.put_item(Item=record)  # and the shredder's message went to the dead letters

    assert vault.walk("repair", "r") == {"seen": 1, "changed": 1, "counts": {"shredded": 1}, "done": True}
    assert key_names(vault) == set()
    assert vault.walk("repair", "again")["changed"] == 0


def test_key_that_a_crash_left_behind_is_swept_away_in_time(vault, monkeypatch):
    with monkeypatch.context() as crashing:
        crashing.setattr(Holdings, "create", crash)
        with pytest.raises(Crashed):
            vault.token()
    kept = vault.token()
    assert len(key_names(vault)) == 2
    vault.now += KEY_AGE - 1

    assert vault.walk("sweep_keys", "early") == {"seen": 2, "changed": 0, "counts": {}, "done": True}
    vault.now += 1
    assert vault.walk("sweep_keys", "late")["changed"] == 1
    assert vault.opens(kept)


def test_sweeping_leaves_the_other_regions_keys_alone(vault):
    vault.token()
    vault.replicate()
    vault.move_to(WEST)
    vault.now += 10**9

    assert vault.walk("sweep_keys", "s") == {"seen": 0, "changed": 0, "counts": {}, "done": True}
    assert len(key_names(vault)) == 1


def test_damaged_copy_does_not_hide_the_other_regions_good_one(vault):
    token = vault.token()
    vault.replicate()
    vault.move_to(WEST)
    vault.charge_token(token, "att_2")
    vault.change(vault.item(token), ciphertext=b"x" * 300)

    assert vault.opens(token)
    vault.now += 2 * UNUSED_LIFETIME
    assert vault.opens(token), "the west has a good copy of its own now, and it is used"


def test_own_holding_without_a_key_is_replaced_by_a_copy_of_the_good_one(vault):
    token = vault.token()
    vault.replicate()
    vault.move_to(WEST)
    vault.charge_token(token, "att_2")
    vault.card_keys.delete_item(Key={"token": token, "holding": vault.item(token)["card_key"]})

    assert vault.opens(token)
    vault.now += 2 * UNUSED_LIFETIME
    assert vault.opens(token)


def test_altered_card_can_be_presented_again_after_a_repair(vault):
    token = vault.token()
    vault.detokenize(token)
    vault.change(vault.item(token), ciphertext=b"x" * 300)

    assert vault.walk("repair", "r")["counts"] == {"refused": 1}

    assert key_names(vault) == set()
    assert vault.token("att_2") == token
    assert vault.opens(token)


def test_dropping_a_card_does_not_forget_its_shredding(vault):
    token = vault.token()
    vault.shred(token)
    vault.token("att_2")
    lose_keys(vault)

    vault.walk("repair", "r")

    assert vault.item(token)["shredded_at"]
    assert not {"ciphertext", "last4", "card_key"} & vault.item(token).keys()


def test_dropping_a_card_here_leaves_the_other_regions(vault):
    token = vault.token()
    vault.replicate()
    vault.move_to(WEST)
    vault.token("att_2")
    vault.synchronize()
    vault.card_keys.delete_item(Key={"token": token, "holding": vault.item(token)["card_key"]})
    vault.walk("repair", "r")
    vault.synchronize()

    for region in (EAST, WEST):
        vault.move_to(region)
        assert vault.opens(token)


def test_repair_leaves_what_is_well_alone(vault):
    tokens = [vault.token(), vault.token(card=OTHER)]
    vault.detokenize(tokens[0])
    before = vault.items()

    assert vault.walk("repair", "r") == {"seen": 2, "changed": 0, "counts": {}, "done": True}
    assert [item for item in vault.items() if not item["token"].startswith("job#")] == before


def test_repair_drops_nothing_because_the_key_store_is_the_wrong_one(vault, monkeypatch, tmp_path):
    token = vault.token()
    right = app.settings().key_store
    monkeypatch.setenv("KEY_STORE", f"file:{tmp_path / 'wrong'}")
    app.forget_container()

    assert vault.walk("repair", "r")["changed"] == 0
    monkeypatch.setenv("KEY_STORE", right)
    app.forget_container()
    assert vault.opens(token)


def test_card_presented_here_is_kept_here_even_if_the_other_region_has_it(vault):
    token = vault.token()
    vault.detokenize(token)
    vault.replicate()
    vault.move_to(WEST)
    lose_keys(vault)  # the holding has arrived, its key has not, and the east is gone

    assert vault.token("att_2") == token
    assert vault.opens(token)


def test_card_key_of_the_other_region_that_is_missing_is_a_fault_to_retry(vault):
    token = vault.token()
    vault.replicate()
    vault.move_to(WEST)
    lose_keys(vault)

    assert isinstance(vault.fault(lambda: vault.charge_token(token)), CardKeyMissing)
