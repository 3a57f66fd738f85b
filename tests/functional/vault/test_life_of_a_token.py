"""Tokenize, release, detokenize: what a token lives through, alone and under concurrency."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.vault import app
from functions.vault.errors import CiphertextRefused, InvalidRequest
from functions.vault.store import FOREVER, RELEASE_GRACE, UNUSED_LIFETIME, TokenStore
from tests.functional.vault.envelopes import CARD, PAN

FACTS = {
    "brand": "visa", "network": "visa", "bin": "424242", "last4": "4242", "exp_month": 12, "exp_year": 2031,
}  # fmt: skip
UNKNOWN = "tok_1" + "a" * 52


def test_a_charge_from_sealed_card_to_network(vault):
    answer = vault.tokenize()
    token = answer["card"]["token"]

    assert answer == {"result": "tokenized", "card": {"token": token, **FACTS}}
    assert vault.item(token)["expires_at"] == vault.now + UNUSED_LIFETIME
    assert vault.detokenize(token) == {"result": "detokenized", "card": {"token": token, **FACTS}}
    assert vault.item(token)["used_at"] == vault.now


def test_same_card_has_the_same_token_however_it_is_written_and_whoever_charges_it(vault):
    tokens = {
        vault.tokenize({**CARD, "number": number}, attempt, merchant)["card"]["token"]
        for number in (PAN, "4242 4242 4242 4242", "4242-4242-4242-4242")
        for attempt, merchant in (("att_1", "mer_1"), ("att_2", "mer_2"))
    }

    assert len(tokens) == 1
    assert vault.item(tokens.pop())["merchants"] == {"mer_1", "mer_2"}


def test_a_newer_expiry_replaces_the_older(vault):
    vault.tokenize()
    vault.tokenize({**CARD, "exp_month": 1, "exp_year": 2035})

    assert vault.detokenize(vault.token())["card"]["exp_year"] == 2031
    assert vault.tokenize({**CARD, "exp_year": 2035})["card"]["exp_year"] == 2035


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"number": "4242424242424241"}, "incorrect_number"), ({"exp_month": 13}, "invalid_expiry"),
        ({"exp_year": 2020}, "expired_card"), ({"cvc": "12"}, "invalid_cvc"),
        ({"number": "9999999999999995"}, "unsupported_brand"),
    ],
)  # fmt: skip
def test_invalid_card_is_an_answer_and_leaves_no_trace(vault, change, code):
    before = vault.items()

    answer = vault.tokenize({**CARD, **change})

    assert (answer["result"], answer["code"]) == ("invalid_card", code)
    assert "4242" not in str(answer)
    assert vault.items() == before


def test_merchant_charges_a_stored_token_again(vault):
    token = vault.token("att_1")

    assert vault.submit({"token": token}, "att_2") == {"result": "tokenized", "card": {"token": token, **FACTS}}
    assert vault.item(token)["holders"] == {"att_1", "att_2"}


def test_another_merchants_token_looks_like_an_unknown_one(vault):
    token = vault.token(merchant="mer_1")
    before = vault.item(token)

    foreign = vault.submit({"token": token}, "att_2", "mer_2")
    unknown = vault.submit({"token": UNKNOWN}, "att_2", "mer_2")

    assert foreign == unknown
    assert foreign["code"] == "token_unknown"
    assert vault.item(token) == before


@pytest.mark.parametrize("name", ["key#token#1", "key#sealing#1", "", None, 7, [], {}])
def test_what_is_no_token_is_unknown_and_touches_no_key(vault, name):
    before = sorted(vault.items(), key=str)

    assert vault.charge_token(name) == "token_unknown"
    assert vault.detokenize(name) == {"result": "token_unknown"}
    assert vault.release(name) == "released"
    assert sorted(vault.items(), key=str) == before


def test_unused_token_expires_and_then_counts_as_unknown(vault):
    token = vault.token()
    vault.now += UNUSED_LIFETIME - 1
    assert vault.charge_token(token) == "tokenized"  # which renews it

    vault.now += UNUSED_LIFETIME
    assert vault.charge_token(token) == "token_unknown"
    assert vault.detokenize(token) == {"result": "token_unknown"}


def test_used_token_never_expires_even_when_its_card_is_charged_again(vault):
    token = vault.token()
    vault.detokenize(token)
    used_at = vault.now
    vault.now += 10 * UNUSED_LIFETIME

    assert vault.token("att_2") == token
    assert vault.item(token)["expires_at"] == FOREVER
    vault.now += 10 * UNUSED_LIFETIME
    assert vault.charge_token(token) == "tokenized"
    assert vault.detokenize(token)["result"] == "detokenized"
    assert vault.item(token)["used_at"] == used_at


def test_item_of_a_card_charged_a_hundred_times_does_not_grow(vault):
    token = vault.token()
    vault.detokenize(token)
    size = len(str(vault.item(token)))
    for number in range(100):
        vault.charge_token(token, f"att_{number}")
    vault.detokenize(token)

    assert len(str(vault.item(token))) == size


def test_new_item_is_one_write_unit(vault):
    item = vault.item(vault.token("att_" + "a" * 26, "mer_" + "b" * 20))
    attributes = sum(len(name) for name in item)
    values = sum(len(value) if isinstance(value, str) else 40 for value in item.values() if value != item["ciphertext"])

    assert attributes + values + len(bytes(item["ciphertext"])) <= 1024


def test_release_of_the_only_attempt_lets_the_token_go_after_the_grace_period(vault):
    token = vault.token()

    assert vault.release(token) == "released"
    item = vault.item(token)
    assert (item["released_at"], item["expires_at"]) == (vault.now, vault.now + RELEASE_GRACE)
    assert "holders" not in item


def test_release_twice_is_release_once(vault):
    token = vault.token()
    vault.release(token)
    before = vault.item(token)
    vault.now += 60

    assert vault.release(token) == "released"
    assert vault.item(token) == before


def test_release_of_an_unknown_token_is_released_and_creates_nothing(vault):
    before = vault.items()

    assert vault.release(UNKNOWN) == "released"
    assert vault.items() == before


def test_token_another_attempt_holds_is_kept_until_that_one_leaves_too(vault):
    token = vault.token("att_1")
    vault.token("att_2")

    assert vault.release(token, "att_1") == "kept"
    assert "released_at" not in vault.item(token)
    assert vault.release(token, "att_1") == "kept"
    assert vault.release(token, "att_2") == "released"


def test_used_token_is_kept_whoever_releases_it(vault):
    token = vault.token("att_1")
    vault.token("att_2")
    vault.detokenize(token)

    assert {vault.release(token, attempt) for attempt in ("att_1", "att_2", "att_9")} == {"kept"}
    assert vault.item(token)["expires_at"] == FOREVER


def test_attempt_that_never_held_a_token_cannot_release_it(vault):
    token = vault.token("att_1")

    assert vault.release(token, "att_9") == "kept"
    assert vault.item(token)["holders"] == {"att_1"}


@pytest.mark.parametrize("comeback", ["charge_token", "detokenize"])
def test_use_in_the_grace_period_wins_over_the_release(vault, comeback):
    token = vault.token()
    vault.release(token)
    vault.now += RELEASE_GRACE - 1

    getattr(vault, comeback)(token)

    assert "released_at" not in vault.item(token)
    vault.now += RELEASE_GRACE
    assert vault.detokenize(token)["result"] == "detokenized"


@pytest.mark.parametrize("newcomer", ["token", "detokenize"])
def test_newcomer_between_the_two_steps_of_a_release_keeps_the_token(vault, monkeypatch, newcomer):
    token = vault.token("att_1")
    retire = TokenStore.retire

    def retire_after_newcomer(store, token, now):
        vault.token("att_2") if newcomer == "token" else vault.detokenize(token)
        return retire(store, token, now)

    monkeypatch.setattr(TokenStore, "retire", retire_after_newcomer)

    assert vault.release(token, "att_1") == "kept"
    assert "released_at" not in vault.item(token)
    assert vault.item(token)["expires_at"] >= vault.now + UNUSED_LIFETIME


def test_two_last_attempts_leaving_at_once_both_find_it_released(vault, monkeypatch):
    token = vault.token("att_1")
    vault.token("att_2")
    vault.release(token, "att_2")
    retire = TokenStore.retire
    answers = []

    def retire_while_the_other_retries(store, token, now):
        monkeypatch.setattr(TokenStore, "retire", retire)
        answers.append(vault.release(token, "att_2"))
        return retire(store, token, now)

    monkeypatch.setattr(TokenStore, "retire", retire_while_the_other_retries)
    answers.append(vault.release(token, "att_1"))

    assert answers == ["released", "released"]


STEPS = st.lists(
    st.tuples(st.sampled_from(["token", "release", "detokenize", "wait"]), st.sampled_from(["att_1", "att_2"])),
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_token_is_retired_only_when_unheld_and_unused_whatever_happens(vault, steps):
    token = vault.token("att_0")
    vault.table.delete_item(Key={"token": token})
    known, used, holders = False, False, set()
    for step, attempt in steps:
        if step == "token":
            vault.token(attempt)
            known, holders = True, holders | {attempt}
        elif step == "release":
            holders -= {attempt}
            assert vault.release(token, attempt) == ("kept" if known and (used or holders) else "released")
        elif step == "detokenize":
            assert vault.detokenize(token)["result"] == ("detokenized" if known else "token_unknown")
            used, holders = known, set()
        else:
            vault.now += 60
        if known:
            assert ("released_at" in vault.item(token)) == (not used and not holders)


def test_ciphertext_swapped_between_tokens_is_refused(vault):
    one, other = vault.token(), vault.tokenize({**CARD, "number": "5555555555554444"})["card"]["token"]
    vault.table.update_item(
        Key={"token": one},
        UpdateExpression="SET ciphertext = :c",
        ExpressionAttributeValues={":c": vault.item(other)["ciphertext"]},
    )

    with pytest.raises(CiphertextRefused):
        vault.detokenize(one)


@pytest.mark.parametrize("fact", ["bin", "last4"])
def test_item_that_describes_another_card_is_refused(vault, fact):
    token = vault.token()
    vault.table.update_item(
        Key={"token": token},
        UpdateExpression="SET #f = :v",
        ExpressionAttributeNames={"#f": fact},
        ExpressionAttributeValues={":v": "1881"},
    )

    with pytest.raises(CiphertextRefused):
        vault.detokenize(token)


@pytest.mark.parametrize(
    "change",
    [
        {"card": {}}, {"card": {"sealed_card": "x", "token": "y"}}, {"card": PAN}, {"card": None}, {"attempt": PAN},
        {"attempt": ""}, {"merchant_id": None}, {"payment_id": "pay_1\n"}, {"card": {"number": PAN}},
    ],
)  # fmt: skip
def test_malformed_event_is_the_callers_fault_and_is_not_quoted(vault, change):
    event = {"payment_id": "pay_1", "attempt": "att_1", "merchant_id": "mer_1", "card": {"token": UNKNOWN}} | change

    with pytest.raises(InvalidRequest) as fault:
        app.tokenize(event, None)

    assert PAN not in str(fault.value)


def test_ciphertext_of_a_similar_card_made_for_this_token_is_refused(vault):
    token = vault.token()
    similar = app._cipher().encrypt(PAN[:6] + "000000" + PAN[-4:], token, 1)  # same BIN and last four
    vault.table.update_item(
        Key={"token": token},
        UpdateExpression="SET ciphertext = :c",
        ExpressionAttributeValues={":c": similar},
    )

    with pytest.raises(CiphertextRefused):
        vault.detokenize(token)
