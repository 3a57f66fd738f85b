"""The key store: what wraps the vault's keys, behind two methods an HSM adapter can offer as well as a file."""

import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from functions.vault.errors import InvalidRequest, KeyStoreForbidden, KeyStoreUnusable, NotProvisioned, UnwrapRefused

KEY_BYTES = 32
IV_BYTES = 12  # NIST SP 800-38D, 5.2.1.1; drawn at random here, never left to the device
_FORMAT = b"\x01"


class KeyStore(Protocol):
    """Wraps keys with one that never leaves it. `context` (bytes) must be the same at both ends."""

    @property
    def label(self) -> str:
        """Names the wrapping key and its version; not secret."""

    def wrap(self, plaintext: bytes, context: bytes) -> bytes:
        """The wrapped key: opaque, different every time. The adapter chooses the IV."""

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key again. Raises UnwrapRefused if it was altered, or wrapped by another key or for another context."""


class FileKeyStore:
    """A 256-bit AES-GCM key in a file, for one machine only: it protects nothing from whoever reads the disk.

    A wrapped key is format 0x01, IV (12 bytes), ciphertext, tag (16 bytes); label and context are authenticated.
    """

    def __init__(self, path: Path, environment: str) -> None:
        """Raises KeyStoreForbidden outside `local`, NotProvisioned without the file, KeyStoreUnusable for a bad one."""
        _refuse_outside_local(environment)
        key = _read_key(path)
        self._aead = AESGCM(key)
        self._label = "file:" + hashlib.sha256(b"payments-vault/kek-label\x00" + key).hexdigest()[:16]

    @classmethod
    def create(cls, path: Path, environment: str) -> "FileKeyStore":
        """The store at `path`, with a new key if there is none. The key appears whole or not at all, mode 0600."""
        _refuse_outside_local(environment)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _create_key(path)
        return cls(path, environment)

    @property
    def label(self) -> str:
        """`file:` and a fingerprint of the key."""
        return self._label

    def wrap(self, plaintext: bytes, context: bytes) -> bytes:
        """See KeyStore."""
        iv = os.urandom(IV_BYTES)
        return _FORMAT + iv + self._aead.encrypt(iv, plaintext, self._associated_data(context))

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See KeyStore."""
        iv, sealed = wrapped[1 : 1 + IV_BYTES], wrapped[1 + IV_BYTES :]
        if wrapped[:1] == _FORMAT and len(iv) == IV_BYTES:
            try:
                return self._aead.decrypt(iv, sealed, self._associated_data(context))
            except InvalidTag:
                pass
        raise UnwrapRefused(f"a wrapped key was refused by key store {self._label}")

    def _associated_data(self, context: bytes) -> bytes:
        return _FORMAT + self._label.encode() + b"\x00" + context

    def __repr__(self) -> str:
        return f"FileKeyStore({self._label})"


def open_key_store(setting: str, environment: str) -> KeyStore:
    """The key store `setting` names: `file:<absolute path>`. Errors: those of FileKeyStore, and InvalidRequest."""
    return FileKeyStore(_file_path(setting), environment)


def create_key_store(setting: str, environment: str) -> KeyStore:
    """As `open_key_store`, but makes the wrapping key where it is absent. Safe to run twice, or in parallel."""
    return FileKeyStore.create(_file_path(setting), environment)


def _file_path(setting: str) -> Path:
    scheme, _, address = setting.partition(":")
    if scheme != "file" or not address.startswith("/"):
        raise InvalidRequest("KEY_STORE must be file:<absolute path>; no other key store is built in")
    return Path(address)


def _refuse_outside_local(environment: str) -> None:
    if environment != "local":
        raise KeyStoreForbidden("a file key store may be used only where ENVIRONMENT is local")


def _read_key(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        key = path.read_bytes()
    except FileNotFoundError:
        raise NotProvisioned(f"no key at {path}: run payments-vault-provision") from None
    except OSError as error:
        raise KeyStoreUnusable(f"the key at {path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise KeyStoreUnusable(f"the key at {path} is readable by others: its mode must be 0600")
    if len(key) != KEY_BYTES:
        raise KeyStoreUnusable(f"the key at {path} is not {KEY_BYTES} bytes long")
    return key


def _create_key(path: Path) -> None:
    """Writes beside, then links: of several that try at once one wins, and nobody sees half a key."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
