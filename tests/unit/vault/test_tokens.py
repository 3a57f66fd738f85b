"""Tokens are a function of the number and the key alone."""

import re

from hypothesis import given
from hypothesis import strategies as st

from functions.vault.cards import normalize
from functions.vault.tokens import TokenKey, is_token, token_of

KEY = TokenKey(1, bytes(range(32)))
PANS = st.text("0123456789", min_size=14, max_size=19)


@given(PANS, st.data())
def test_token_depends_on_the_number_alone_however_it_is_formatted(pan, data):
    separators = data.draw(st.lists(st.sampled_from(["", "", " ", "-"]), min_size=len(pan), max_size=len(pan)))
    formatted = "".join(digit + separator for digit, separator in zip(pan, separators, strict=True))

    digits = normalize(formatted)

    assert digits is not None
    assert token_of(digits, KEY) == token_of(pan, KEY)


@given(PANS, PANS)
def test_different_numbers_have_different_tokens(one, other):
    assert (token_of(one, KEY) == token_of(other, KEY)) == (one == other)


def test_no_two_of_a_million_numbers_share_a_token():
    assert len({token_of(f"4{number:015d}", KEY) for number in range(1_000_000)}) == 1_000_000


@given(PANS, st.binary(min_size=32, max_size=32).filter(lambda secret: secret != KEY.secret))
def test_another_key_or_version_gives_another_token(pan, secret):
    tokens = {token_of(pan, KEY), token_of(pan, TokenKey(1, secret)), token_of(pan, TokenKey(2, KEY.secret))}

    assert len({token[5:] for token in tokens}) == 3


@given(PANS)
def test_token_has_its_documented_form(pan):
    token = token_of(pan, KEY)

    assert re.fullmatch(r"tok_1[a-z2-7]{52}", token)
    assert is_token(token)


def test_vaults_own_key_items_are_no_tokens():
    assert not any(is_token(name) for name in ("ring", "envelope#1", "job#1", "", None, 7, "tok_", ["tok_1"]))


def test_token_of_a_known_number_never_changes():
    assert token_of("4242424242424242", KEY) == "tok_1ts635xdfdu6jn34bmbg6vbwzyukv3ypuhxywxephotws42nrr4eq"


def test_secret_is_in_no_representation_of_the_key():
    assert repr(KEY) == "TokenKey(version=1)"
