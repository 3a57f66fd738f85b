"""Tokens: a keyed pseudorandom function of the card number.

The same card has the same token in every region without coordination, and nobody without the key can reverse or
enumerate it (HMAC as a PRF: RFC 2104, FIPS 198-1).
"""

import base64
import hmac
import re
from dataclasses import dataclass, field

_DOMAIN = b"payments-vault/pan-token/v%d\x00"
_FORM = re.compile(r"tok_[1-9][a-z2-7]{52}")


@dataclass(frozen=True)
class TokenKey:
    """A 256-bit secret and its version, 1–9, which is part of every token made with it."""

    version: int
    secret: bytes = field(repr=False)


def token_of(pan: str, key: TokenKey) -> str:
    """`tok_`, the key's version and 52 base32 characters: the HMAC-SHA-256 of the normalized number, all 256 bits."""
    mac = hmac.digest(key.secret, _DOMAIN % key.version + pan.encode(), "sha256")
    return f"tok_{key.version}{base64.b32encode(mac).decode().rstrip('=').lower()}"


def is_token(value: object) -> bool:
    """Whether `value` has the form of a token. The vault's own key items have another, so no token can name them."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None
