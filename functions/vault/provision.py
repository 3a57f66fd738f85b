"""The vault's own keys: made once, wrapped by the key store, kept as items of the table, loaded by the handlers.

The table is global, so the keys are made in one region and replicated. The sealing key
is rotated by adding a version here, provisioning, and dropping the old one when its last envelopes have expired.
"""

import hmac
import json
import os

from joserfc.jwk import ECKey

from functions.vault.errors import NotProvisioned, UnwrapRefused
from functions.vault.keys import KEY_BYTES, KeyStore
from functions.vault.sealing import SealingKey
from functions.vault.store import Item, TokenStore
from functions.vault.tokens import TokenKey

TOKEN_KEY_VERSION = 1
SEALING_KEY_VERSIONS = (1,)  # those envelopes may be sealed to, the one merchants are given first
TOKEN_KEY_ITEM = f"key#token#{TOKEN_KEY_VERSION}"


def provision(store: TokenStore, key_store: KeyStore) -> tuple[TokenKey, tuple[SealingKey, ...]]:
    """Makes the keys that are absent, changes none, and returns what is then stored, proven to open.

    Safe to run twice or in parallel in one region. Raises UnwrapRefused if another key store wrapped them.
    """
    if store.read_key(TOKEN_KEY_ITEM) is None:
        wrapped = key_store.wrap(os.urandom(KEY_BYTES), _context(TOKEN_KEY_ITEM))
        store.create_key(TOKEN_KEY_ITEM, _item(wrapped, key_store))
    for name in map(sealing_key_item, SEALING_KEY_VERSIONS):
        if store.read_key(name) is None:
            private = ECKey.generate_key("P-256", auto_kid=False)
            wrapped = key_store.wrap(json.dumps(private.as_dict(private=True)).encode(), _context(name))
            public = {"public_jwk": {"S": json.dumps(_public_jwk(private), sort_keys=True)}}
            store.create_key(name, _item(wrapped, key_store) | public)
    return load_token_key(store, key_store), load_sealing_keys(store, key_store)


def sealing_key_item(version: int) -> str:
    """The name of a sealing key's item."""
    return f"key#sealing#{version}"


def load_token_key(store: TokenStore, key_store: KeyStore) -> TokenKey:
    """The key behind the tokens. Raises NotProvisioned, UnwrapRefused."""
    return TokenKey(TOKEN_KEY_VERSION, _unwrap(_read(store, TOKEN_KEY_ITEM), TOKEN_KEY_ITEM, key_store))


def load_sealing_keys(store: TokenStore, key_store: KeyStore) -> tuple[SealingKey, ...]:
    """The keys behind sealed cards, the current one first. Raises NotProvisioned, UnwrapRefused.

    The public half is derived from the private one and compared: an altered one would have cards sealed to a thief.
    """
    return tuple(_load_sealing_key(store, sealing_key_item(version), key_store) for version in SEALING_KEY_VERSIONS)


def _load_sealing_key(store: TokenStore, name: str, key_store: KeyStore) -> SealingKey:
    item = _read(store, name)
    private = ECKey.import_key(json.loads(_unwrap(item, name, key_store)))
    public = _public_jwk(private)
    if not hmac.compare_digest(item["public_jwk"]["S"], json.dumps(public, sort_keys=True)):
        raise UnwrapRefused("the stored public sealing key is not that of the private one")
    return SealingKey(public["kid"], public, private)


def _public_jwk(key: ECKey) -> dict[str, str]:
    point = key.as_dict(private=False)
    public = {name: str(point[name]) for name in ("kty", "crv", "x", "y")}
    return public | {"kid": key.thumbprint(), "use": "enc", "alg": "ECDH-ES"}


def _item(wrapped: bytes, key_store: KeyStore) -> Item:
    return {"wrapped": {"B": wrapped}, "key_store": {"S": key_store.label}}


def _read(store: TokenStore, name: str) -> Item:
    item = store.read_key(name)
    if item is None:
        raise NotProvisioned(f"no {name} in the table: run payments-vault-provision, or wait for replication")
    return item


def _unwrap(item: Item, name: str, key_store: KeyStore) -> bytes:
    return key_store.unwrap(bytes(item["wrapped"]["B"]), _context(name))


def _context(name: str) -> bytes:
    return b"vault-key:" + name.encode()
