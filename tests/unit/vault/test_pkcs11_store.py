"""The HSM key store, on SoftHSM: keys stay inside, a lost connection is made again, a refused PIN is not repeated."""

import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass

from functions.vault import pkcs11_store, pkcs11_uri
from functions.vault.errors import KeyStoreUnavailable, KeyStoreUnusable, NotProvisioned, VaultError
from functions.vault.keys import open_key_store
from functions.vault.pkcs11_store import Pkcs11KeyStore
from tests import key_stores

KEY = bytes(range(32))
LOST = [
    pkcs11.SessionHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.DeviceError,
    pkcs11.DeviceMemory,
    pkcs11.DeviceRemoved,
    pkcs11.TokenNotPresent,
    pkcs11.UserNotLoggedIn,
    pkcs11.KeyHandleInvalid,
    pkcs11.ObjectHandleInvalid,
    pkcs11.GeneralError,
    pkcs11.FunctionFailed,
    pkcs11.OperationActive,
    pkcs11.NoSuchToken,
    pkcs11.PKCS11Error,
]


@pytest.fixture
def setting(tmp_path: Path) -> str:
    return key_stores.softhsm_setting(tmp_path)


@pytest.fixture
def store(setting: str) -> Pkcs11KeyStore:
    """With version 1, found already."""
    store = open_key_store(setting, "local")
    assert isinstance(store, Pkcs11KeyStore)
    store.create(1)
    store.wrap(KEY, b"", 1)
    return store


@pytest.fixture
def pin(setting: str) -> str:
    return Path(pkcs11_uri.parse(setting).pin_source.removeprefix("file:")).read_text()


@pytest.fixture
def logged_out(setting: str) -> None:
    """Nobody in this process is logged in to the token."""
    for token in pkcs11_store._tokens.values():
        token._disconnect()


def raw_token(setting: str) -> pkcs11.Token:
    """The token without the store: what the HSM's other users have."""
    uri = pkcs11_uri.parse(setting)
    return pkcs11.lib(uri.module_path).get_token(token_label=uri.token)


def generate(store: Pkcs11KeyStore, name: str, capabilities=MechanismFlag.SIGN, **template: bool) -> None:
    """A key of that name, made by somebody else."""
    store._token._session.generate_key(
        KeyType.GENERIC_SECRET,
        256,
        label=name,
        store=True,
        capabilities=capabilities,
        template={getattr(Attribute, attribute): value for attribute, value in template.items()},
    )


def with_pin(setting: str, pin: str, directory: Path) -> str:
    """The setting with another PIN."""
    file = directory / "pin"
    file.touch(mode=0o600)
    file.write_text(pin)
    return setting.partition("&")[0] + f"&pin-source=file:{file}"


def works(store: Pkcs11KeyStore) -> bool:
    return store.unwrap(store.wrap(KEY, b"token", 1), b"token") == KEY


class CountingSession:
    """A session that counts what is asked of it."""

    def __init__(self, session: pkcs11.Session) -> None:
        self.calls: Counter[str] = Counter()
        self._session = session

    def __getattr__(self, name: str):
        self.calls[name] += 1
        return getattr(self._session, name)


def test_the_key_is_a_secret_that_signs_and_cannot_leave_the_token(store, setting):
    key = store._token._session.get_key(label=f"{pkcs11_uri.parse(setting).object}-1")

    assert (key.object_class, key.key_type, key[Attribute.VALUE_LEN]) == (
        ObjectClass.SECRET_KEY,
        KeyType.GENERIC_SECRET,
        32,
    )
    can = ("TOKEN", "PRIVATE", "SENSITIVE", "SIGN", "LOCAL", "NEVER_EXTRACTABLE", "ALWAYS_SENSITIVE")
    cannot = ("EXTRACTABLE", "VERIFY", "ENCRYPT", "DECRYPT", "WRAP", "UNWRAP", "DERIVE")
    assert {name: key[getattr(Attribute, name)] for name in can + cannot} == {
        **dict.fromkeys(can, True),
        **dict.fromkeys(cannot, False),
    }


def test_the_key_cannot_be_read_or_wrapped_out(store, setting):
    session = store._token._session
    key = session.get_key(label=f"{pkcs11_uri.parse(setting).object}-1")
    thief = session.generate_key(KeyType.AES, 256, capabilities=MechanismFlag.WRAP)

    with pytest.raises(pkcs11.AttributeSensitive):
        key[Attribute.VALUE]
    with pytest.raises((pkcs11.KeyUnextractable, pkcs11.KeyNotWrappable)):
        thief.wrap_key(key, mechanism=pkcs11.Mechanism.AES_KEY_WRAP)
    with pytest.raises((pkcs11.AttributeReadOnly, pkcs11.PKCS11Error)):
        key[Attribute.EXTRACTABLE] = True
    assert key[Attribute.EXTRACTABLE] is False


@pytest.mark.parametrize("weakness", [{"EXTRACTABLE": True}, {"capabilities": MechanismFlag.DERIVE}])
def test_a_key_that_can_leave_or_cannot_sign_is_unusable(store, setting, weakness):
    generate(store, f"{pkcs11_uri.parse(setting).object}-2", **weakness)

    with pytest.raises(KeyStoreUnusable):
        store.wrap(KEY, b"", 2)


def test_two_keys_of_one_name_are_unusable_and_the_others_stay_usable(store, setting):
    for _ in range(2):
        generate(store, f"{pkcs11_uri.parse(setting).object}-2", EXTRACTABLE=False)

    for _ in range(2):
        with pytest.raises(KeyStoreUnusable, match="MultipleObjectsReturned"):
            store.wrap(KEY, b"", 2)
        with pytest.raises(KeyStoreUnusable):
            store.create(2)
        assert works(store)


def test_a_key_is_found_once(store, monkeypatch):
    store._token._disconnect()
    assert works(store)
    session = CountingSession(store._token._session)
    store._token._session, store._token._keys = session, {}

    for _ in range(50):
        store.wrap(KEY, b"", 1)

    assert session.calls == {"get_key": 1}


def test_a_closed_session_is_replaced(store):
    store._token._session.close()

    assert works(store)


def test_a_restarted_library_is_connected_to_again(store, setting):
    pkcs11.lib(pkcs11_uri.parse(setting).module_path).reinitialize()

    assert works(store)


def test_a_login_lost_without_an_error_is_noticed(store, setting):
    """A session without login is shown no keys."""
    store._token._disconnect()
    store._token._session = raw_token(setting).open(rw=True)
    assert works(store)

    store._token._disconnect()
    store._token._session = raw_token(setting).open(rw=True)
    assert list(store.versions()) == [1]


def test_somebody_elses_login_is_shared_and_can_end(store, setting, pin, logged_out):
    other = raw_token(setting).open(rw=True, user_pin=pin)
    assert works(store)

    other.close()

    assert works(store)


@pytest.mark.parametrize("error", LOST)
def test_an_error_of_the_device_is_tried_again_over_a_new_session(store, monkeypatch, error):
    errors, sign, session = [error("PIN geheim")], pkcs11_store._Token.sign, store._token._session

    def fails_once(token, *arguments):
        if errors:
            raise errors.pop()
        return sign(token, *arguments)

    monkeypatch.setattr(pkcs11_store._Token, "sign", fails_once)

    wrapped = store.wrap(KEY, b"token", 1)

    assert not errors
    assert store._token._session is not session
    assert store.unwrap(wrapped, b"token") == KEY


@pytest.mark.parametrize("error", LOST)
def test_a_device_that_fails_twice_is_unavailable_and_can_come_back(store, monkeypatch, error):
    calls = []

    def fails(token, *arguments):
        calls.append(arguments)
        raise error("PIN geheim")

    with monkeypatch.context() as patch:
        patch.setattr(pkcs11_store._Token, "sign", fails)
        with pytest.raises(KeyStoreUnavailable, match=error.__name__) as raised:
            store.wrap(KEY, b"token", 1)
        assert "geheim" not in told(raised.value)

    assert len(calls) == 2
    assert works(store)


def test_a_device_that_cannot_be_connected_to_is_unavailable(store, monkeypatch, logged_out):
    def fails(token):
        raise pkcs11.DeviceError

    with monkeypatch.context() as patch:
        patch.setattr(pkcs11_store._Token, "_find_token", fails)
        with pytest.raises(KeyStoreUnavailable):
            store.wrap(KEY, b"token", 1)

    assert works(store)


def test_a_library_that_cannot_connect_is_initialized_anew(store, setting, monkeypatch, logged_out):
    """SoftHSM never sees a token that another process was writing when it was initialized."""
    library, find, initialized = pkcs11.lib(pkcs11_uri.parse(setting).module_path), pkcs11_store._Token._find_token, []

    def fails_once(token):
        initialized.append(library.initialized)
        if len(initialized) == 1:
            raise pkcs11.NoSuchToken
        return find(token)

    monkeypatch.setattr(pkcs11_store._Token, "_find_token", fails_once)

    assert works(store)
    assert initialized == [True, False]


def test_a_mechanism_the_device_does_not_have_is_unusable(store, monkeypatch):
    def fails(token, *arguments):
        raise pkcs11.MechanismInvalid

    monkeypatch.setattr(pkcs11_store._Token, "sign", fails)

    with pytest.raises(KeyStoreUnusable, match="MechanismInvalid"):
        store.wrap(KEY, b"token", 1)


def test_an_unknown_token_and_library_are_named(setting, tmp_path):
    with pytest.raises(KeyStoreUnavailable, match="token elsewhere: NoSuchToken"):
        open_key_store(setting.replace("token=payments", "token=elsewhere"), "local").versions()

    (tmp_path / "lib.so").write_text("no library")
    library = unquote(setting.partition("module-path=")[2].partition("&")[0])
    with pytest.raises(KeyStoreUnusable, match=r"lib\.so"):
        open_key_store(setting.replace(library, f"{tmp_path}/lib.so"), "local").versions()


@pytest.mark.parametrize("wrong", ["wrong-0987654321", "w7"])
def test_a_wrong_pin_is_told_without_it_and_never_presented_again(setting, tmp_path, logged_out, pin, wrong):
    store = open_key_store(with_pin(setting, wrong, tmp_path), "local")

    with pytest.raises(KeyStoreUnusable, match="refuses the login: Pin") as raised:
        store.create(1)
    assert wrong not in told(raised.value)
    assert wrong not in repr(store)

    with_pin(setting, pin, tmp_path)  # now the right one: were it read again, it would be accepted
    for use in (store.versions, lambda: store.wrap(KEY, b"", 1), lambda: store.create(1)):
        with pytest.raises(KeyStoreUnusable, match="refuses the login"):
            use()


@pytest.mark.parametrize("error", [pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.PinInvalid])
def test_a_locked_or_expired_pin_is_presented_once(setting, logged_out, monkeypatch, error, pin):
    presented = []

    class Locked:
        label = "payments"

        def open(self, rw, user_pin):
            presented.append(user_pin)
            raise error(user_pin)

    monkeypatch.setattr(pkcs11_store._Token, "_find_token", lambda token: Locked())
    store = open_key_store(setting, "local")

    for _ in range(3):
        with pytest.raises(KeyStoreUnusable, match=error.__name__) as raised:
            store.versions()
        assert pin not in told(raised.value)
    assert presented == [pin]


def told(error: BaseException) -> str:
    """All that a log could tell: texts, locals of every frame, and what it was raised from."""
    lines = []
    current: BaseException | None = error
    while current:
        lines += [repr(current), str(current), repr(vars(current))] if isinstance(current, VaultError) else []
        lines += traceback.TracebackException.from_exception(current, capture_locals=True).stack.format()
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    here = os.path.basename(__file__)
    return "".join(line for line in lines if here not in line)


def test_a_rotated_pin_is_read_when_it_is_needed(store, setting, pin, tmp_path, logged_out):
    late = open_key_store(with_pin(setting, "stale-0000", tmp_path), "local")

    with_pin(setting, pin, tmp_path)

    assert list(late.versions()) == [1]


def test_opening_connects_to_nothing(tmp_path):
    uri = f"pkcs11:token=t;object=o?module-path=/nowhere/lib.so&pin-source=file:{tmp_path}/pin"

    assert open_key_store(uri, "local").label == "pkcs11:o"


def test_a_live_claim_of_somebody_else_keeps_others_from_creating(store, setting, monkeypatch):
    name = f"{pkcs11_uri.parse(setting).object}-2"
    generate(store, f"{name}-claim-{int(time.time())}-0a", EXTRACTABLE=False)
    monkeypatch.setattr(pkcs11_store, "_CREATE_SECONDS", 0.1)

    with pytest.raises(KeyStoreUnavailable, match="somebody else"):
        store.create(2)

    with pytest.raises(NotProvisioned):
        store.wrap(KEY, b"", 2)
    assert len(claims(store, name)) == 1


def test_the_claim_of_one_that_died_is_passed_over_in_time(store, setting):
    name = f"{pkcs11_uri.parse(setting).object}-2"
    generate(store, f"{name}-claim-{int(time.time()) - 61}-0a", EXTRACTABLE=False)

    store.create(2)

    assert list(store.versions()) == [1, 2]


def test_a_maker_that_was_held_up_gives_up_its_claim(store, setting, monkeypatch):
    """Its claim may have been passed over meanwhile."""
    name = f"{pkcs11_uri.parse(setting).object}-2"
    times = iter([0.0, 31.0])
    clock = SimpleNamespace(monotonic=lambda: next(times), time=time.time)  # not everybody's: other threads have clocks
    monkeypatch.setattr(pkcs11_store, "time", clock)

    assert pkcs11_store._make_unless_claimed(store._token, name, "0a", store._log_in) is False

    assert not store._token.has(name)
    assert claims(store, name) == []


def test_a_key_made_between_the_look_and_the_claim_is_kept(store, monkeypatch):
    has, looks = pkcs11_store._Token.has, []

    def made_meanwhile(token, asked):
        looks.append(has(token, asked))
        if len(looks) == 1:
            token.generate(asked)
        return looks[-1]

    monkeypatch.setattr(pkcs11_store._Token, "has", made_meanwhile)

    store.create(2)

    assert looks == [False, True]
    assert works(store)
    assert list(store.versions()) == [1, 2]  # which refuses a name that two keys have


def test_a_key_made_elsewhere_between_the_look_and_the_claim_is_kept(store, setting, monkeypatch):
    """SoftHSM hides it from whoever writes next, until somebody else changes something."""
    has, looks = pkcs11_store._Token.has, []
    program = (
        "from functions.vault.keys import open_key_store;"
        f"store = open_key_store({setting!r}, 'local');"
        "store._on_token(lambda token: token.generate(store._name(2)))"
    )

    def made_meanwhile(token, asked):
        looks.append(has(token, asked))
        if len(looks) == 1:
            subprocess.run([sys.executable, "-c", program], check=True)
        return looks[-1]

    monkeypatch.setattr(pkcs11_store._Token, "has", made_meanwhile)

    store.create(2)

    assert looks == [False, True]
    assert list(open_key_store(setting, "local").versions()) == [1, 2]


def test_makers_on_one_machine_take_turns(store, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other tests have turns of their own
    monkeypatch.setattr(pkcs11_store, "_CREATE_SECONDS", 0.1)

    with store._token.turn() as ours, store._token.turn() as theirs:
        assert (ours, theirs) == (True, False)
        with pytest.raises(KeyStoreUnavailable, match="somebody else"):
            store.create(2)

    store.create(2)
    assert list(store.versions()) == [1, 2]


def test_creating_leaves_no_claim(store, setting):
    store.create(2)

    assert claims(store, f"{pkcs11_uri.parse(setting).object}-2") == []


def claims(store: Pkcs11KeyStore, name: str) -> list[str]:
    found = [item[Attribute.LABEL] for item in store._token._session.get_objects()]
    return [label for label in found if label.startswith(f"{name}-claim-")]


def test_a_key_of_a_longer_name_is_not_a_version(store, setting):
    label = pkcs11_uri.parse(setting).object
    for name in (f"{label}-02", f"{label}-3x", f"{label}-70000", f"x{label}-4", f"{label}-0"):
        generate(store, name, EXTRACTABLE=False)

    assert list(store.versions()) == [1]
