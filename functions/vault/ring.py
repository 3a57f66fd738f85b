"""The key ring: which versions of the vault's own keys there are, and which is current.

All its items are in the partition `ring` of `vault-tokens`: `kek#<n>` (no more than when version n of the key store's
key is used from), `token#<n>` and `sealing#<n>` (each with its key, wrapped by the key store). Only the first region
writes them (rotation.py). Every version has its `current_from`, at least a few refreshes ahead, so that by then all
containers in both regions know it and change over at the same time.
"""

import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from joserfc.jwk import ECKey

from functions.vault.errors import NotProvisioned, UnwrapRefused
from functions.vault.keys import KeyStore
from functions.vault.sealing import SealingKey
from functions.vault.table import Item, Table, integer, key_of
from functions.vault.tokens import TokenKey

PARTITION = "ring"
REFRESH_SECONDS = 10
"""How old a container's view of the ring may be."""

MINIMUM_LEAD = 3 * REFRESH_SECONDS
"""How far ahead a new version is announced: refresh, replication and differing clocks take less."""


Opened = dict[tuple[str, bytes], Any]
"""Keys by their version's name and wrapped form, so that a refresh unwraps nothing twice."""


@dataclass(frozen=True)
class Version:
    """One version of one key. Times are Unix seconds; `retires_at` is set where a newer version has taken over."""

    kind: str
    number: int
    current_from: int
    retires_at: int | None
    item: Item

    @property
    def name(self) -> str:
        """Its sort key, such as `token#1`."""
        return f"{self.kind}#{self.number}"

    def retired(self, now: float) -> bool:
        """Whether it is not accepted any more."""
        return self.retires_at is not None and self.retires_at <= now


class Ring:
    """The versions as they were read, and their keys, each unwrapped when it is first asked for."""

    def __init__(self, versions: Sequence[Version], key_store: KeyStore, opened: Opened) -> None:
        self._versions = sorted(versions, key=lambda version: version.number)
        self._key_store = key_store
        self._opened = opened

    @property
    def empty(self) -> bool:
        """Whether the vault has no keys at all."""
        return not self._versions

    @property
    def names(self) -> list[str]:
        """The names of all versions of all keys."""
        return sorted(version.name for version in self._versions)

    def of(self, kind: str) -> list[Version]:
        """All versions of a kind (`kek`, `token`, `sealing`), oldest first. Raises NotProvisioned if there is none."""
        found = [version for version in self._versions if version.kind == kind]
        if not found:
            raise NotProvisioned(f"no {kind} key in the table: provision the vault, or wait for replication")
        return found

    def current(self, kind: str, now: float) -> Version:
        """The newest version whose time has come."""
        versions = self.of(kind)
        return next((v for v in reversed(versions) if v.current_from <= now), versions[0])

    def kek_version(self, now: float) -> int:
        """Which version of the key store's key wraps."""
        return self.current("kek", now).number

    @cached_property
    def token_keys(self) -> list[TokenKey]:
        """All token keys, oldest first."""
        return [self._opened_once(version, self._open_token_key) for version in self.of("token")]

    def current_token_key(self, now: float) -> TokenKey:
        """The key new tokens are made with."""
        number = self.current("token", now).number
        return next(key for key in self.token_keys if key.version == number)

    def sealing_keys(self, now: float) -> list[SealingKey]:
        """The keys envelopes may be sealed to, the current one first."""
        current = self.current("sealing", now)
        others = [v for v in self.of("sealing") if v is not current and not v.retired(now)]
        return [self._opened_once(version, self._open_sealing_key) for version in (current, *reversed(others))]

    def published(self, now: float) -> list[dict[str, str]]:
        """The public halves that merchants may seal to, the current one first; not those whose time is to come."""
        current = self.current("sealing", now).number
        coming = {version.number for version in self.of("sealing") if version.number > current}
        return [key.public_jwk for key in self.sealing_keys(now) if key.version not in coming]

    def _opened_once(self, version: Version, opener: Any) -> Any:
        known = version.name, bytes(version.item["wrapped"]["B"])
        if known not in self._opened:
            self._opened[known] = opener(version, self._key_store.unwrap(known[1], wrapping_context(version.name)))
        return self._opened[known]

    @staticmethod
    def _open_token_key(version: Version, secret: bytes) -> TokenKey:
        return TokenKey(version.number, secret)

    @staticmethod
    def _open_sealing_key(version: Version, secret: bytes) -> SealingKey:
        """The public half is derived from the private one: an altered one would have cards sealed to a thief."""
        private = ECKey.import_key(json.loads(secret))
        public = public_jwk(private)
        if not hmac.compare_digest(version.item["public_jwk"]["S"], json.dumps(public, sort_keys=True)):
            raise UnwrapRefused("the stored public sealing key is not that of the private one")
        return SealingKey(version.number, public["kid"], public, private)


class Rings:
    """The ring as a container sees it: read again when it is older than REFRESH_SECONDS."""

    def __init__(self, table: Table, key_store: KeyStore) -> None:
        self._table = table
        self._key_store = key_store
        self._opened: Opened = {}
        self._ring: Ring | None = None
        self._read_at = (0.0, 0.0)

    def ring(self) -> Ring:
        """The ring. Raises NotProvisioned, UnwrapRefused when its keys are asked for."""
        if self._ring is None or self._ring.empty or self._age() >= REFRESH_SECONDS:
            return self.read()
        return self._ring

    def token_key(self, version: int) -> TokenKey:
        """A token key, also one that came in the last seconds. Raises NotProvisioned if it is not here."""
        for ring in (self.ring(), self.fresh()):
            for key in ring.token_keys:
                if key.version == version:
                    return key
        raise NotProvisioned(f"token key {version} is not in the table: wait for replication")

    def fresh(self) -> Ring:
        """The ring, at most a second old: for what it does not know, though not for whoever makes things up."""
        return self.read() if self._age() >= 1 else self.ring()

    def read(self) -> Ring:
        """The ring as it is now. Keys that were opened before are not unwrapped again."""
        self._read_at = _clocks()
        versions = [read_version(item) for item in self._table.query(PARTITION)]
        present = {(v.name, bytes(v.item["wrapped"]["B"])) for v in versions if "wrapped" in v.item}
        self._opened = {known: key for known, key in self._opened.items() if known in present}
        self._ring = Ring(versions, self._key_store, self._opened)
        return self._ring

    def _age(self) -> float:
        return max(now - then for now, then in zip(_clocks(), self._read_at, strict=True))


def _clocks() -> tuple[float, float]:
    """One clock that nobody sets, and one that goes on while a container is frozen."""
    return time.monotonic(), time.time()


def read_version(item: Item) -> Version:
    """The version in an item of the ring."""
    kind, _, number = key_of(item)[1].partition("#")
    return Version(kind, int(number), integer(item, "current_from") or 0, integer(item, "retires_at"), item)


def public_jwk(key: ECKey) -> dict[str, str]:
    """What merchants see of a sealing key: a JWK (RFC 7517) with its RFC 7638 thumbprint as kid."""
    point = key.as_dict(private=False)
    public = {name: str(point[name]) for name in ("kty", "crv", "x", "y")}
    return public | {"kid": key.thumbprint(), "use": "enc", "alg": "ECDH-ES"}


def wrapping_context(name: str) -> bytes:
    """What a ring key is bound to when it is wrapped."""
    return b"vault-key:" + name.encode()
