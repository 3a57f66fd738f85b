"""What lists may be of, and the key that a value has there (docs/interfaces.md, "Lists and rules").

The fraud function makes the same keys of a charge; a test holds the two together.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from ipaddress import IPv6Network, ip_network

from functions.operations.settings import settings
from payments.errors import InvalidRequest
from payments.rest import bodies, card_numbers

GLOBAL = "global"

PREFIXES = {4: (8, 16, 24, 32), 6: (32, 48, 64, 128)}
"""Lengths of the prefixes of IP ranges: the fraud function asks for all of an address at once, so they are few."""

_DIGEST = 32
_LONGEST_KEY = 72
_LONGEST_EMAIL = 320

_MERCHANT = re.compile(r"mer_[a-z2-7]{24}")
_TOKEN = re.compile(r"tok_[a-z0-9]{20,80}")
_BIN = re.compile(r"[0-9]{6}(?:[0-9]{2})?")
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_EMAIL_DIGEST = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Listed:
    """A value of a list: its type, its key in the table, how it is shown, and the kind of list that it makes one of."""

    type: str
    key: str
    shown: str
    kind: str

    @property
    def entry(self) -> str:
        """The name of its item."""
        return f"list#{self.type}#{self.key}"


def listed(kind: str, value: str, scope: str) -> Listed:
    """The value of a list of this type, in a scope. Raises `InvalidRequest`, and never tells what was sent."""
    if kind not in _TYPES:
        raise _refused("type", f"A list is of one of: {', '.join(_TYPES)}.")
    if not value or len(value) > bodies.MAXIMUM_TEXT or not value.isprintable():
        raise _refused("value", f"A value has 1 to {bodies.MAXIMUM_TEXT} printable characters.")
    if kind == "customer" and scope == GLOBAL:
        raise _refused("scope", "Merchants name customers as they like: a list of customers belongs to a merchant.")
    if kind != "ip":
        card_numbers.refuse(value, "value")
    return _TYPES[kind](value)


def check_scope(scope: str) -> None:
    """Raises `InvalidRequest` when it is neither `global` nor a merchant's id."""
    if scope != GLOBAL and not _MERCHANT.fullmatch(scope):
        raise _refused("scope", "A scope is `global` or a merchant's id.")


def _card(value: str) -> Listed:
    if not _TOKEN.fullmatch(value):
        raise _refused("value", "A card is listed by its token.")
    return Listed("card", value, value, "card")


def _bin(value: str) -> Listed:
    if not _BIN.fullmatch(value):
        raise _refused("value", "A BIN has six or eight digits.")
    return Listed("bin", value, value, "bin")


def _country(value: str) -> Listed:
    if not _COUNTRY.fullmatch(value):
        raise _refused("value", "A country is two letters (ISO 3166-1).")
    return Listed("country", value.upper(), value.upper(), "country")


def _email(value: str) -> Listed:
    """An address, of which only a digest is kept and shown, or such a digest."""
    if "@" not in value:
        if not _EMAIL_DIGEST.fullmatch(value):
            raise _refused("value", "An e-mail address has an @; its digest, as lists show it, 40 hex digits.")
        return Listed("email", value, value, "email")
    if len(value) > _LONGEST_EMAIL:
        raise _refused("value", f"An e-mail address has at most {_LONGEST_EMAIL} characters.")
    known, key = f"email#{value.strip().lower()}".encode(), settings().profile_digest_key.encode()
    digest = blake2b(known, digest_size=20, key=key).hexdigest()
    return Listed("email", digest, digest, "email")


def _ip(value: str) -> Listed:
    try:
        network = ip_network(value)
    except ValueError:
        raise _refused("value", "An IP range is `address/length`, without bits beyond its length.") from None
    if isinstance(network, IPv6Network):
        card_numbers.refuse(value, "value")
        if "%" in value or network.network_address.ipv4_mapped:
            raise _refused("value", "Write an IPv4 range as such, and an IPv6 range without a zone.")
    if network.prefixlen not in PREFIXES[network.version]:
        lengths = "; ".join(f"IPv{version}: {', '.join(map(str, some))}" for version, some in PREFIXES.items())
        raise _refused("value", f"The length of a range is one of {lengths}. Take several shorter or longer ones.")
    return Listed("ip", str(network), str(network), f"ip{network.version}/{network.prefixlen}")


def _named(kind: str) -> Callable[[str], Listed]:
    def named(value: str) -> Listed:
        plain = len(value) <= _LONGEST_KEY and value.isascii()
        return Listed(kind, value if plain else f"#{_mark(value)}", value, kind)

    return named


def _mark(text: str) -> str:
    """32 base64url characters of a text's SHA-256."""
    return urlsafe_b64encode(sha256(text.encode()).digest()[:24])[:_DIGEST].decode()


def _refused(param: str, sentence: str) -> InvalidRequest:
    return InvalidRequest("invalid_field", sentence, param=param)


_TYPES: Mapping[str, Callable[[str], Listed]] = {
    "bin": _bin,
    "card": _card,
    "country": _country,
    "customer": _named("customer"),
    "device": _named("device"),
    "email": _email,
    "ip": _ip,
}
