"""The two ways we give merchants to seal a card, in Python and in a browser, opened by the vault's own code."""

import base64
import json
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from functions.vault.sealing import SEALED_CARD_INVALID, Envelope, SealingKey, open_envelope
from payments.sealing import seal_card

ROOT = Path(__file__).parents[2]
NOW = 1_795_000_000
MERCHANT = "mer_1"
CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2031, "cvc": "123"}
CARDS = st.fixed_dictionaries(
    {
        "number": st.text("0123456789 -", max_size=30),
        "exp_month": st.integers(-1, 13),
        "exp_year": st.integers(0, 9999),
        "cvc": st.none() | st.text(max_size=20),
    }
)

# `vm` runs the file as a <script> would; it is not made a module first.
DRIVER = """
const fs = require("node:fs");
require("node:vm").runInThisContext(fs.readFileSync(process.argv[1], "utf8"));
const orders = JSON.parse(fs.readFileSync(0, "utf8"));
(async () => {
  const envelopes = [];
  for (const order of orders) envelopes.push(await sealCard(...order));
  console.log(JSON.stringify(envelopes));
})();
"""


def sealing_key(private: ECKey) -> SealingKey:
    """A key as the vault publishes it."""
    kid = private.thumbprint()
    public = {**private.as_dict(private=False), "kid": kid, "use": "enc", "alg": "ECDH-ES"}
    return SealingKey(version=1, kid=kid, public_jwk=public, private=private)


KEY = sealing_key(ECKey.generate_key("P-256"))
P384 = ECKey.generate_key("P-384").as_dict(private=False)


def seal_in_javascript(*orders: tuple) -> list[str]:
    """The envelopes `docs/seal_card.js` makes of these arguments, in one process of the project's own Node."""
    node = ROOT / "node_modules" / ".bin" / "node"
    run = subprocess.run(
        [node, "-e", DRIVER, ROOT / "docs" / "seal_card.js"],
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def opened(envelope: str, merchant: str = MERCHANT, now: float = NOW, key: SealingKey = KEY):
    outcome = open_envelope(envelope, merchant, now, [key])
    return outcome.fields if isinstance(outcome, Envelope) else outcome


def decoded(base64url: str) -> bytes:
    return base64.urlsafe_b64decode(base64url + "=" * (-len(base64url) % 4))


def header_of(envelope: str) -> dict:
    return json.loads(decoded(envelope.split(".")[0]))


def key_with_leading_zero(coordinate: str) -> SealingKey:
    """A key of which this coordinate begins with a zero byte, as one in 256 does."""
    keys = (ECKey.generate_key("P-256") for _ in range(20_000))
    return next(sealing_key(key) for key in keys if decoded(key.as_dict()[coordinate])[0] == 0)


@given(CARDS, st.text("abc-123", min_size=1, max_size=128))
def test_vault_opens_what_python_seals(card, nonce):
    envelope = open_envelope(seal_card(card, KEY.public_jwk, MERCHANT, nonce, NOW), MERCHANT, NOW, [KEY])

    assert (envelope.fields, envelope.nonce) == (card, nonce)


def test_card_that_is_json_already_is_sealed_as_it_is():
    assert opened(seal_card(json.dumps(CARD).encode(), KEY.public_jwk, MERCHANT, "n", NOW)) == CARD


def test_header_says_what_the_contract_says_and_the_card_is_hidden():
    envelope = seal_card(CARD, KEY.public_jwk, MERCHANT, "n", NOW, lifetime_s=60)
    header = header_of(envelope)

    assert header.pop("epk").keys() == {"kty", "crv", "x", "y"}
    assert header == {
        "alg": "ECDH-ES", "enc": "A256GCM", "kid": KEY.kid,
        "merchant": MERCHANT, "nonce": "n", "iat": NOW, "exp": NOW + 60,
    }  # fmt: skip
    assert CARD["number"] not in envelope


def test_same_card_is_never_sealed_alike():
    assert seal_card(CARD, KEY.public_jwk, MERCHANT, "n", NOW) != seal_card(CARD, KEY.public_jwk, MERCHANT, "n", NOW)


def test_envelope_opens_for_its_merchant_its_key_and_its_time_only():
    envelope = seal_card(CARD, KEY.public_jwk, MERCHANT, "n", NOW)

    assert opened(envelope) == CARD
    assert opened(envelope, merchant="mer_2") == SEALED_CARD_INVALID
    assert opened(envelope, now=NOW + 3_600) == SEALED_CARD_INVALID
    assert opened(envelope, now=NOW - 3_600) == SEALED_CARD_INVALID
    assert opened(envelope, key=sealing_key(ECKey.generate_key("P-256"))) == SEALED_CARD_INVALID


@pytest.mark.parametrize("change", [{"x": KEY.public_jwk["y"]}, P384, {"x": "AQ"}, {"x": ""}, {"y": "!"}])
def test_nothing_is_sealed_to_what_is_no_p256_key(change):
    with pytest.raises(ValueError):  # noqa: PT011 - joserfc's and base64's own
        seal_card(CARD, {**KEY.public_jwk, **change}, MERCHANT, "n", NOW)


@pytest.mark.parametrize("coordinate", ["x", "y"])
def test_vaults_key_may_begin_with_zeros(coordinate):
    key = key_with_leading_zero(coordinate)
    by_python = seal_card(CARD, key.public_jwk, MERCHANT, "n", int(time.time()))
    (by_javascript,) = seal_in_javascript((CARD, key.public_jwk, MERCHANT))

    assert opened(by_python, now=time.time(), key=key) == opened(by_javascript, now=time.time(), key=key) == CARD


def test_vault_opens_every_envelope_of_the_browser_snippet():
    """A thousand: a coordinate or secret that begins with a zero byte, one in 256 each, is among them."""
    cards = [{**CARD, "number": f"{number:016d}"} for number in range(1_000)]
    envelopes = seal_in_javascript(*((card, KEY.public_jwk, MERCHANT) for card in cards))

    assert [opened(envelope, now=time.time()) for envelope in envelopes] == cards
    headers = [header_of(envelope) for envelope in envelopes]
    assert {len(header["epk"][name]) for header in headers for name in ("x", "y")} == {43}  # 32 bytes
    assert len({header["nonce"] for header in headers}) == 1_000
    assert len({envelope.split(".")[2] for envelope in envelopes}) == 1_000


def test_snippet_seals_any_text_and_the_nonce_it_is_given():
    card = {**CARD, "cvc": "٣€😀\"\\"}  # fmt: skip
    (envelope,) = seal_in_javascript((card, KEY.public_jwk, MERCHANT, "tokens"))

    assert opened(envelope, now=time.time()) == card
    assert header_of(envelope)["nonce"] == "tokens"


def test_snippets_envelope_opens_on_customers_whose_clock_is_minutes_wrong():
    (envelope,) = seal_in_javascript((CARD, KEY.public_jwk, MERCHANT))
    now = time.time()

    assert opened(envelope, now=now - 590) == opened(envelope, now=now + 1_790) == CARD
    assert opened(envelope, now=now - 700) == opened(envelope, now=now + 1_900) == SEALED_CARD_INVALID


def test_snippets_envelope_opens_for_its_merchant_only():
    (envelope,) = seal_in_javascript((CARD, KEY.public_jwk, MERCHANT))

    assert opened(envelope, merchant="mer_2", now=time.time()) == SEALED_CARD_INVALID
