"""What lists can be of in a charge, and the keys that lists have it under (docs/interfaces.md, "Lists and rules").

Pure. The operators' API writes the same keys; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from functions.fraud.charge import KEY_LENGTH
from functions.fraud.history import mark

# Lengths of the prefixes that lists of IP ranges may have: few, so that all of an address can be asked for at once.
PREFIXES = {4: (8, 16, 24, 32), 6: (32, 48, 64, 128)}

_RANGES = frozenset(f"ip{version}/{length}" for version, lengths in PREFIXES.items() for length in lengths)

_DIGEST = 32
"""Characters of a name's digest (history.mark), 192 bits."""

_EMAIL_DIGEST = 20
"""Bytes of an e-mail address's."""


@dataclass(frozen=True, slots=True)
class Presented:
    """What a charge shows that lists may be of, as the merchant sent it, but of the e-mail address a digest only
    (email_key); empty where it sent nothing."""

    card: str
    bins: tuple[str, ...] = ()
    email: str = ""
    country: str = ""
    device: str = ""
    customer: str = ""
    ip: str = ""


def presented(event: Mapping[str, Any], digest_key: str) -> Presented:
    """What the saga's request to the fraud function shows (docs/interfaces.md). Raises KeyError or TypeError if it is
    not as agreed."""
    card, customer, device = event["card"], event.get("customer") or {}, event.get("device") or {}
    email = customer.get("email")
    return Presented(
        card=card["token"],
        bins=tuple(digits for digits in (card.get("bin"), card.get("bin8")) if digits),
        email=email_key(email, digest_key) if email else "",
        country=(customer.get("billing_address") or {}).get("country") or "",
        device=device.get("fingerprint") or "",
        customer=customer.get("id") or "",
        ip=device.get("ip") or "",
    )


def entries(shown: Presented, kinds: frozenset[str]) -> list[tuple[str, str]]:
    """Kinds and names in the table of the list entries that would be about this charge, of these kinds only.

    A kind is a type of list; lists of IP ranges have one for each length of prefix, such as `ip4/24`.
    """
    found = [(kind, f"list#{kind}#{key}") for kind, keys in _KEYS.items() if kind in kinds for key in keys(shown)]
    if shown.ip and not kinds.isdisjoint(_RANGES):
        found += _ranges(shown.ip, kinds)
    return found


def email_key(email: str, digest_key: str) -> str:
    """An e-mail address is never stored: a digest of it, without blanks around it and in small letters, under a key
    that only those who write and read lists have. Who reads the table can then not try addresses."""
    known = f"email#{email.strip().lower()}".encode()
    return blake2b(known, digest_size=_EMAIL_DIGEST, key=digest_key.encode()).hexdigest()


def name_key(name: str) -> str:
    """A name of the merchant's own making, or a digest where it is too long for a key or not plain."""
    return name if len(name) <= KEY_LENGTH and name.isascii() else f"#{mark(name, _DIGEST)}"


def _ranges(text: str, kinds: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Ranges around an address; none if it is no address. An IPv4 address written as IPv6 (RFC 4291, 2.5.5.2) counts
    as what it is."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    for length in PREFIXES[address.version]:
        kind = f"ip{address.version}/{length}"
        if kind in kinds:
            yield kind, f"list#ip#{_first(address, length)}/{length}"


def _first(address: IPv4Address | IPv6Address, length: int) -> IPv4Address | IPv6Address:
    """The first address of the range of this length that an address is in."""
    rest = address.max_prefixlen - length
    return type(address)(int(address) >> rest << rest)


_KEYS: Mapping[str, Callable[[Presented], tuple[str, ...]]] = {
    "card": lambda shown: (shown.card,),
    "bin": lambda shown: shown.bins,
    "email": lambda shown: (shown.email,) if shown.email else (),
    "country": lambda shown: (shown.country.upper(),) if shown.country else (),
    "device": lambda shown: (name_key(shown.device),) if shown.device else (),
    "customer": lambda shown: (name_key(shown.customer),) if shown.customer else (),
}
