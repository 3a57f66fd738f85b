"""Sealed cards: compact JWE (RFC 7516) to the vault's P-256 key, ECDH-ES (RFC 7518, 4.6) and A256GCM, nothing else.

Only opening is here; whoever holds the public key can seal. The header is the GCM's associated data, so what it says
about merchant and time is as authentic as the card.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwe import JWERegistry, decrypt_compact
from joserfc.jwk import ECKey

from functions.vault.cards import Rejection

ALGORITHMS = ("ECDH-ES", "A256GCM")
MAX_ENVELOPE = 4_096  # characters; a sealed card has about 550
MAX_PLAINTEXT = 1_024  # bytes; a card has about 80
MAX_LIFETIME = 3_600  # seconds from iat to exp
CLOCK_SKEW = 60  # seconds

SEALED_CARD_INVALID = Rejection("sealed_card_invalid", "The sealed card cannot be opened for this merchant.")

# Unknown header fields are harmless and some libraries add them; critical ones and compression are refused below.
_REGISTRY = JWERegistry(algorithms=ALGORITHMS, strict_check_header=False)


@dataclass(frozen=True)
class SealingKey:
    """A private key of the vault. `public_jwk` is what merchants see: kid (RFC 7638 thumbprint), use enc, ECDH-ES."""

    version: int
    kid: str
    public_jwk: dict[str, str]
    private: ECKey = field(repr=False)


@dataclass(frozen=True)
class Envelope:
    """What was sealed: the card's fields, which no representation shows, the nonce, and until when it opens."""

    fields: Mapping[str, Any] = field(repr=False)
    nonce: str
    expires_at: int


def open_envelope(envelope: object, merchant_id: str, now: float, keys: Sequence[SealingKey]) -> Envelope | Rejection:
    """What is sealed in `envelope` for `merchant_id`, valid at Unix second `now`.

    One rejection for every reason, so that nobody can learn from it which check failed.
    """
    if not isinstance(envelope, str) or len(envelope) > MAX_ENVELOPE:
        return SEALED_CARD_INVALID
    opened = _decrypt(envelope, keys)
    if opened is None:
        return SEALED_CARD_INVALID
    header, plaintext = opened
    if not _addressed(header, merchant_id) or not _current(header, now) or len(plaintext) > MAX_PLAINTEXT:
        return SEALED_CARD_INVALID
    card = _decode(plaintext)
    if card is None:
        return SEALED_CARD_INVALID
    return Envelope(card, header["nonce"], header["exp"] + CLOCK_SKEW)


def _decrypt(envelope: str, keys: Sequence[SealingKey]) -> tuple[dict[str, Any], bytes] | None:
    try:
        message = decrypt_compact(envelope, lambda recipient: _key_for(recipient.headers(), keys), registry=_REGISTRY)
        return message.protected, message.plaintext or b""
    except Exception:  # noqa: BLE001 - hostile bytes: whatever they make the parser raise is a refusal
        return None


def _key_for(header: Mapping[str, Any], keys: Sequence[SealingKey]) -> ECKey:
    """The key the header asks for, before any cryptography is spent on it."""
    if (header.get("alg"), header.get("enc")) != ALGORITHMS or "zip" in header or "crit" in header:
        raise ValueError
    return next(key.private for key in keys if key.kid == header.get("kid"))


def _addressed(header: Mapping[str, Any], merchant_id: str) -> bool:
    nonce = header.get("nonce")
    if not isinstance(nonce, str) or not (nonce.isascii() and nonce.isprintable()):
        return False
    return header.get("merchant") == merchant_id and 0 < len(nonce) <= 128


def _current(header: Mapping[str, Any], now: float) -> bool:
    issued, expires = header.get("iat"), header.get("exp")
    if type(issued) is not int or type(expires) is not int:
        return False
    return issued - CLOCK_SKEW <= now < expires + CLOCK_SKEW and 0 < expires - issued <= MAX_LIFETIME


def _decode(plaintext: bytes) -> dict[str, Any] | None:
    try:
        card = json.loads(plaintext)
    except (ValueError, RecursionError):
        return None
    return card if isinstance(card, dict) else None
