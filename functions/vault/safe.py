"""The two locks of a card number: one that the key store keeps, and one that can be thrown away.

The number is encrypted under data keys that only the key store can unwrap (encryption.py), and the message is locked
once more under the holding's own card key (card_keys.py). It takes both to open it.
"""

from dataclasses import replace

from functions.vault.card_keys import CardKeys, lock, unlock
from functions.vault.encryption import CardCipher
from functions.vault.errors import CardKeyMissing, CiphertextRefused
from functions.vault.holdings import Holding, Locked
from functions.vault.keys import KeyStore
from functions.vault.ring import Rings
from functions.vault.tokens import TokenKey, token_of


class Safe:
    """Locks and opens card numbers for one region's holdings."""

    def __init__(self, key_store: KeyStore, rings: Rings, card_keys: CardKeys, region: str) -> None:
        self._key_store = key_store
        self._rings = rings
        self._card_keys = card_keys
        self._region = region
        self._cipher: CardCipher | None = None

    def lock(self, pan: str, token: str, key: TokenKey, merchant_id: str, now: float) -> Locked:
        """The number under both locks, with a new card key, which is stored already."""
        cipher = self._current_cipher(now)
        message = cipher.encrypt(pan, token, key.version)
        return self._lock(message, token, merchant_id, key.version, cipher.kek_version, now)

    def copy(self, holding: Holding, now: float) -> Locked:
        """The same number under a card key of our own, and under the current key-encryption key: the other region may
        be behind with a rotation. Raises CardKeyMissing, CiphertextRefused."""
        cipher, locked, token = self._current_cipher(now), holding.locked, holding.token
        message = unlock(locked.ciphertext, self._card_key(holding), token)
        if locked.kek_version != cipher.kek_version:
            message = cipher.renew(message, token, locked.token_key_version)
        return self._lock(message, token, holding.merchant_id, locked.token_key_version, cipher.kek_version, now)

    def renew(self, holding: Holding, now: float) -> Locked:
        """The same number encrypted under the current key-encryption key. Raises CardKeyMissing, CiphertextRefused."""
        cipher, card_key, locked = self._current_cipher(now), self._card_key(holding), holding.locked
        message = unlock(locked.ciphertext, card_key, holding.token)
        message = cipher.renew(message, holding.token, locked.token_key_version)
        ciphertext = lock(message, card_key, holding.token)
        return replace(locked, ciphertext=ciphertext, kek_version=cipher.kek_version)

    def current(self, holding: Holding, now: float) -> bool:
        """Whether the number is encrypted under the current key-encryption key."""
        return holding.locked.kek_version == self._rings.ring().kek_version(now)

    def check_lock(self, holding: Holding) -> None:
        """Raises CardKeyMissing if the card key is not there, CiphertextRefused if what it locks was altered."""
        unlock(holding.locked.ciphertext, self._card_key(holding), holding.token)

    def prove(self, holding: Holding, now: float) -> None:
        """Raises CiphertextRefused unless the number opens and is that of the token and of the facts beside it,
        CardKeyMissing if the card key is not here, and NotProvisioned if the token key is not here yet."""
        locked, token, facts = holding.locked, holding.token, holding.facts
        message = unlock(locked.ciphertext, self._card_key(holding), token)
        pan = self._current_cipher(now).decrypt(message, token, locked.token_key_version)
        key = self._rings.token_key(locked.token_key_version)
        if token_of(pan, key) != token or not pan.startswith(facts.bin) or not pan.endswith(facts.last4):
            raise CiphertextRefused("a stored card is not the one its item describes")

    def destroy(self, token: str, card_key: str) -> None:
        """Throws a card key away: nothing opens its ciphertext any more, nor any copy of it."""
        self._card_keys.destroy(token, card_key)

    def _lock(
        self, message: bytes, token: str, merchant_id: str, token_key_version: int, kek_version: int, now: float
    ) -> Locked:
        key_id, card_key = self._card_keys.create(token, merchant_id, self._region, now)
        return Locked(lock(message, card_key, token), key_id, token_key_version, kek_version)

    def _card_key(self, holding: Holding) -> bytes:
        card_key = self._card_keys.read(holding.token, holding.locked.card_key)
        if card_key is None:
            raise CardKeyMissing("a card's key has not been replicated yet, or was destroyed")
        return card_key

    def _current_cipher(self, now: float) -> CardCipher:
        version = self._rings.ring().kek_version(now)
        if self._cipher is None or self._cipher.kek_version != version:
            self._cipher = CardCipher(self._key_store, version)
        return self._cipher
