"""Making and rotating the vault's own keys: the operator's side of the key ring.

Every step may be repeated and finds what an earlier try has done, and each leaves a ring that works. Only the first
region does this: of two writers global tables would keep one, and the other's tokens and envelopes would be lost.
"""

import json
import os
from typing import Any

from joserfc.jwk import ECKey

from functions.vault.errors import InvalidRequest, NotProvisioned
from functions.vault.keys import KEY_BYTES, KeyStore
from functions.vault.ring import MINIMUM_LEAD, PARTITION, Rings, Version, public_jwk, wrapping_context
from functions.vault.table import Item, Table, number
from functions.vault.wrapping import kek_version_of

SEALING_OVERLAP = 86_400
"""Seconds an old sealing key opens envelopes after a new one took over; an envelope lives an hour at most."""

MAXIMUM_LEAD = 7 * 86_400

_LAST_VERSION = 9  # a token shows its key's version as one digit


class KeyRing:
    """The ring as an operator changes it. `now` is in Unix seconds."""

    def __init__(self, table: Table, key_store: KeyStore) -> None:
        self._table = table
        self._key_store = key_store
        self._rings = Rings(table, key_store)

    def provision(self, now: float) -> None:
        """Makes the first version of every key where there is none, and proves that all of them open.

        Safe to run twice or in parallel in one region. Raises UnwrapRefused if another key store wrapped them.
        """
        since = int(now)
        if not self._has("kek"):
            self._key_store.create(1)
            self._add("kek", 1, since)
        for kind in ("token", "sealing"):
            if not self._has(kind):
                self._add(kind, 1, since)
        ring = self._rings.read()
        _ = ring.token_keys, ring.sealing_keys(now)  # unwraps them all

    def rotate(self, kind: str, lead_s: int, now: float) -> None:
        """Announces a new token or sealing key, current in `lead_s` seconds; if one is announced already, that is it.

        The sealing key it replaces opens envelopes for another SEALING_OVERLAP seconds, and is deleted by a later
        rotation. A token key is never deleted: tokens made with it are found with it.
        """
        if kind not in ("token", "sealing"):
            raise InvalidRequest("key must be token or sealing")
        _check_lead(lead_s)
        ring = self._rings.read()
        newest = ring.of(kind)[-1]
        if newest.current_from <= now:
            if newest.number >= _LAST_VERSION and kind == "token":
                raise InvalidRequest(f"there are {_LAST_VERSION} token keys already; a token has room for no more")
            self._add(kind, newest.number + 1, int(now) + lead_s)
        if kind == "sealing":
            self._retire_sealing_keys(now)

    def create_kek(self, now: float) -> None:
        """Makes the next version of the key-encryption key in this region's key store, if it is not there yet."""
        self._key_store.create(self._rings.read().kek_version(now) + 1)

    def activate_kek(self, version: int, check_value: str, lead_s: int, now: float) -> None:
        """Makes a version of the key-encryption key current in `lead_s` seconds and wraps the ring's keys with it.

        `check_value` is what the other region's key store says of it: both must hold the same key, or that region could
        open nothing any more. Raises InvalidRequest if this region's says otherwise, or has no such version.
        """
        _check_lead(lead_s)
        if type(version) is not int or self._key_store.versions().get(version) != check_value:
            raise InvalidRequest("this region's key store does not have that version with that check value")
        ring = self._rings.read()
        if version < ring.of("kek")[-1].number:
            raise InvalidRequest("a newer version of the key-encryption key is current already")
        self._add("kek", version, int(now) + lead_s)
        for kind in ("token", "sealing"):
            for key in ring.of(kind):
                self._rewrap(key, version)

    def describe(self, now: float) -> dict[str, Any]:
        """What there is, without anything secret; see docs/interfaces.md."""
        ring = self._rings.read()
        newest, current = ring.of("kek")[-1], ring.kek_version(now)
        announced = {"version": newest.number, "current_from": newest.current_from}
        return {
            "kek": {"version": current, "next": announced if newest.number != current else None},
            "token": [_described(version) for version in ring.of("token")],
            "sealing": [
                _described(version)
                | {"kid": json.loads(version.item["public_jwk"]["S"])["kid"], "retires_at": version.retires_at}
                for version in ring.of("sealing")
            ],
        }

    def _has(self, kind: str) -> bool:
        try:
            return bool(self._rings.read().of(kind))
        except NotProvisioned:
            return False

    def _add(self, kind: str, version: int, current_from: int) -> None:
        """A new version, unless there is one of that number already.

        It is wrapped by the newest key-encryption key, current or announced: all regions have that one, and the older
        ones may be destroyed as soon as it is current.
        """
        name = f"{kind}#{version}"
        item: Item = {"current_from": number(current_from), "kind": {"S": "key"}}
        if kind != "kek":
            secret, public = _new_key(kind)
            kek_version = self._rings.read().of("kek")[-1].number
            item |= {"wrapped": {"B": self._key_store.wrap(secret, wrapping_context(name), kek_version)}, **public}
        self._table.put((PARTITION, name), item, "attribute_not_exists(#token)")

    def _rewrap(self, key: Version, kek_version: int) -> None:
        wrapped, context = key.item["wrapped"], wrapping_context(key.name)
        secret = self._key_store.unwrap(bytes(wrapped["B"]), context)
        values: Item = {":old": wrapped, ":new": {"B": self._key_store.wrap(secret, context, kek_version)}}
        self._table.update((PARTITION, key.name), "SET #wrapped = :new", values, "#wrapped = :old")

    def _retire_sealing_keys(self, now: float) -> None:
        """All but the newest retire SEALING_OVERLAP seconds after that one has taken over; retired ones are deleted."""
        *older, newest = self._rings.read().of("sealing")
        for key in older:
            if key.retired(now):
                self._table.delete((PARTITION, key.name))
            elif key.retires_at is None:
                values = {":at": number(newest.current_from + SEALING_OVERLAP)}
                self._table.update((PARTITION, key.name), "SET #retires_at = :at", values, "attribute_exists(#token)")


def _described(version: Version) -> dict[str, Any]:
    wrapped = bytes(version.item["wrapped"]["B"])
    return {
        "version": version.number,
        "current_from": version.current_from,
        "kek_version": kek_version_of(wrapped),
    }


def _check_lead(lead_s: object) -> None:
    """All containers must know a key before it is used, and a typing error must not block a key for years."""
    if type(lead_s) is not int or not MINIMUM_LEAD <= lead_s <= MAXIMUM_LEAD:
        raise InvalidRequest(f"lead_s must be {MINIMUM_LEAD} to {MAXIMUM_LEAD} seconds")


def _new_key(kind: str) -> tuple[bytes, Item]:
    """A new secret and what may be shown of it."""
    if kind == "token":
        return os.urandom(KEY_BYTES), {}
    private = ECKey.generate_key("P-256", auto_kid=False)
    public = json.dumps(public_jwk(private), sort_keys=True)
    return json.dumps(private.as_dict(private=True)).encode(), {"public_jwk": {"S": public}}
