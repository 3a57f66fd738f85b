"""Keys change while the vault works: the key-encryption key, the token key, the sealing key."""

import pytest

from functions.vault import app, rotation
from functions.vault.errors import InvalidRequest
from functions.vault.ring import MINIMUM_LEAD, REFRESH_SECONDS
from functions.vault.rotation import SEALING_OVERLAP
from tests.functional.vault.conftest import WEST
from tests.functional.vault.envelopes import CARD, OTHER
from tests.functional.vault.rotating import LEAD, check_value, rotate_kek


def test_new_token_key_takes_over_at_its_time_in_both_regions(vault, clock):
    announced = vault.keys("rotate", key="token", lead_s=LEAD)
    vault.replicate()

    assert announced["token"][1] == {"version": 2, "current_from": vault.now + LEAD, "kek_version": 1}
    assert vault.token().startswith("tok_1")
    clock(LEAD)
    there = vault.tokenize(OTHER)["card"]["token"]
    vault.move_to(WEST)
    assert there.startswith("tok_2")
    assert vault.tokenize(OTHER)["card"]["token"] == there


def test_card_that_lives_under_the_old_token_key_keeps_its_token(vault, clock):
    kept, expired = vault.token(), vault.token(card=OTHER)
    vault.detokenize(kept)
    vault.keys("rotate", key="token", lead_s=LEAD)
    clock(rotation.MINIMUM_LEAD + 10 * 86_400)

    assert vault.token("att_2") == kept
    assert vault.charge_token(kept) == "tokenized"
    assert vault.opens(kept)
    assert vault.token(card=OTHER).startswith("tok_2")
    assert vault.token(card=OTHER) != expired
    assert vault.token(merchant="mer_2").startswith("tok_2"), "whoever has no old token gets a new one"


def test_container_that_has_not_heard_of_the_new_key_yet_finds_what_another_made(vault, clock):
    vault.keys("rotate", key="token", lead_s=LEAD)
    clock(REFRESH_SECONDS)
    app.public_key({}, None)  # this container has heard of it
    clock(LEAD)
    new = vault.token()
    vault.now -= LEAD // 2  # its clock is behind

    assert vault.token() == new


def test_new_sealing_key_is_published_at_its_time_and_the_old_one_still_opens(vault, clock):
    old_key, old = vault.jwk(), vault.sealed(exp=vault.now + 3600)
    vault.keys("rotate", key="sealing", lead_s=LEAD)

    assert [key["kid"] for key in app.public_key({}, None)["keys"]] == [old_key["kid"]]
    clock(LEAD)
    assert [key["kid"] for key in app.public_key({}, None)["keys"]] == [vault.jwk()["kid"], old_key["kid"]]
    assert vault.jwk()["kid"] != old_key["kid"]
    assert vault.submit({"sealed_card": old})["result"] == "tokenized"
    assert vault.tokenize(nonce="n-2")["result"] == "tokenized"


def test_envelope_for_the_announced_key_opens_already(vault, clock):
    vault.keys("rotate", key="sealing", lead_s=LEAD)
    clock(LEAD)
    early = vault.sealed()
    vault.now -= 1

    assert vault.submit({"sealed_card": early})["result"] == "tokenized"


def test_old_sealing_key_retires_and_is_deleted_by_the_next_rotation(vault, clock):
    first = vault.jwk()
    vault.keys("rotate", key="sealing", lead_s=LEAD)
    clock(LEAD + SEALING_OVERLAP)
    assert first["kid"] not in [key["kid"] for key in app.public_key({}, None)["keys"]]

    shown = vault.keys("rotate", key="sealing", lead_s=LEAD)

    assert [key["version"] for key in shown["sealing"]] == [2, 3]
    assert vault.tokenize()["result"] == "tokenized"


@pytest.mark.parametrize("key", ["token", "sealing"])
def test_rotation_that_is_asked_for_twice_happens_once(vault, key):
    first = vault.keys("rotate", key=key, lead_s=LEAD)

    assert vault.keys("rotate", key=key, lead_s=LEAD) == first
    assert len(first[key]) == 2


@pytest.mark.parametrize("lead", [0, MINIMUM_LEAD - 1, -1, None, "60", True, 60.0, 10**11])
def test_key_is_never_used_before_everybody_can_know_it_nor_announced_for_ever(vault, lead):
    assert isinstance(vault.fault(lambda: vault.keys("rotate", key="token", lead_s=lead)), InvalidRequest)


def test_ninth_token_key_is_the_last(vault, clock):
    for _ in range(8):
        vault.keys("rotate", key="token", lead_s=LEAD)
        clock(LEAD)

    assert vault.token().startswith("tok_9")
    assert isinstance(vault.fault(lambda: vault.keys("rotate", key="token", lead_s=LEAD)), InvalidRequest)


def test_new_kek_wraps_the_ring_and_then_every_card_in_both_regions(vault, clock):
    tokens = [vault.token(card=card) for card in (CARD, OTHER)]
    vault.detokenize(tokens[0])
    vault.synchronize()
    vault.move_to(WEST)
    west = vault.token(merchant="mer_2")
    vault.move_to("us-east-1")

    shown = rotate_kek(vault, clock)

    assert shown["kek"] == {"version": 1, "next": {"version": 2, "current_from": vault.now - MINIMUM_LEAD}}
    assert vault.walk("rewrap", "kek-2", kek=2) == {
        "seen": 2, "changed": 2, "done": True, "counts": {},
    }  # fmt: skip
    assert vault.walk("census", "after")["counts"] == {"used": 1, "unused": 1, "token_key_1": 2, "kek_2": 2}
    vault.move_to(WEST)
    assert vault.walk("rewrap", "kek-2", kek=2)["changed"] == 1
    assert vault.opens(west, "mer_2")
    vault.move_to("us-east-1")
    assert all(vault.opens(token) for token in tokens)


def test_after_the_walk_the_old_kek_is_needed_no_more(vault, clock, key_store, tmp_path):
    if not key_store.startswith("file:"):
        pytest.skip("the HSM's key is destroyed with the HSM's own tools")
    token = vault.token()
    rotate_kek(vault, clock)
    vault.walk("rewrap", "kek-2", kek=2)
    (tmp_path / "kek-1").unlink()
    app.forget_container()

    assert vault.opens(token)
    assert vault.token("att_2") == token
    assert vault.token(card=OTHER)


def test_old_kek_opens_what_the_walk_has_not_reached(vault, clock):
    token = vault.token()
    rotate_kek(vault, clock)

    assert vault.opens(token)
    assert vault.item(token)["kek_version"] == 1
    assert vault.item(vault.token(card=OTHER))["kek_version"] == 2


def test_kek_the_regions_do_not_share_is_not_activated(vault):
    vault.keys("create_kek")
    before = vault.items()

    for version, value in ((2, "00" * 8), (3, check_value(vault, 2)), (2, None)):
        fault = vault.fault(lambda: vault.keys("activate_kek", version=version, check_value=value, lead_s=LEAD))
        assert isinstance(fault, InvalidRequest)
    assert vault.items() == before


def test_walk_is_not_begun_while_somebody_may_still_write_under_the_old_kek(vault, clock):
    vault.token()
    vault.keys("create_kek")
    vault.keys("activate_kek", version=2, check_value=check_value(vault, 2), lead_s=LEAD)

    for wait in (0, LEAD, MINIMUM_LEAD - 1):
        clock(wait)
        assert isinstance(vault.fault(lambda: vault.walk("rewrap", "kek-2", kek=2)), InvalidRequest)
    clock(1)
    assert vault.walk("rewrap", "kek-2", kek=2)["changed"] == 1


def test_walk_that_is_stopped_goes_on_where_it_was(vault, clock):
    for number in ("4242424242424242", "5555555555554444", "378282246310005", "6011111111111117"):
        cvc = "1234" if number.startswith("37") else "123"
        vault.token(card={**CARD, "number": number, "cvc": cvc})
    rotate_kek(vault, clock)

    pages = []
    while not pages or not pages[-1]["done"]:
        app.forget_container()  # it dies after every page
        pages.append(vault.walk("rewrap", "kek-2", kek=2, limit=2))

    assert len(pages) > 3
    assert (pages[-1]["seen"], pages[-1]["changed"]) == (4, 4)
    assert vault.walk("rewrap", "kek-2", kek=2, limit=2) == pages[-1]


def test_one_altered_card_does_not_stop_the_walk(vault, clock):
    token, whole = vault.token(), vault.token(card=OTHER)
    vault.change(vault.item(token), ciphertext=b"x" * 100)
    rotate_kek(vault, clock)

    assert vault.walk("rewrap", "kek-2", kek=2)["counts"]["refused"] == 1
    assert vault.item(whole)["kek_version"] == 2


@pytest.mark.parametrize(
    "event",
    [
        {"task": "rewrap", "job": "", "limit": 1}, {"task": "x", "job": "x", "limit": 1},
        {"task": "census", "job": "x", "limit": 0}, {"task": "census", "job": "x", "limit": 1001},
        {"task": "shred_merchant", "job": "x", "limit": 1}, {"task": "census", "job": "X#y", "limit": 1},
    ],
)  # fmt: skip
def test_walk_that_cannot_be_is_refused(vault, event):
    assert isinstance(
        vault.fault(lambda: app.walk({"merchant_id": None, "kek_version": None, **event}, None)), InvalidRequest
    )


def test_one_job_is_one_task(vault):
    vault.walk("census", "mine")

    assert isinstance(vault.fault(lambda: vault.walk("shred_merchant", "mine", "mer_1")), InvalidRequest)
