"""Key-encryption keys in a directory, for one machine only: it protects nothing from whoever reads the disk."""

import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from functions.vault.errors import InvalidRequest, KeyStoreForbidden, KeyStoreUnusable, NotProvisioned
from functions.vault.keys import KEY_BYTES
from functions.vault.wrapping import MAX_VERSION, PrfKeyStore, require_version

_NAME = re.compile(r"kek-([1-9][0-9]{0,4})")


class FileKeyStore(PrfKeyStore):
    """Version n is the file `kek-<n>`: 32 random bytes, mode 0600. A file is read once, when its version is first used.

    Whatever uses a file raises KeyStoreUnusable if it cannot be read, is readable by others or has another length.
    """

    def __init__(self, directory: str, environment: str) -> None:
        """Raises KeyStoreForbidden outside `local`, InvalidRequest for a path that is not absolute."""
        if environment != "local":
            raise KeyStoreForbidden("a file key store may be used only where ENVIRONMENT is local")
        if not directory.startswith("/"):
            raise InvalidRequest("KEY_STORE must be file:<absolute path of a directory>")
        self._directory = Path(directory)
        self._keys: dict[int, bytes] = {}

    @property
    def label(self) -> str:
        """`file:` and the directory's name."""
        return f"file:{self._directory.name}"

    def create(self, version: int) -> None:
        """See KeyStore. The key appears whole or not at all."""
        require_version(version)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(version)
        if not path.exists():
            _create_key(path)

    def _prf(self, version: int, message: bytes) -> bytes:
        if version not in self._keys:
            self._keys[version] = _read_key(self._path(version))
        return hmac.digest(self._keys[version], message, "sha256")

    def _present(self) -> Iterable[int]:
        names = os.listdir(self._directory) if self._directory.is_dir() else []
        found = (int(match[1]) for name in names if (match := _NAME.fullmatch(name)))
        return [version for version in found if version <= MAX_VERSION]

    def _path(self, version: int) -> Path:
        return self._directory / f"kek-{version}"


def _read_key(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        key = path.read_bytes()
    except FileNotFoundError:
        raise NotProvisioned(f"no key at {path}: run payments-vault-keys") from None
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
