"""How a key store wraps: the same on every device, because all it asks of the device is a PRF.

A wrapped key is `0x02 | version (2 bytes) | salt (32) | IV (12) | AES-256-GCM ciphertext and tag`. Each wrapping has a
key of its own, derived from the KEK, the salt and the context, so that no device's way with IVs can repeat one.
"""

import hashlib
import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from functions.vault.errors import InvalidRequest, NotProvisioned, UnwrapRefused
from functions.vault.keys import KEY_BYTES

SALT_BYTES = 32
IV_BYTES = 12  # NIST SP 800-38D, 5.2.1.1
CHECK_VALUE_BYTES = 8
MAX_VERSION = 0xFFFF

_FORMAT = 2
_HEADER = struct.Struct(">BH")
_SALT = slice(_HEADER.size, _HEADER.size + SALT_BYTES)
_IV = slice(_SALT.stop, _SALT.stop + IV_BYTES)
_TAG_BYTES = 16


class PrfKeyStore(ABC):
    """A KeyStore over a device that can compute HMAC-SHA-256 under a KEK it keeps to itself."""

    @property
    @abstractmethod
    def label(self) -> str:
        """See KeyStore."""

    @abstractmethod
    def create(self, version: int) -> None:
        """See KeyStore. Raises InvalidRequest for a version out of range."""

    @abstractmethod
    def _prf(self, version: int, message: bytes) -> bytes:
        """HMAC-SHA-256 of `message` under that version of the KEK. Raises NotProvisioned if it is not there."""

    @abstractmethod
    def _present(self) -> Iterable[int]:
        """The versions that are there."""

    def wrap(self, plaintext: bytes, context: bytes, version: int) -> bytes:
        """See KeyStore. Raises InvalidRequest for a version out of range."""
        require_version(version)
        header, salt, iv = _HEADER.pack(_FORMAT, version), os.urandom(SALT_BYTES), os.urandom(IV_BYTES)
        aead = AESGCM(self._wrapping_key(version, salt, context))
        return header + salt + iv + aead.encrypt(iv, plaintext, self._associated_data(header, context))

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See KeyStore."""
        if len(wrapped) >= _IV.stop + _TAG_BYTES and wrapped[0] == _FORMAT:
            header = wrapped[: _HEADER.size]
            version: int = _HEADER.unpack(header)[1]
            try:
                aead = AESGCM(self._wrapping_key(version, wrapped[_SALT], context))
                return aead.decrypt(wrapped[_IV], wrapped[_IV.stop :], self._associated_data(header, context))
            except (InvalidTag, NotProvisioned):
                pass
        raise UnwrapRefused(f"a wrapped key was refused by key store {self.label}")

    def versions(self) -> dict[int, str]:
        """See KeyStore."""
        return {version: self._check_value(version) for version in sorted(self._present())}

    def _wrapping_key(self, version: int, salt: bytes, context: bytes) -> bytes:
        return self._derive(version, b"payments-vault/wrapping-key", salt + hashlib.sha256(context).digest(), KEY_BYTES)

    def _check_value(self, version: int) -> str:
        return self._derive(version, b"payments-vault/check-value", b"", CHECK_VALUE_BYTES).hex()

    def _derive(self, version: int, purpose: bytes, context: bytes, length: int) -> bytes:
        """NIST SP 800-108r1, 4.1 (counter mode), for an output that one run of the PRF fills."""
        fixed = purpose + b"\x00" + context + (8 * length).to_bytes(4, "big")
        return self._prf(version, (1).to_bytes(4, "big") + fixed)[:length]

    def _associated_data(self, header: bytes, context: bytes) -> bytes:
        label = self.label.encode()
        return header + len(label).to_bytes(2, "big") + label + context

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.label})"


def kek_version_of(wrapped: bytes) -> int:
    """Which version of the KEK wrapped a key, as the wrapped key says."""
    version: int = _HEADER.unpack(wrapped[: _HEADER.size])[1]
    return version


def require_version(version: int) -> None:
    """Raises InvalidRequest unless a wrapped key can name the version."""
    if not 1 <= version <= MAX_VERSION:
        raise InvalidRequest(f"a key-encryption key's version is between 1 and {MAX_VERSION}")
