"""Seals a card for the vault: a compact JWE (RFC 7516) that only the vault can open.

ECDH-ES (RFC 7518, section 4.6) to the vault's P-256 key, content in A256GCM; the header, with merchant, nonce and
times, is authenticated with the content. Merchants can copy this file: it needs joserfc from PyPI and nothing else of
the platform. docs/sealing.md says how to use it, docs/seal_card.js does the same in a browser.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from joserfc.jwe import JWERegistry, encrypt_compact
from joserfc.jwk import ECKey

LIFETIME_S = 300
"""Seconds an envelope is good for unless said otherwise; the vault opens none that is made for more than 3,600."""

# joserfc knows no header fields of ours, and would refuse them if it were strict.
_REGISTRY = JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)


def seal_card(
    card: Mapping[str, Any] | bytes,
    public_jwk: Mapping[str, Any],
    merchant_id: str,
    nonce: str,
    now: int,
    lifetime_s: int = LIFETIME_S,
) -> str:
    """The envelope of `card`: `number`, `exp_month`, `exp_year` and `cvc`, or the same already encoded as JSON.

    `public_jwk` is the first key of `GET /api/v1/vault/public_key`; `nonce` a new random text for every payment, and
    `tokens` for `POST /api/v1/tokens`; `now` Unix time in seconds. Raises `ValueError` when the key is none on P-256.
    """
    header = {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": public_jwk["kid"],
        "merchant": merchant_id,
        "nonce": nonce,
        "iat": now,
        "exp": now + lifetime_s,
    }
    content = card if isinstance(card, bytes) else json.dumps(card).encode()
    return encrypt_compact(header, content, _key(public_jwk["x"], public_jwk["y"]), registry=_REGISTRY)


@lru_cache(maxsize=8)
def _key(x: str, y: str) -> ECKey:
    """The point as a key; kept, because decoding it is a quarter of the work."""
    return ECKey.import_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})
