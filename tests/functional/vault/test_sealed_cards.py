"""Which envelopes the vault opens, and for whom."""

import base64
import json

import pytest
from joserfc.jwk import ECKey

from functions.vault.holdings import UNUSED_LIFETIME
from tests.functional.vault.envelopes import CARD, PAN, seal


def code_of(vault, envelope):
    before = vault.items()
    answer = vault.submit({"sealed_card": envelope})
    if answer["result"] == "tokenized":
        return "tokenized"
    assert vault.items() == before
    assert PAN not in str(answer)
    return answer["code"]


def test_envelope_sealed_to_the_published_key_opens(vault):
    assert code_of(vault, vault.sealed()) == "tokenized"


def test_header_fields_a_library_adds_do_no_harm(vault):
    assert code_of(vault, vault.sealed(typ="JOSE", cty="json")) == "tokenized"


def test_envelope_for_another_merchant_is_refused(vault):
    assert code_of(vault, vault.sealed(merchant="mer_2")) == "sealed_card_invalid"


@pytest.mark.parametrize(
    ("issued", "lifetime", "expected"),
    [
        (0, 300, "tokenized"), (-300, 300, "tokenized"), (-359, 300, "tokenized"), (-360, 300, "sealed_card_invalid"),
        (60, 300, "tokenized"), (61, 300, "sealed_card_invalid"), (0, 3600, "tokenized"),
        (0, 3601, "sealed_card_invalid"), (0, 0, "sealed_card_invalid"), (0, -10, "sealed_card_invalid"),
    ],
)  # fmt: skip
def test_envelope_opens_in_its_time_give_or_take_a_minute(vault, issued, lifetime, expected):
    envelope = vault.sealed(iat=vault.now + issued, exp=vault.now + issued + lifetime)

    assert code_of(vault, envelope) == expected


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "unknown"}, {"kid": None}, {"merchant": None}, {"nonce": None}, {"nonce": ""}, {"nonce": "n" * 129},
        {"iat": None}, {"exp": None}, {"iat": "1790000000"}, {"exp": 1.8e9}, {"exp": True}, {"zip": "DEF"},
        {"enc": "A128GCM"}, {"enc": "A128CBC-HS256"}, {"alg": "ECDH-ES+A256KW"},
    ],
)  # fmt: skip
def test_envelope_with_another_header_is_refused(vault, header):
    assert code_of(vault, vault.sealed(**header)) == "sealed_card_invalid"


def test_envelope_sealed_to_another_key_under_our_kid_is_refused(vault):
    theirs = ECKey.generate_key("P-256").as_dict(private=False)

    assert code_of(vault, seal({**theirs, "kid": vault.jwk()["kid"]}, now=vault.now)) == "sealed_card_invalid"


def test_envelope_with_any_segment_altered_is_refused(vault):
    envelope = vault.sealed()
    for place in range(0, len(envelope) - 1, 7):
        replacement = "A" if envelope[place] != "A" else "B"
        assert code_of(vault, envelope[:place] + replacement + envelope[place + 1 :]) == "sealed_card_invalid"


def test_header_of_another_envelope_does_not_fit(vault):
    header = vault.sealed(nonce="other").split(".")[0]

    assert code_of(vault, ".".join([header, *vault.sealed().split(".")[1:]])) == "sealed_card_invalid"


@pytest.mark.parametrize("alg", ["none", "dir", "RSA-OAEP", "", None, ["ECDH-ES"], 1, {}])
def test_forged_algorithm_is_refused(vault, alg):
    header, *rest = vault.sealed().split(".")
    fields = json.loads(base64.urlsafe_b64decode(header + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(fields | {"alg": alg}).encode()).decode().rstrip("=")

    assert code_of(vault, ".".join([forged, *rest])) == "sealed_card_invalid"


@pytest.mark.parametrize("epk", [None, {}, {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}, "x", {"kty": "RSA"}])
def test_ephemeral_key_off_the_curve_is_refused(vault, epk):
    header, *rest = vault.sealed().split(".")
    fields = json.loads(base64.urlsafe_b64decode(header + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(fields | {"epk": epk}).encode()).decode().rstrip("=")

    assert code_of(vault, ".".join([forged, *rest])) == "sealed_card_invalid"


@pytest.mark.parametrize(
    "envelope", ["", "....", "a.b.c.d.e", "x" * 5_000_000, PAN, None, 4242424242424242, ["x"], "é"]
)
def test_what_is_no_envelope_is_refused(vault, envelope):
    assert code_of(vault, envelope) == "sealed_card_invalid"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"1", b'"x"', b"[" * 900, b'{"number": ' + b"1" * 1100])
def test_sealed_nonsense_is_refused(vault, content):
    assert code_of(vault, vault.sealed(content)) == "sealed_card_invalid"


def test_huge_card_in_a_proper_envelope_is_refused(vault):
    assert code_of(vault, vault.sealed({**CARD, "padding": "x" * 1100})) == "sealed_card_invalid"
    assert code_of(vault, vault.sealed({**CARD, "padding": "x" * 10_000})) == "sealed_card_invalid"


def served(vault, envelope, payment, attempt="att_1"):
    answer = vault.submit({"sealed_card": envelope}, attempt, payment=payment)
    return answer.get("code", answer["result"])


def test_envelope_serves_one_payment_and_its_retries(vault):
    envelope = vault.sealed(nonce="n-9")

    assert served(vault, envelope, "pay_1") == "tokenized"
    assert served(vault, envelope, "pay_1", "att_2") == "tokenized"
    assert served(vault, envelope, "pay_2") == "sealed_card_invalid"
    vault.replicate()
    vault.move_to("us-west-2")
    assert served(vault, envelope, "pay_2") == "sealed_card_invalid"
    assert served(vault, envelope, "pay_1", "att_3") == "tokenized"


def test_same_nonce_of_another_merchant_is_another_envelope(vault):
    assert served(vault, vault.sealed(nonce="n-9"), "pay_1") == "tokenized"
    answer = vault.submit({"sealed_card": vault.sealed(merchant="mer_2", nonce="n-9")}, "att_2", "mer_2", "pay_2")
    assert answer["result"] == "tokenized"


def test_envelope_that_names_its_payment_serves_no_other_and_leaves_no_note(vault):
    envelope = vault.sealed(nonce="pay_1")

    assert served(vault, envelope, "pay_2") == "sealed_card_invalid"
    assert served(vault, envelope, "pay_1") == "tokenized"
    assert not [item for item in vault.items() if item["token"].startswith("envelope#")]


def test_envelope_of_a_refused_card_serves_nobody_yet(vault):
    envelope = vault.sealed({**CARD, "cvc": "1"}, nonce="n-9")

    assert served(vault, envelope, "pay_1") == "invalid_cvc"
    assert not [item for item in vault.items() if item["token"].startswith("envelope#")]


def test_note_of_an_envelope_lives_as_long_as_the_envelope_opens(vault):
    envelope = vault.sealed(nonce="n-9")
    served(vault, envelope, "pay_1")
    (note,) = [item for item in vault.items() if item["token"].startswith("envelope#")]

    assert note["delete_after"] == vault.now + 300 + 60
    assert PAN not in str(note)
    vault.now = int(note["delete_after"])
    assert served(vault, envelope, "pay_1") == "sealed_card_invalid"


def test_stored_card_can_be_charged_later_and_a_failed_charge_does_not_cut_its_life(vault):
    answer = vault.store(vault.sealed(nonce="n-9"))
    token = answer["card"]["token"]

    assert answer["result"] == "tokenized"
    assert answer["expires_at"] == vault.now + UNUSED_LIFETIME
    assert vault.charge_token(token, "att_1") == "tokenized"
    assert vault.release(token, "att_1") == "kept"
    vault.now += UNUSED_LIFETIME - 1
    assert vault.charge_token(token, "att_2") == "tokenized"


def test_used_card_that_is_stored_says_that_it_does_not_expire(vault):
    vault.detokenize(vault.token())

    assert vault.store(vault.sealed(nonce="tokens"))["expires_at"] is None


def test_envelope_is_for_storing_or_for_a_payment(vault):
    stored = vault.sealed(nonce="n-9")
    vault.store(stored)
    charged = vault.sealed(nonce="n-8")
    served(vault, charged, "pay_1")

    assert vault.store(stored)["result"] == "tokenized"
    assert served(vault, stored, "pay_1") == "sealed_card_invalid"
    assert vault.store(charged)["code"] == "sealed_card_invalid"
    assert served(vault, vault.sealed(nonce="tokens"), "pay_1") == "sealed_card_invalid"
    assert vault.store(vault.sealed(nonce="pay_1"))["code"] == "sealed_card_invalid"


@pytest.mark.parametrize("nonce", ["\ud800", "é", "a\nb", "\x00"])
def test_nonce_that_is_no_text_is_refused(vault, nonce):
    assert vault.tokenize(nonce=nonce)["code"] == "sealed_card_invalid"
