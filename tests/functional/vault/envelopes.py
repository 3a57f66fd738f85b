"""Seals cards as a merchant would, with joserfc and the vault's public key only."""

import json
import time
from typing import Any

from joserfc.jwe import JWERegistry, encrypt_compact
from joserfc.jwk import ECKey

PAN = "4242424242424242"
CARD = {"number": PAN, "exp_month": 12, "exp_year": 2031, "cvc": "737"}
OTHER = {**CARD, "number": "5555555555554444"}
MERCHANT = "mer_1"


def seal(
    jwk: dict[str, str], card: object = None, merchant: str = MERCHANT, now: int | None = None, **header: Any
) -> str:
    """A compact JWE of `card`; `header` overrides header fields, None leaves one out."""
    issued = int(time.time()) if now is None else now
    fields = {
        "alg": "ECDH-ES", "enc": "A256GCM", "kid": jwk["kid"], "merchant": merchant, "nonce": "n-1",
        "iat": issued, "exp": issued + 300,
    } | header  # fmt: skip
    protected = {name: value for name, value in fields.items() if value is not None}
    plaintext = card if isinstance(card, bytes) else json.dumps(CARD if card is None else card).encode()
    key = ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")})
    algorithms = [str(protected["alg"]), str(protected["enc"]), "DEF"]
    return encrypt_compact(
        protected, plaintext, key, registry=JWERegistry(algorithms=algorithms, strict_check_header=False)
    )
