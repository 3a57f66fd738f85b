"""A deleted card cannot be opened again, by anybody, in either region; whatever is presented afterwards lives."""

from itertools import product

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from functions.vault import app
from functions.vault.card_keys import unlock
from functions.vault.errors import CiphertextRefused
from functions.vault.holdings import read_holding
from functions.vault.table import Table
from tests.functional.vault.conftest import EAST, WEST, _record, _typed
from tests.functional.vault.envelopes import CARD, OTHER
from tests.functional.vault.faults import key_names


def test_deleted_card_is_unknown_and_its_key_is_gone(vault):
    token = vault.token()
    vault.detokenize(token)

    assert app.shred({"token": token, "merchant_id": "mer_1"}, None) == {"result": "shredded", "at": vault.now}
    assert vault.charge_token(token) == "token_unknown"
    assert vault.detokenize(token) == {"result": "token_unknown"}
    assert set(vault.item(token)) == {"token", "holding", "kind", "shredded_at", "card_key"}
    assert key_names(vault) == set()
    assert vault.shred(token) == "token_unknown"


def test_both_regions_destroy_it_and_both_say_so(vault):
    token = vault.token()
    vault.move_to(WEST)
    assert vault.token("att_2") == token
    vault.detokenize(token)
    vault.synchronize()

    vault.move_to(EAST)
    assert vault.shred(token) == "shredded"
    vault.synchronize()

    for region in (EAST, WEST):
        vault.move_to(region)
        assert vault.detokenize(token) == {"result": "token_unknown"}
        assert key_names(vault) == set()
        records = {i["holding"]: i["shredded_at"] for i in vault.items() if i.get("kind") == "shredded"}
        assert records == {f"mer_1#card#{r}": vault.now * 1000 for r in (EAST, WEST)}


def test_ciphertext_from_a_backup_does_not_open_again(vault):
    token = vault.token()
    vault.detokenize(token)
    backup = vault.item(token)
    vault.token(merchant="mer_2")
    vault.shred(token)
    vault.change(backup)  # whoever restores a backup of vault-tokens, or keeps the stream's records

    assert vault.detokenize(token) == {"result": "token_unknown"}
    vault.change({**backup, "presented_at": backup["presented_at"] + 1})  # even with the date forged
    assert vault.detokenize(token) == {"result": "token_unknown"}
    for item in vault.card_keys.scan()["Items"]:  # nor under any other key there is, mer_2's of the same card included
        with pytest.raises(CiphertextRefused):
            unlock(bytes(backup["ciphertext"]), bytes(item["key"]), token)


def test_the_key_stores_key_alone_does_not_open_a_card(vault):
    """The Encryption SDK's message is inside the lock: the HSM's key does not get at it."""
    token = vault.token()
    holding = read_holding(_typed(vault.item(token)))
    cipher = app._vault().keeping._safe._current_cipher(vault.now)

    with pytest.raises(CiphertextRefused):
        cipher.decrypt(holding.locked.ciphertext, token, 1)
    key = bytes(vault.card_keys.scan()["Items"][0]["key"])
    assert CARD["number"].encode() not in AESGCM(key).decrypt(
        holding.locked.ciphertext[:12], holding.locked.ciphertext[12:], token.encode()
    )


def test_another_merchants_card_stays(vault):
    token = vault.token()
    vault.token(merchant="mer_2")
    vault.detokenize(token, "mer_2")

    assert vault.shred(token, "mer_3") == "token_unknown"
    assert vault.shred(token, "mer_1") == "shredded"
    vault.synchronize()

    assert vault.opens(token, "mer_2")
    assert vault.charge_token(token, merchant="mer_1") == "token_unknown"


def test_card_that_is_presented_again_lives_under_a_new_key(vault):
    token = vault.token()
    old = vault.item(token)
    vault.synchronize()
    vault.shred(token)

    assert vault.token("att_2") == token, "in the same second, and before the other region has heard of the shredding"
    assert vault.item(token)["card_key"] != old["card_key"]
    vault.synchronize()
    assert vault.opens(token)
    vault.move_to(WEST)
    assert vault.opens(token)


def test_other_regions_later_presentation_survives_a_shredding_that_arrives_late(vault):
    token = vault.token()
    vault.synchronize()
    vault.shred(token)
    vault.move_to(WEST)
    vault.now += 1
    vault.token("att_2")  # the west has not heard of it, and the card is shown anew
    vault.detokenize(token)
    vault.synchronize()

    for region in (EAST, WEST):
        vault.move_to(region)
        assert vault.opens(token)


def test_charge_by_token_that_the_other_region_takes_meanwhile_is_shredded_too(vault):
    token = vault.token()
    vault.synchronize()
    vault.move_to(WEST)
    assert vault.charge_token(token, "att_2") == "tokenized"  # a copy in the west
    vault.move_to(EAST)
    vault.now += 1
    vault.shred(token)
    vault.synchronize()

    for region in (EAST, WEST):
        vault.move_to(region)
        assert vault.detokenize(token) == {"result": "token_unknown"}
        assert key_names(vault) == set()


def test_token_of_the_other_region_is_copied_and_outlives_the_others_release(vault):
    token = vault.token("att_1")
    vault.replicate()
    vault.move_to(WEST)
    assert vault.charge_token(token, "att_2") == "tokenized"
    vault.move_to(EAST)
    assert vault.release(token, "att_1") == "released"
    vault.synchronize()
    vault.now += 2 * 86_400

    for region in (EAST, WEST):
        vault.move_to(region)
        assert vault.opens(token)


def test_use_in_the_other_region_wins_over_a_release_and_over_time(vault):
    token = vault.token("att_1")
    vault.replicate()
    vault.move_to(WEST)
    assert vault.opens(token)
    vault.move_to(EAST)
    vault.release(token, "att_1")
    vault.synchronize()
    vault.now += 400 * 86_400

    for region in (EAST, WEST):
        vault.move_to(region)
        assert vault.opens(token)
        assert vault.charge_token(token) == "tokenized"


def test_card_key_that_has_not_been_replicated_yet_is_waited_for(vault, monkeypatch):
    token = vault.token("att_1")
    vault.replicate()
    vault.move_to(WEST)
    (key,) = vault.card_keys.scan()["Items"]
    vault.card_keys.delete_item(Key={"token": key["token"], "holding": key["holding"]})

    assert vault.detokenize(token) == {"result": "token_unknown"}
    assert type(vault.fault(lambda: vault.charge_token(token))).__name__ == "CardKeyMissing"
    vault.card_keys.put_item(Item=key)
    assert vault.opens(token)


def test_what_ttl_removes_cannot_be_opened_either(vault):
    token = vault.token()
    vault.replicate()
    item = vault.item(token)
    vault.table.delete_item(Key={"token": token, "holding": item["holding"]})
    records = vault.replicate()
    vault.move_to(WEST)
    app.shredder({"Records": records}, None)
    assert key_names(vault) == {item["card_key"]}, "not ours to destroy: the east does, and that is replicated"

    vault.move_to(EAST)
    app.shredder({"Records": [_record(item, None)]}, None)
    assert key_names(vault) == set()


def test_late_record_of_a_removal_leaves_what_was_put_back(vault):
    token = vault.token()
    item = vault.item(token)

    app.shredder({"Records": [_record(item, None)]}, None)

    assert vault.opens(token)


def test_record_of_a_removal_takes_only_its_own_key(vault):
    token = vault.token()
    old = vault.item(token)
    vault.shred(token)
    vault.token()

    app.shredder({"Records": [_record(old, None)]}, None)

    assert vault.opens(token)


def test_poisoned_record_does_not_hold_up_the_others(vault, monkeypatch):
    token = vault.token()
    vault.move_to(WEST)
    vault.token()
    at = (vault.now + 1) * 1000
    item = {"token": token, "holding": f"mer_1#card#{EAST}", "kind": "shredded", "shredded_at": at}
    poisoned = {"eventName": "INSERT", "dynamodb": {"SequenceNumber": "7", "NewImage": {"token": {"S": "x"}}}}

    answer = app.shredder({"Records": [poisoned, _record(None, item)]}, None)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "7"}]}
    assert vault.detokenize(token) == {"result": "token_unknown"}


def test_merchants_cards_are_shredded_all_and_nobody_elses(vault):
    mine = [vault.token(card=card) for card in (CARD, OTHER)]
    theirs = vault.token(merchant="mer_2")
    vault.move_to(WEST)
    west = vault.token(card={**CARD, "number": "6011111111111117"})
    vault.synchronize()

    for region in (EAST, WEST):
        vault.move_to(region)
        pages = [vault.walk("shred_merchant", "gone", "mer_1", limit=3)]
        while not pages[-1]["done"]:
            pages.append(vault.walk("shred_merchant", "gone", "mer_1", limit=3))
    vault.synchronize()

    for region, token in product((EAST, WEST), [*mine, west]):
        vault.move_to(region)
        assert vault.detokenize(token) == {"result": "token_unknown"}
    assert all(name.startswith("mer_2#") for name in key_names(vault))
    assert vault.opens(theirs, "mer_2")


def test_vault_never_writes_the_other_regions_holding(vault, monkeypatch):
    token = vault.token()
    vault.replicate()
    vault.move_to(WEST)
    written = []
    write = Table._write
    monkeypatch.setattr(Table, "_write", lambda table, *a: (written.append(a[1]), write(table, *a))[1])

    vault.token("att_2")
    vault.charge_token(token, "att_3")
    vault.release(token, "att_2")
    vault.detokenize(token)
    vault.shred(token)

    names = {str(request.get("Key") or request["Item"]) for request in written}
    assert len(names) > 2
    assert not any(f"#card#{EAST}" in name or f"#{EAST}#" in name for name in names)
