"""The key store: what wraps the vault's keys. An HSM in AWS, SoftHSM or a directory on one machine."""

from typing import Protocol

from functions.vault.errors import InvalidRequest

KEY_BYTES = 32


class KeyStore(Protocol):
    """Wraps keys with a key-encryption key (KEK) that never leaves it. KEKs have versions: 1, 2, …"""

    @property
    def label(self) -> str:
        """Names the KEK, without its version; not secret."""

    def wrap(self, plaintext: bytes, context: bytes, version: int) -> bytes:
        """The key wrapped for `context` by that version of the KEK: opaque, and different every time.

        Raises NotProvisioned if that version is not there.
        """

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key again; which version wrapped it is read from `wrapped`.

        Raises UnwrapRefused if it was altered, or wrapped by a KEK that is not here, or for another context.
        """

    def versions(self) -> dict[int, str]:
        """Every version that is there, with its check value (hex): equal for equal keys, and says nothing of them."""

    def create(self, version: int) -> None:
        """Makes that version of the KEK where it is absent. Safe to run twice, or in parallel."""


def open_key_store(setting: str, environment: str) -> KeyStore:
    """The key store that `KEY_STORE` names (docs/interfaces.md, "Key stores"). It connects when it is first used.

    Raises InvalidRequest for a setting of another form, KeyStoreForbidden for one this environment must not use.
    """
    scheme, _, address = setting.partition(":")
    if scheme == "file":
        from functions.vault.file_store import FileKeyStore

        return FileKeyStore(address, environment)
    if scheme == "pkcs11":
        from functions.vault.pkcs11_store import Pkcs11KeyStore  # imports a C library that nothing else needs

        return Pkcs11KeyStore(setting, environment)
    raise InvalidRequest("KEY_STORE must be a pkcs11: URI or file:<absolute path of a directory>")
