"""Card keys: what is destroyed when a card is shredded.

Every holding has a random 256-bit key of its own, in a table without backups (`vault-card-keys`), and its ciphertext is
locked with it once more (AES-256-GCM, NIST SP 800-38D). Secrecy does not rest on it, that is the key store's part
(encryption.py): a card opens with both. Once the card key is gone, no copy of the ciphertext opens any more, whether in
a backup, a stream or the other region (cryptographic erase: NIST SP 800-88, 2.5).

A card key is stored before the holding that names it and deleted after it: what is held can be opened. `created_at`
(Unix seconds) is for the walk that finds keys which nothing names (walk.py).
"""

import os
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from functions.vault.errors import CiphertextRefused
from functions.vault.table import Key, Table, number

_KEY_BYTES = 32
_IV_BYTES = 12


class CardKeys:
    """The card keys of all regions."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, token: str, merchant_id: str, region: str, now: float) -> tuple[str, bytes]:
        """A new card key: its name, and itself."""
        key_id, key = f"{merchant_id}#{region}#{secrets.token_hex(8)}", os.urandom(_KEY_BYTES)
        self._table.put((token, key_id), {"key": {"B": key}, "created_at": number(int(now))})
        return key_id, key

    def read(self, token: str, key_id: str) -> bytes | None:
        """The card key; None if it was destroyed, or has not been replicated yet."""
        item = self._table.get((token, key_id))
        return None if item is None else bytes(item["key"]["B"])

    def destroy(self, token: str, key_id: str) -> None:
        """Deletes a card key for good; may be repeated."""
        key: Key = (token, key_id)
        self._table.delete(key)


def lock(message: bytes, card_key: bytes, token: str) -> bytes:
    """IV (12 bytes), ciphertext and tag; the token is authenticated."""
    iv = os.urandom(_IV_BYTES)
    return iv + AESGCM(card_key).encrypt(iv, message, token.encode())


def unlock(locked: bytes, card_key: bytes, token: str) -> bytes:
    """The message again. Raises CiphertextRefused if it was altered, or belongs to another key or token."""
    try:
        return AESGCM(card_key).decrypt(locked[:_IV_BYTES], locked[_IV_BYTES:], token.encode())
    except (InvalidTag, ValueError):
        pass
    raise CiphertextRefused("a stored card was altered, or belongs to another token or key")
