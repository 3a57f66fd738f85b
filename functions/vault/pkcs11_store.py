"""Key-encryption keys in an HSM, over PKCS#11: CloudHSM's Client SDK 5 in AWS, SoftHSM on one machine.

All that is asked of the device is what both have: generate, find and destroy a generic secret, and CKM_SHA256_HMAC.
"""

import fcntl
import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, PKCS11Error
from pkcs11.exceptions import NoSuchKey
from pkcs11.types import SignMixin

from functions.vault.errors import KeyStoreUnavailable, KeyStoreUnusable, NotProvisioned
from functions.vault.keys import KEY_BYTES
from functions.vault.pin import pin_reader
from functions.vault.pkcs11_uri import parse
from functions.vault.wrapping import MAX_VERSION, PrfKeyStore, require_version

_PIN_REFUSED = (
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinLocked,
    pkcs11.PinExpired,
)
_MISCONFIGURED = (
    pkcs11.ArgumentsBad,
    pkcs11.AttributeTypeInvalid,
    pkcs11.AttributeValueInvalid,
    pkcs11.FunctionNotSupported,
    pkcs11.KeySizeRange,
    pkcs11.KeyTypeInconsistent,
    pkcs11.MechanismInvalid,
    pkcs11.MechanismParamInvalid,
    pkcs11.MultipleObjectsReturned,
    pkcs11.MultipleTokensReturned,
    pkcs11.SessionReadOnly,
    pkcs11.TemplateIncomplete,
    pkcs11.TemplateInconsistent,
    pkcs11.TokenWriteProtected,
)
"""What a new connection cannot cure. Every other error of the library may be a lost connection."""

_CREATE_SECONDS = 10.0
_CLAIM_SECONDS = 60  # a claim older than this was left by one that died; its maker gives up at half of it

T = TypeVar("T")
LogIn = Callable[[pkcs11.Token], pkcs11.Session]


class Pkcs11KeyStore(PrfKeyStore):
    """Version n is the token's object `<key label>-<n>`: a generic secret of 256 bits that can only sign.

    Every method raises KeyStoreUnusable if the login is refused or the token is not what it must be, and
    KeyStoreUnavailable if a new connection, tried once, does not help. Threads take turns.
    """

    def __init__(self, uri: str, environment: str) -> None:
        """Connects to nothing yet. Raises InvalidRequest, and KeyStoreForbidden for a PIN in a file outside `local`."""
        named = parse(uri)
        self._key_label = named.object
        self._read_pin = pin_reader(named.pin_source, environment)
        self._token = _tokens.setdefault((named.module_path, named.token), _Token(named.module_path, named.token))
        self._refusal = ""

    @property
    def label(self) -> str:
        """`pkcs11:` and the key label."""
        return f"pkcs11:{self._key_label}"

    def create(self, version: int) -> None:
        """See KeyStore. Tries for seconds: makers on one machine take turns, since they disturb SoftHSM's searches."""
        require_version(version)
        name, maker = self._name(version), secrets.token_hex(8)
        deadline = time.monotonic() + _CREATE_SECONDS
        while True:
            fault = KeyStoreUnavailable(f"{name} is being made by somebody else")
            try:
                with self._token.turn() as ours:
                    if ours and self._on_token(lambda token: _make_unless_claimed(token, name, maker, self._log_in)):
                        return
            except KeyStoreUnavailable as error:
                fault = error
            if time.monotonic() > deadline:
                raise fault
            time.sleep(secrets.randbelow(100) / 1000)

    def _prf(self, version: int, message: bytes) -> bytes:
        name = self._name(version)
        return self._on_token(lambda token: token.sign(name, message))

    def _present(self) -> Iterable[int]:
        name = re.compile(re.escape(self._key_label) + r"-([1-9][0-9]{0,4})")
        try:
            names = self._on_token(lambda token: token.names(name))
        except NotProvisioned:
            return []
        found = {int(match[1]) for text in names if (match := name.fullmatch(text))}
        return [version for version in found if version <= MAX_VERSION]

    def _name(self, version: int) -> str:
        return f"{self._key_label}-{version}"

    def _on_token(self, work: "Callable[[_Token], T]") -> T:
        return self._token.use(work, self._log_in)

    def _log_in(self, token: pkcs11.Token) -> pkcs11.Session:
        """A session with the user logged in. A refused PIN is not presented again: that would lock the HSM's user."""
        if not self._refusal:
            try:
                return token.open(rw=True, user_pin=self._read_pin())  # CloudHSM has no read-only sessions
            except pkcs11.UserAlreadyLoggedIn:  # by somebody else in this process, to whom the login belongs as well
                return token.open(rw=True)
            except _PIN_REFUSED as error:
                self._refusal = f"token {token.label} refuses the login: {type(error).__name__}"
        raise KeyStoreUnusable(self._refusal)


class _Token:
    """The one session of this process with a token: to PKCS#11 login and logout belong to both, so stores share it."""

    def __init__(self, module_path: str, label: str) -> None:
        self._module_path = module_path
        self._label = label
        self._session: pkcs11.Session | None = None
        self._keys: dict[str, SignMixin] = {}

    def use(self, work: "Callable[[_Token], T]", log_in: LogIn) -> T:
        """What `work` returns, tried once more over a new connection if this one is lost.

        Raises NotProvisioned for a key that is absent. A session that lost its login is not told so but sees no keys
        (PKCS#11 v2.40, 2.6: private objects), so that an absence is only believed in a new one.
        """
        with _lock:
            fault = ""
            for _ in range(2):
                new = self._session is None
                try:
                    if new:
                        self._session = log_in(self._find_token())
                    return work(self)
                except NoSuchKey:
                    if new:
                        raise NotProvisioned(f"no such key on token {self._label}: run payments-vault-keys") from None
                except _MISCONFIGURED as error:
                    raise KeyStoreUnusable(f"token {self._label}: {type(error).__name__}") from None
                except PKCS11Error as error:
                    fault = type(error).__name__
                    if new:
                        self._unload()
                self._disconnect()
        raise KeyStoreUnavailable(f"token {self._label}: {fault}, and again over a new connection")

    def key(self, name: str) -> SignMixin:
        """The key of that name, found once per connection. Raises NoSuchKey, KeyStoreUnusable."""
        if name not in self._keys:
            key = self._connected.get_key(ObjectClass.SECRET_KEY, KeyType.GENERIC_SECRET, name)
            if not isinstance(key, SignMixin) or key[Attribute.EXTRACTABLE]:
                raise KeyStoreUnusable(f"{name} cannot sign, or can be taken out of token {self._label}")
            self._keys[name] = key
        return self._keys[name]

    def sign(self, name: str, message: bytes) -> bytes:
        """HMAC-SHA-256 of `message` under the key of that name. Raises as `key` does."""
        return self.key(name).sign(message, mechanism=Mechanism.SHA256_HMAC)

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Whether it is this process's turn to write to the token: one process and thread of a machine at a time."""
        identity = hashlib.sha256(f"{self._module_path} {self._label}".encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir(), f"payments-key-store-{os.getuid()}-{identity}.lock")
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def see_anew(self, log_in: LogIn) -> None:
        """Connects anew, to see what others did.

        SoftHSM takes a process that writes for one that knows all that was written before (`Generation::commit`). What
        others wrote since it last looked stays hidden from it until the next change.
        """
        self._disconnect()
        self._finalize()
        self._session = log_in(self._find_token())

    def has(self, name: str) -> bool:
        """Whether the key is there."""
        try:
            self.key(name)
        except NoSuchKey:
            return False
        return True

    def names(self, form: re.Pattern[str]) -> list[str]:
        """The names of such keys. Raises NoSuchKey if there is none."""
        template = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.GENERIC_SECRET}
        names = (_name_of(found) for found in self._connected.get_objects(template))
        if matching := [name for name in names if form.fullmatch(name)]:
            return matching
        raise NoSuchKey

    def destroy(self, name: str) -> None:
        """Destroys whatever has that name."""
        for found in self._connected.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: name}):
            found.destroy()

    def generate(self, name: str) -> None:
        """A new key, made in the token, which it never leaves."""
        self._connected.generate_key(
            KeyType.GENERIC_SECRET,
            8 * KEY_BYTES,
            id=name.encode(),
            label=name,
            store=True,
            capabilities=MechanismFlag.SIGN,
            template={Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )

    @property
    def _connected(self) -> pkcs11.Session:
        if self._session is None:
            raise pkcs11.SessionClosed
        return self._session

    def _find_token(self) -> pkcs11.Token:
        try:
            library = pkcs11.lib(self._module_path)
        except PKCS11Error as error:
            if type(error) is PKCS11Error:
                raise KeyStoreUnusable(f"{self._module_path} cannot be loaded as a PKCS#11 library") from None
            raise
        return library.get_token(token_label=self._label)

    def _unload(self) -> None:
        """For a library that cannot connect: some, such as SoftHSM, look for tokens only when they are initialized."""
        self._finalize()
        time.sleep(secrets.randbelow(200) / 1000)  # those that failed together do not try again together

    def _finalize(self) -> None:
        with suppress(PKCS11Error):
            pkcs11.lib(self._module_path).finalize()

    def _disconnect(self) -> None:
        session, self._session, self._keys = self._session, None, {}
        if session:
            with suppress(PKCS11Error):
                session.close()


_tokens: dict[tuple[str, str], _Token] = {}
_lock = RLock()


def _name_of(found: pkcs11.Object) -> str:
    """Its name; empty if it was destroyed since it was found, as claims are."""
    try:
        return str(found[Attribute.LABEL])
    except pkcs11.ObjectHandleInvalid:
        return ""


def _make_unless_claimed(token: _Token, name: str, maker: str, log_in: LogIn) -> bool:
    """Makes the key if it is absent; False, and no change, while anybody else is about to.

    PKCS#11 lets any number of keys have one name. So each maker first puts a claim beside the key and then looks anew:
    of two, at least one sees the other's claim. Whoever is not alone withdraws. A key, once made, is never taken back.
    """
    token.see_anew(log_in)
    if token.has(name):
        return True
    begun = time.monotonic()
    claim = f"{name}-claim-{int(time.time())}-{maker}"
    token.generate(claim)
    try:
        token.see_anew(log_in)
        alone = _claimants(token, name) == {maker} and time.monotonic() - begun < _CLAIM_SECONDS / 2
        if alone and not token.has(name):
            token.generate(name)
        return alone
    finally:
        token.destroy(claim)


def _claimants(token: _Token, name: str) -> set[str]:
    form = re.compile(re.escape(name) + r"-claim-([0-9]+)-([0-9a-f]+)")
    matches = (form.fullmatch(found) for found in token.names(form))
    return {match[2] for match in matches if match and int(match[1]) > time.time() - _CLAIM_SECONDS}
