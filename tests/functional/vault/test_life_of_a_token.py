"""Tokenize, release, detokenize: what a token lives through, alone and under concurrency."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.vault import app
from functions.vault.errors import CiphertextRefused, InvalidRequest
from functions.vault.holdings import FOREVER, RELEASE_GRACE, TTL_DELAY, UNUSED_LIFETIME, Holdings
from tests.functional.vault.conftest import EAST, WEST
from tests.functional.vault.envelopes import CARD, PAN

FACTS = {
    "brand": "visa", "network": "visa", "bin": "424242", "bin8": "42424242", "last4": "4242", "exp_month": 12,
    "exp_year": 2031,
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
    token = tokens.pop()
    assert vault.item(token, "mer_1")["card_key"] != vault.item(token, "mer_2")["card_key"]


def test_a_newer_expiry_replaces_the_older_also_of_a_used_card(vault):
    vault.tokenize()
    assert vault.tokenize({**CARD, "exp_month": 1, "exp_year": 2035})["card"]["exp_year"] == 2035

    assert vault.detokenize(vault.token())["card"]["exp_year"] == 2031
    assert vault.tokenize({**CARD, "exp_year": 2035})["card"]["exp_year"] == 2035
    assert vault.detokenize(vault.token())["card"]["exp_year"] == 2031


def test_used_card_is_charged_again_without_a_write(vault):
    token = vault.token()
    vault.detokenize(token)
    before = vault.items()

    assert vault.token("att_2") == token
    assert vault.charge_token(token, "att_3") == "tokenized"
    assert vault.opens(token)
    assert vault.items() == before


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


@pytest.mark.parametrize("name", ["ring", "", None, 7, [], {}])
def test_what_is_no_token_is_unknown_and_touches_no_key(vault, name):
    before = vault.items()

    assert vault.charge_token(name) == "token_unknown"
    assert vault.detokenize(name) == {"result": "token_unknown"}
    assert vault.release(name) == "released"
    assert vault.shred(name) == "token_unknown"
    assert vault.items() == before


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
    merchant = "mer_" + "b" * 20
    item = vault.item(vault.token("att_" + "a" * 26, merchant), merchant)
    size = sum(len(name) + _bytes(value) for name, value in item.items())

    assert size <= 1024


def _bytes(value):
    """How DynamoDB counts an attribute's value: a number has up to 21 bytes."""
    if isinstance(value, set):
        return sum(map(len, value))
    return len(value) if isinstance(value, str) else len(bytes(value)) if hasattr(value, "value") else 21


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
    retire = Holdings.retire

    def retire_after_newcomer(holdings, *arguments):
        vault.token("att_2") if newcomer == "token" else vault.detokenize(token)
        return retire(holdings, *arguments)

    monkeypatch.setattr(Holdings, "retire", retire_after_newcomer)

    assert vault.release(token, "att_1") == "kept"
    assert "released_at" not in vault.item(token)
    assert vault.item(token)["expires_at"] >= vault.now + UNUSED_LIFETIME


def test_two_last_attempts_leaving_at_once_both_find_it_released(vault, monkeypatch):
    token = vault.token("att_1")
    vault.token("att_2")
    vault.release(token, "att_2")
    retire = Holdings.retire
    answers = []

    def retire_while_the_other_retries(holdings, *arguments):
        monkeypatch.setattr(Holdings, "retire", retire)
        answers.append(vault.release(token, "att_2"))
        return retire(holdings, *arguments)

    monkeypatch.setattr(Holdings, "retire", retire_while_the_other_retries)
    answers.append(vault.release(token, "att_1"))

    assert answers == ["released", "released"]


STEPS = st.lists(
    st.tuples(st.sampled_from(["token", "release", "detokenize", "wait"]), st.sampled_from(["att_1", "att_2"])),
    max_size=12,
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_token_is_retired_only_when_unheld_and_unused_whatever_happens(vault, steps):
    token = vault.token("att_0")
    vault.shred(token)
    known, used, holders = False, False, set()
    for step, attempt in steps:
        if step == "token":
            vault.token(attempt)
            known, holders = True, holders if used else holders | {attempt}
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
    vault.change(vault.item(one), ciphertext=vault.item(other)["ciphertext"])

    with pytest.raises(CiphertextRefused):
        vault.detokenize(one)


@pytest.mark.parametrize("fact", ["bin", "last4"])
def test_item_that_describes_another_card_is_refused(vault, fact):
    token = vault.token()
    vault.change(vault.item(token), **{fact: "1881"})

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
    inner = app._vault()
    similar = PAN[:6] + "000000" + PAN[-4:]  # same BIN and last four
    key = inner.rings.ring().token_keys[0]
    locked = inner.keeping._safe.lock(similar, token, key, "mer_1", vault.now)
    vault.change(vault.item(token), ciphertext=locked.ciphertext, card_key=locked.card_key)

    with pytest.raises(CiphertextRefused):
        vault.detokenize(token)


def test_every_single_altered_byte_of_a_stored_card_is_refused(vault):
    token = vault.token()
    item = vault.item(token)
    ciphertext = bytes(item["ciphertext"])
    step = 1 if "file:" in str(app.settings().key_store) else 17
    for place in range(0, len(ciphertext), step):
        damaged = bytearray(ciphertext)
        damaged[place] ^= 1
        vault.change(item, ciphertext=bytes(damaged))
        assert isinstance(vault.fault(lambda: vault.detokenize(token)), CiphertextRefused), place


@pytest.mark.parametrize("length", [0, 1, 11, 12, 28, -1, -16])
def test_truncated_or_lengthened_card_is_refused(vault, length):
    token = vault.token()
    item = vault.item(token)
    for wrong in (bytes(item["ciphertext"])[:length], bytes(item["ciphertext"]) + b"x"):
        vault.change(item, ciphertext=wrong)
        assert isinstance(vault.fault(lambda: vault.detokenize(token)), CiphertextRefused)


def test_write_whose_answer_got_lost_meets_itself_and_loses_nothing(vault, monkeypatch):
    put = Holdings.create

    def put_twice(holdings, *arguments):
        put(holdings, *arguments)
        return put(holdings, *arguments)  # what botocore does when no answer comes

    monkeypatch.setattr(Holdings, "create", put_twice)

    token = vault.token()

    assert vault.opens(token)
    assert len(vault.card_keys.scan()["Items"]) == 1


def test_two_attempts_that_store_the_same_new_card_at_once_share_one_holding(vault, monkeypatch):
    create = Holdings.create

    def create_after_another(holdings, *arguments):
        monkeypatch.setattr(Holdings, "create", create)
        vault.token("att_2")
        return create(holdings, *arguments)

    monkeypatch.setattr(Holdings, "create", create_after_another)

    token = vault.token("att_1")

    assert vault.item(token)["holders"] == {"att_1", "att_2"}
    assert [item["holding"] for item in vault.card_keys.scan()["Items"]] == [vault.item(token)["card_key"]]
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


def test_release_does_not_bring_an_expired_token_back(vault):
    token = vault.token()
    vault.now += UNUSED_LIFETIME

    assert vault.release(token) == "released"
    assert vault.charge_token(token, "att_9") == "token_unknown"


PRESENTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["4242424242424242", "5555555555554444", "6011111111111117", "4000056655665556"]),
        st.sampled_from(["", " ", "-"]),
        st.sampled_from([EAST, WEST]),
        st.sampled_from(["mer_1", "mer_2"]),
        st.sampled_from(["kept", "used", "released", "shredded"]),
    ),
    min_size=2,
    max_size=6,
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PRESENTATIONS)
def test_token_is_a_function_of_the_number_however_wherever_and_in_whatever_order_it_is_presented(vault, presentations):
    expected = {}
    for place, (number, separator, region, merchant, fate) in enumerate(presentations):
        vault.move_to(region)
        written = separator.join(number[start : start + 4] for start in range(0, 16, 4))
        token = vault.token(f"att_{place}", merchant, {**CARD, "number": written})
        assert expected.setdefault(number, token) == token
        if fate == "used":
            assert vault.opens(token, merchant)
        elif fate == "released":
            vault.release(token, f"att_{place}", merchant)
        elif fate == "shredded":
            assert vault.shred(token, merchant) == "shredded"
        if place % 3 == 2:
            vault.synchronize()
    assert len(set(expected.values())) == len(expected)
