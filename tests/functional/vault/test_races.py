"""What happens at the same time, or twice: nothing used is lost, and nothing shredded comes back."""

import pytest

from functions.vault import app
from functions.vault.holdings import UNUSED_LIFETIME, Holdings
from tests.functional.vault.conftest import EAST, WEST
from tests.functional.vault.envelopes import CARD
from tests.functional.vault.faults import before_first, key_names, lose_keys, twice
from tests.functional.vault.rotating import rotate_kek


@pytest.mark.parametrize("where", [EAST, WEST])
def test_repeated_write_does_not_bring_back_what_was_shredded_in_between(vault, monkeypatch, where):
    def shred(token):
        vault.replicate()
        vault.move_to(where)
        vault.now += 1
        assert vault.shred(token) == "shredded"
        vault.synchronize()
        vault.move_to(EAST)

    twice(monkeypatch, Holdings, "create", shred)

    token = vault.token()
    vault.synchronize()

    assert vault.opens(token), "it was presented, and answered, after the shredding"
    assert key_names(vault) == {vault.item(token)["card_key"]}


@pytest.mark.parametrize("step", ["present", "claim"])
def test_whatever_meets_a_shredding_does_not_keep_the_old_key(vault, monkeypatch, step):
    token = vault.token()
    backup = vault.item(token)
    before_first(monkeypatch, Holdings, step, lambda: vault.shred(token))

    answer = vault.tokenize(attempt="att_2") if step == "present" else vault.submit({"token": token}, "att_2")

    assert answer["result"] == ("tokenized" if step == "present" else "invalid_card")
    vault.synchronize()
    assert backup["card_key"] not in key_names(vault)
    assert vault.opens(token) == (step == "present")


def test_presenting_a_card_the_other_region_has_shredded_finishes_its_shredding_here(vault):
    token = vault.token()
    backup = vault.item(token)
    vault.synchronize()
    vault.move_to(WEST)
    vault.shred(token)
    record = vault.item(token)
    vault.move_to(EAST)
    vault.table.put_item(Item=record)  # replicated, and the east's stream is behind

    assert vault.charge_token(token) == "token_unknown"
    vault.token("att_2")

    assert key_names(vault) == {vault.item(token)["card_key"]} != {backup["card_key"]}
    vault.synchronize()
    assert vault.opens(token)


@pytest.mark.parametrize("use", ["detokenize", "charge_token"])
@pytest.mark.parametrize("where", [EAST, WEST])
def test_copy_that_races_a_shredding_stays_nowhere(vault, monkeypatch, use, where):
    token = vault.token()
    vault.replicate()
    vault.move_to(WEST)

    def shred():
        vault.move_to(where)
        vault.now += 1
        assert vault.shred(token) == "shredded"
        vault.replicate()
        vault.move_to(WEST)

    before_first(monkeypatch, Holdings, "create", shred)

    getattr(vault, use)(token)

    vault.synchronize()
    for region in (EAST, WEST):
        vault.move_to(region)
        assert key_names(vault) == set()
        assert vault.detokenize(token) == {"result": "token_unknown"}


@pytest.mark.parametrize("used", [True, False])
def test_card_presented_while_it_is_shredded_is_shredded_too(vault, monkeypatch, used):
    token = vault.token()
    if used:
        vault.detokenize(token)
    envelope = vault.sealed({**CARD, "exp_year": 2034}, nonce="n-2")

    def present():
        vault.now += 1
        assert vault.submit({"sealed_card": envelope}, "att_2")["result"] == "tokenized"

    before_first(monkeypatch, Holdings, "shred", present)

    assert vault.shred(token) == "shredded"
    assert key_names(vault) == set()
    assert vault.detokenize(token) == {"result": "token_unknown"}


def test_slow_presentation_does_not_make_a_later_one_seem_earlier(vault, monkeypatch):
    token = vault.token()
    envelope = vault.sealed({**CARD, "exp_year": 2034}, nonce="n-2")
    slow = vault.now

    def meanwhile():
        vault.now = slow + 10
        assert vault.token("att_2") == token
        vault.now = slow

    before_first(monkeypatch, Holdings, "present", meanwhile)
    assert vault.submit({"sealed_card": envelope}, "att_3")["result"] == "tokenized"

    assert vault.item(token)["presented_at"] == (slow + 10) * 1000


@pytest.mark.parametrize("step", ["claim", "present"])
def test_card_that_is_used_between_look_and_hold_stays_used(vault, monkeypatch, step):
    token = vault.token()
    envelope = vault.sealed({**CARD, "exp_year": 2034}, nonce="n-2")
    before_first(monkeypatch, Holdings, step, lambda: vault.detokenize(token))

    if step == "claim":
        assert vault.charge_token(token, "att_2") == "tokenized"
    else:
        assert vault.submit({"sealed_card": envelope}, "att_2")["result"] == "tokenized"

    vault.now += 100 * UNUSED_LIFETIME
    assert vault.opens(token)


def test_late_record_of_an_older_shredding_changes_nothing(vault):
    token = vault.token()
    vault.now += 10
    vault.shred(token)
    before = vault.item(token)

    app._vault().keeping.destroy(token, "mer_1", int(before["shredded_at"]) - 5_000)

    assert vault.item(token) == before


def test_expired_card_that_is_presented_again_leaves_no_old_key(vault):
    token = vault.token()
    vault.now += UNUSED_LIFETIME + 1

    assert vault.token("att_2") == token
    assert key_names(vault) == {vault.item(token)["card_key"]}
    assert vault.opens(token)


def test_shredding_between_two_presentations_is_noticed(vault, monkeypatch):
    token = vault.token()
    vault.shred(token)
    others = []

    def meanwhile():
        vault.now += 1
        vault.token("att_2")
        vault.now += 1
        others.append(vault.item(token)["card_key"])
        vault.shred(token)
        vault.now -= 2

    before_first(monkeypatch, Holdings, "create", meanwhile)

    assert vault.token("att_3") == token
    assert int(vault.item(token)["presented_at"]) > int(vault.item(token)["shredded_at"])
    assert key_names(vault) == {vault.item(token)["card_key"]}
    assert others[0] not in key_names(vault)
    assert vault.opens(token)


def test_walk_that_meets_a_new_card_leaves_it_alone(vault, clock, monkeypatch):
    token = vault.token()
    rotate_kek(vault, clock)

    def again():
        vault.shred(token)
        assert vault.token("att_2") == token

    before_first(monkeypatch, Holdings, "relock", again)
    vault.walk("rewrap", "kek-2", kek=2)

    assert vault.opens(token)


def test_repair_that_meets_a_new_card_leaves_it_alone(vault, monkeypatch):
    token = vault.token()
    lose_keys(vault)

    def again():
        vault.shred(token)
        assert vault.token("att_2") == token

    before_first(monkeypatch, Holdings, "drop", again)
    vault.walk("repair", "r")

    assert vault.opens(token)
