"""Every way a review found to lose a card, to keep a shredded one, or to get stuck: repeated writes, races, crashes."""

import base64
import logging

import pytest

from functions.vault import app
from functions.vault.card_keys import CardKeys
from functions.vault.errors import CardKeyMissing, InvalidRequest, NotProvisioned
from functions.vault.holdings import TTL_DELAY, UNUSED_LIFETIME, Holdings
from functions.vault.ring import MINIMUM_LEAD
from functions.vault.walk import KEY_AGE
from tests.functional.vault.conftest import CARD_KEYS, EAST, TOKENS, WEST, dynamodb
from tests.functional.vault.envelopes import CARD
from tests.functional.vault.test_rotation import LEAD, OTHER, check_value, clock, rotate_kek  # noqa: F401


def key_names(vault):
    return {item["holding"] for item in vault.card_keys.scan()["Items"]}


def lose_keys(vault):
    for item in vault.card_keys.scan()["Items"]:
        vault.card_keys.delete_item(Key={"token": item["token"], "holding": item["holding"]})


def before_first(monkeypatch, owner, name, act):
    """Lets `act` happen once, just before the method is called for the first time."""
    original = getattr(owner, name)

    def first(self, *arguments, **named):
        monkeypatch.setattr(owner, name, original)
        act()
        return original(self, *arguments, **named)

    monkeypatch.setattr(owner, name, first)


def twice(monkeypatch, owner, name, between):
    """A write whose answer gets lost, so that it is sent again, and what happens in between."""
    original = getattr(owner, name)

    def again(self, *arguments):
        monkeypatch.setattr(owner, name, original)
        original(self, *arguments)
        between(arguments[0])
        return original(self, *arguments)

    monkeypatch.setattr(owner, name, again)


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


def test_card_presented_here_is_kept_here_even_if_the_other_region_has_it(vault):
    token = vault.token()
    vault.detokenize(token)
    vault.replicate()
    vault.move_to(WEST)
    lose_keys(vault)  # the holding has arrived, its key has not, and the east is gone

    assert vault.token("att_2") == token
    assert vault.opens(token)


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


class Crashed(BaseException):
    pass


def crash(*arguments):
    raise Crashed


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


@pytest.mark.parametrize("other_region", [True, False])
def test_holders_do_not_grow_with_every_charge(vault, other_region):
    token = vault.token()
    vault.detokenize(token)
    if other_region:
        vault.replicate()
        vault.move_to(WEST)
    for number in range(30):
        vault.token(f"att_w{number}", card={**CARD, "exp_year": 2033 + number % 2})
        assert vault.opens(token)

    assert "holders" not in vault.item(token)


def test_holding_is_deleted_by_ttl_a_month_after_it_has_expired_and_a_used_one_never(vault):
    assert TTL_DELAY == 30 * 86_400
    token = vault.token()
    assert vault.item(token)["delete_after"] == vault.item(token)["expires_at"] + TTL_DELAY
    vault.release(token)
    assert vault.item(token)["delete_after"] == vault.item(token)["expires_at"] + TTL_DELAY
    vault.detokenize(token)
    assert "delete_after" not in vault.item(token)


@pytest.mark.parametrize("nonce", ["\ud800", "é", "a\nb", "\x00"])
def test_nonce_that_is_no_text_is_refused(vault, nonce):
    assert vault.tokenize(nonce=nonce)["code"] == "sealed_card_invalid"


def test_ring_key_announced_while_a_kek_is_pending_is_wrapped_by_the_new_one(vault, clock, key_store, tmp_path):  # noqa: F811
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


def test_copy_of_a_stale_holding_is_encrypted_under_the_current_kek(vault, clock, key_store, tmp_path):  # noqa: F811
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


def test_walk_waits_for_the_new_kek_to_arrive(vault, clock):  # noqa: F811
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


def test_walk_counts_what_it_cannot_open(vault, clock):  # noqa: F811
    vault.token()
    lose_keys(vault)
    rotate_kek(vault, clock)

    assert vault.walk("rewrap", "kek-2", kek=2)["counts"] == {"without_key": 1}


def test_provisioning_does_not_bring_back_a_destroyed_kek(vault, clock, key_store, tmp_path):  # noqa: F811
    if not key_store.startswith("file:"):
        pytest.skip("the HSM's key is destroyed with the HSM's own tools")
    rotate_kek(vault, clock)
    (tmp_path / "kek-1").unlink()
    app.forget_container()

    vault.keys("provision")

    assert not (tmp_path / "kek-1").exists()


def test_token_key_that_has_not_arrived_is_no_damaged_card(vault, clock):  # noqa: F811
    vault.keys("rotate", key="token", lead_s=LEAD)
    clock(LEAD)
    token = vault.token()
    for name, items in ((TOKENS, [vault.item(token)]), (CARD_KEYS, vault.card_keys.scan()["Items"])):
        for item in items:
            dynamodb(WEST).Table(name).put_item(Item=item)
    vault.move_to(WEST)

    assert isinstance(vault.fault(lambda: vault.detokenize(token)), NotProvisioned)


def test_envelope_to_a_key_the_container_has_not_heard_of_opens(vault, clock):  # noqa: F811
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


def test_card_key_of_the_other_region_that_is_missing_is_a_fault_to_retry(vault):
    token = vault.token()
    vault.replicate()
    vault.move_to(WEST)
    lose_keys(vault)

    assert isinstance(vault.fault(lambda: vault.charge_token(token)), CardKeyMissing)


def test_no_key_is_logged_even_if_botocore_is_told_to_talk(vault, caplog):
    caplog.set_level(logging.DEBUG)
    token = vault.token()

    text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    for item in vault.card_keys.scan()["Items"]:
        key = bytes(item["key"])
        assert base64.b64encode(key).decode() not in text
        assert repr(key) not in text
    assert token.startswith("tok_1")


@pytest.mark.parametrize("version", [True, 2.0, "2", None, -1])
def test_operator_cannot_activate_what_is_no_version(vault, version):
    vault.keys("create_kek")
    before = vault.items()
    value = check_value(vault, 1 if version is True else 2)

    fault = vault.fault(lambda: vault.keys("activate_kek", version=version, check_value=value, lead_s=LEAD))

    assert isinstance(fault, InvalidRequest)
    assert vault.items() == before


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


def test_release_does_not_bring_an_expired_token_back(vault):
    token = vault.token()
    vault.now += UNUSED_LIFETIME

    assert vault.release(token) == "released"
    assert vault.charge_token(token, "att_9") == "token_unknown"


def test_sealing_rotation_that_crashed_is_finished_by_a_second_try(vault, clock, monkeypatch):  # noqa: F811
    with monkeypatch.context() as crashing:
        crashing.setattr("functions.vault.rotation.KeyRing._retire_sealing_keys", crash)
        with pytest.raises(Crashed):
            vault.keys("rotate", key="sealing", lead_s=LEAD)

    shown = vault.keys("rotate", key="sealing", lead_s=LEAD)["sealing"]

    assert [key["version"] for key in shown] == [1, 2]
    assert shown[0]["retires_at"] == shown[1]["current_from"] + 86_400
    assert shown[1]["retires_at"] is None


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


def test_walk_that_meets_a_new_card_leaves_it_alone(vault, clock, monkeypatch):  # noqa: F811
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
