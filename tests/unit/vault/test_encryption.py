"""Stored card numbers open for their token only, and only unaltered."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.vault import encryption
from functions.vault.card_keys import lock, unlock
from functions.vault.encryption import CardCipher
from functions.vault.errors import CiphertextRefused, KeyStoreUnusable
from functions.vault.keys import KeyStore, open_key_store
from tests import key_stores

PAN, TOKEN = "4242424242424242", "tok_1" + "a" * 52


class CountingKeyStore:
    """A real key store that counts, and can fail."""

    def __init__(self, store):
        self.store, self.label, self.wraps, self.unwraps, self.down = store, store.label, [], 0, False

    def wrap(self, plaintext, context, version):
        self.wraps.append(self.store.wrap(plaintext, context, version))
        return self.wraps[-1]

    def unwrap(self, wrapped, context):
        self.unwraps += 1
        if self.down:
            raise KeyStoreUnusable("down")
        return self.store.unwrap(wrapped, context)


@pytest.fixture(scope="module", params=key_stores.KINDS)
def key_store(request, tmp_path_factory) -> KeyStore:
    store = open_key_store(key_stores.setting(request.param, tmp_path_factory.mktemp("keys")), "local")
    for version in (1, 2):
        store.create(version)
    return store


@pytest.fixture
def counting(key_store):
    return CountingKeyStore(key_store)


@pytest.fixture(scope="module")
def cipher(key_store):
    return CardCipher(key_store, 1)


@settings(max_examples=25, deadline=None)
@given(pan=st.text("0123456789", min_size=14, max_size=19), version=st.integers(1, 9))
def test_number_comes_back_as_it_was(cipher, pan, version):
    assert cipher.decrypt(cipher.encrypt(pan, TOKEN, version), TOKEN, version) == pan


def test_number_is_not_in_the_ciphertext_and_no_two_are_alike(cipher):
    ciphertexts = {cipher.encrypt(PAN, TOKEN, 1) for _ in range(50)}

    assert len(ciphertexts) == 50
    assert not any(PAN.encode() in ciphertext for ciphertext in ciphertexts)


def test_another_container_with_the_same_key_store_opens_it(cipher, key_store):
    assert CardCipher(key_store, 1).decrypt(cipher.encrypt(PAN, TOKEN, 1), TOKEN, 1) == PAN


def test_ciphertext_of_another_token_or_key_version_is_refused(cipher):
    ciphertext = cipher.encrypt(PAN, TOKEN, 1)

    for token, version in (("tok_1" + "b" * 52, 1), (TOKEN, 2)):
        with pytest.raises(CiphertextRefused):
            cipher.decrypt(ciphertext, token, version)


def test_every_corrupted_byte_is_refused_and_nothing_of_the_card_shows(cipher):
    ciphertext = cipher.encrypt(PAN, TOKEN, 1)

    for place in range(len(ciphertext)):
        for mask in (0x01, 0x80):
            with pytest.raises(CiphertextRefused) as refused:
                cipher.decrypt(
                    ciphertext[:place] + bytes([ciphertext[place] ^ mask]) + ciphertext[place + 1 :], TOKEN, 1
                )
            assert refused.value.__context__ is None
            assert PAN not in str(refused.value)


def test_every_truncation_and_extension_is_refused(cipher):
    ciphertext = cipher.encrypt(PAN, TOKEN, 1)

    for blob in [ciphertext[:length] for length in range(0, len(ciphertext), 5)] + [ciphertext + b"\x00", b"", b"x"]:
        with pytest.raises(CiphertextRefused):
            cipher.decrypt(blob, TOKEN, 1)


def test_body_of_another_message_under_the_same_data_key_is_refused(cipher):
    one, other = cipher.encrypt(PAN, TOKEN, 1), cipher.encrypt("5555555555554444", TOKEN, 1)
    body = 16 + 16 + 4 + 4 + 12 + 4  # number, tag, and the final frame's markers, sequence, IV and length

    with pytest.raises(CiphertextRefused):
        cipher.decrypt(one[:-body] + other[-body:], TOKEN, 1)


def test_key_store_failure_is_not_mistaken_for_tampering(counting):
    ciphertext = CardCipher(counting, 1).encrypt(PAN, TOKEN, 1)
    counting.down = True

    with pytest.raises(KeyStoreUnusable):
        CardCipher(counting, 1).decrypt(ciphertext, TOKEN, 1)


def test_cards_of_one_container_share_a_data_key_within_its_limits(counting, monkeypatch):
    monkeypatch.setattr(encryption, "MAX_MESSAGES", 10)
    cipher = CardCipher(counting, 1)
    for number in range(25):
        cipher.encrypt(PAN, f"tok_1{number}", 1)

    assert len(counting.wraps) == 3
    assert counting.unwraps == 0


def test_thousand_cards_need_the_key_store_once_at_most(counting):
    cipher = CardCipher(counting, 1)
    for number in range(encryption.MAX_MESSAGES):
        cipher.encrypt("4242424242424242424", f"tok_1{number}", 1)

    assert encryption.MAX_MESSAGES >= 1000
    assert len(counting.wraps) == 1


def test_any_version_of_the_kek_opens_and_the_chosen_one_wraps(counting):
    old = CardCipher(counting, 1).encrypt(PAN, TOKEN, 1)
    cipher = CardCipher(counting, 2)

    new = cipher.renew(old, TOKEN, 1)

    assert [wrapped[1:3] for wrapped in counting.wraps] == [b"\x00\x01", b"\x00\x02"]
    assert {CardCipher(counting, 1).decrypt(message, TOKEN, 1) for message in (old, new)} == {PAN}


def test_context_of_a_message_names_token_scope_and_key_version(cipher):
    message = cipher.encrypt(PAN, TOKEN, 3)

    for bound in (TOKEN, "scope", "card-number", "token_key_version"):
        assert bound.encode() in message


@given(message=st.binary(max_size=100), other=st.binary(min_size=32, max_size=32))
def test_lock_opens_with_its_own_key_and_token_only(message, other):
    key = bytes(range(32))
    locked = lock(message, key, TOKEN)

    assert unlock(locked, key, TOKEN) == message
    for wrong in ((locked, other, TOKEN), (locked, key, TOKEN + "b"), (locked[:-1], key, TOKEN), (b"", key, TOKEN)):
        if wrong[1] != key or wrong[2] != TOKEN or wrong[0] != locked:
            with pytest.raises(CiphertextRefused) as refused:
                unlock(*wrong)
            assert refused.value.__context__ is None


def test_no_two_locks_are_alike():
    assert len({lock(b"same", bytes(32), TOKEN)[:12] for _ in range(1000)}) == 1000


@pytest.mark.parametrize(("limit", "value"), [("MAX_AGE", 1e-9), ("MAX_BYTES", 16)])
def test_age_and_bytes_end_a_data_keys_life(counting, monkeypatch, limit, value):
    monkeypatch.setattr(encryption, limit, value)
    cipher = CardCipher(counting, 1)
    for _ in range(5):
        cipher.encrypt(PAN, TOKEN, 1)

    assert len(counting.wraps) == 5


def test_message_is_committed_and_unsigned(cipher):
    ciphertext = cipher.encrypt(PAN, TOKEN, 1)

    assert ciphertext[0] == 2  # message format version 2: key commitment
    assert ciphertext[1:3] == bytes.fromhex("0478")  # without signature
