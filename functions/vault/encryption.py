"""Card numbers at rest: AWS Encryption SDK messages under data keys that the key store wraps.

Suite 0x0478, AES-256-GCM with HKDF and key commitment, without signature: the same roles encrypt and decrypt, and the
signature would cost ten times the encryption (docs.aws.amazon.com/encryption-sdk: "Supported algorithm suites").
"""

import io
import json
import logging
import os
from typing import Any

import attr
from aws_encryption_sdk import CachingCryptoMaterialsManager, CommitmentPolicy, EncryptionSDKClient
from aws_encryption_sdk.caches.local import LocalCryptoMaterialsCache
from aws_encryption_sdk.exceptions import DecryptKeyError
from aws_encryption_sdk.identifiers import Algorithm
from aws_encryption_sdk.key_providers.base import MasterKey, MasterKeyConfig
from aws_encryption_sdk.materials_managers.base import CryptoMaterialsManager
from aws_encryption_sdk.structures import DataKey, EncryptedDataKey

from functions.vault.errors import CiphertextRefused, UnwrapRefused, VaultError
from functions.vault.keys import KeyStore

SUITE = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY

# One data key serves this much of one container's work, then the key store wraps the next: it bounds both the load on
# the key store and how many cards one data key opens.
MAX_AGE = 300.0  # seconds
MAX_MESSAGES = 2_000
MAX_BYTES = 40_000  # of plaintext; a card number is 14 to 19
CACHED_KEYS = 1_000  # what decryption meets: the data keys of many containers

_KEY_CONTEXT = {"purpose": "card"}
_SCOPE = "card-number"  # what the message holds, for all merchants alike

logging.getLogger("aws_encryption_sdk").setLevel(logging.WARNING)  # it names every context and key at INFO


class CardCipher:
    """Encrypts card numbers, each bound to its token and the version of its token key. New data keys are wrapped by
    version `kek_version` of the key store's key; whichever version wrapped them opens them."""

    def __init__(self, key_store: KeyStore, kek_version: int) -> None:
        self.kek_version = kek_version
        self._client = EncryptionSDKClient(
            commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, max_encrypted_data_keys=1
        )
        self._materials = _SharedDataKeys(
            _KeyStoreMasterKey(key_id=key_store.label, key_store=key_store, kek_version=kek_version)
        )

    def encrypt(self, pan: str, token: str, token_key_version: int) -> bytes:
        """The Encryption SDK message of `pan`. Raises what the key store raises."""
        ciphertext, _ = self._client.encrypt(
            source=pan.encode(),
            materials_manager=self._materials,
            algorithm=SUITE,
            encryption_context=_card_context(token, token_key_version),
        )
        return bytes(ciphertext)

    def decrypt(self, ciphertext: bytes, token: str, token_key_version: int) -> str:
        """The number `encrypt` was given. Raises CiphertextRefused if anything about the message is not as it was."""
        pan = self._open(ciphertext, _card_context(token, token_key_version))
        if pan is None:
            raise CiphertextRefused("a stored card was altered, or belongs to another token")
        return pan

    def renew(self, ciphertext: bytes, token: str, token_key_version: int) -> bytes:
        """Another message of the same number, under a current data key. Raises as `decrypt` and `encrypt` do."""
        return self.encrypt(self.decrypt(ciphertext, token, token_key_version), token, token_key_version)

    def _open(self, ciphertext: bytes, context: dict[str, str]) -> str | None:
        source = io.BytesIO(ciphertext)
        try:
            with self._client.stream(
                mode="decrypt-unsigned", source=source, materials_manager=self._materials
            ) as message:
                pan: bytes = message.read()
                whole = source.tell() == len(ciphertext)  # the SDK ignores what follows the last frame
                return pan.decode("ascii") if whole and message.header.encryption_context == context else None
        except VaultError:
            raise
        except Exception:  # noqa: BLE001 - whatever the parser makes of altered bytes, its message stays here
            return None


def _card_context(token: str, token_key_version: int) -> dict[str, str]:
    return {"token": token, "scope": _SCOPE, "token_key_version": str(token_key_version)}


@attr.s(hash=True)
class _Config(MasterKeyConfig):  # type: ignore[misc]
    provider_id = "payments-vault"
    key_store: KeyStore = attr.ib(hash=False)
    kek_version: int = attr.ib(default=1)


class _KeyStoreMasterKey(MasterKey):  # type: ignore[misc]
    """Lets the Encryption SDK wrap its data keys with our key store."""

    provider_id = "payments-vault"
    _config_class = _Config

    # The SDK passes these arguments by keyword, so the unused ones keep their names.

    def _generate_data_key(self, algorithm: Any, encryption_context: dict[str, str]) -> Any:
        key = os.urandom(algorithm.kdf_input_len)
        return DataKey(self.key_provider, key, self._wrap(key, encryption_context))

    def _encrypt_data_key(
        self,
        data_key: Any,
        algorithm: Any,  # noqa: ARG002
        encryption_context: dict[str, str],
    ) -> Any:
        return EncryptedDataKey(self.key_provider, self._wrap(data_key.data_key, encryption_context))

    def _decrypt_data_key(
        self,
        encrypted_data_key: Any,
        algorithm: Any,  # noqa: ARG002
        encryption_context: dict[str, str],
    ) -> Any:
        wrapped = encrypted_data_key.encrypted_data_key
        try:
            key = self._key_store.unwrap(wrapped, _wrapping_context(encryption_context))
        except UnwrapRefused:
            raise DecryptKeyError("the key store refused the data key") from None
        return DataKey(self.key_provider, key, wrapped)

    def _wrap(self, key: bytes, encryption_context: dict[str, str]) -> bytes:
        return self._key_store.wrap(key, _wrapping_context(encryption_context), self.config.kek_version)

    @property
    def _key_store(self) -> KeyStore:
        store: KeyStore = self.config.key_store
        return store


def _wrapping_context(encryption_context: dict[str, str]) -> bytes:
    return b"data-key:" + json.dumps(encryption_context, sort_keys=True).encode()


class _SharedDataKeys(CryptoMaterialsManager):  # type: ignore[misc]
    """Caches data keys across tokens.

    The SDK's cache looks a key up by the whole encryption context; ours names the token, so it would never hit and
    every charge would cost a call to the HSM. Data keys are therefore cached and wrapped under a context all cards
    share, and the full context goes into each message's header. There it is authenticated under a key derived from
    the data key and a random message id, which still ties each message to one token.
    """

    def __init__(self, master_key: _KeyStoreMasterKey) -> None:
        self._cached = CachingCryptoMaterialsManager(
            master_key_provider=master_key,
            cache=LocalCryptoMaterialsCache(capacity=CACHED_KEYS),
            max_age=MAX_AGE,
            max_messages_encrypted=MAX_MESSAGES,
            max_bytes_encrypted=MAX_BYTES,
        )

    def get_encryption_materials(self, request: Any) -> Any:
        """The SDK's request, answered from the cache."""
        shared = self._cached.get_encryption_materials(attr.evolve(request, encryption_context=dict(_KEY_CONTEXT)))
        return attr.evolve(shared, encryption_context=dict(request.encryption_context))

    def decrypt_materials(self, request: Any) -> Any:
        """The SDK's request, answered from the cache. The message's own context is checked by CardCipher."""
        return self._cached.decrypt_materials(attr.evolve(request, encryption_context=dict(_KEY_CONTEXT)))
