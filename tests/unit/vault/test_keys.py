"""What every key store promises, on each of them: wrapped keys open where they should, and nowhere else."""

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.vault.errors import InvalidRequest, NotProvisioned, UnwrapRefused
from functions.vault.keys import open_key_store
from functions.vault.wrapping import IV_BYTES, MAX_VERSION, SALT_BYTES

KEY = bytes(range(32))
SALT = slice(3, 3 + SALT_BYTES)
IV = slice(SALT.stop, SALT.stop + IV_BYTES)
CREATE = "import sys; from functions.vault.keys import open_key_store; open_key_store(sys.argv[1], 'local').create(2)"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(plaintext=st.binary(max_size=5000), context=st.binary(max_size=5000))
def test_whatever_is_wrapped_unwraps_to_the_same(key_store, plaintext, context):
    assert key_store.unwrap(key_store.wrap(plaintext, context, 1), context) == plaintext


def test_a_wrapped_key_has_the_documented_form(key_store):
    wrapped = key_store.wrap(KEY, b"token", 1)

    assert wrapped[:3] == b"\x02\x00\x01"
    assert len(wrapped) == 3 + 32 + 12 + len(KEY) + 16
    assert KEY not in wrapped


def test_no_salt_or_iv_ever_repeats_and_none_is_zero(key_store):
    wrapped = [key_store.wrap(KEY, b"token", 1) for _ in range(10_000)]

    assert len(set(wrapped)) == len(wrapped)
    for part in (SALT, IV):
        seen = {blob[part] for blob in wrapped}
        assert len(seen) == len(wrapped)
        assert bytes(part.stop - part.start) not in seen
        assert all(len(Counter(column)) > 200 for column in zip(*seen, strict=True)), "a byte is not random"


def test_every_wrapping_has_a_key_of_its_own(key_store):
    """Were the wrapping key the same, a salt exchanged between two wrapped keys would not matter."""
    first, second = (key_store.wrap(KEY, b"token", 1) for _ in range(2))

    with pytest.raises(UnwrapRefused):
        key_store.unwrap(first[: SALT.start] + second[SALT] + first[SALT.stop :], b"token")


def test_every_corrupted_byte_is_refused(key_store):
    wrapped = key_store.wrap(KEY, b"token", 1)

    for place in range(len(wrapped)):
        for change in (0x01, 0x80, 0xFF):
            damaged = wrapped[:place] + bytes([wrapped[place] ^ change]) + wrapped[place + 1 :]
            with pytest.raises(UnwrapRefused):
                key_store.unwrap(damaged, b"token")


def test_every_truncation_and_every_addition_is_refused(key_store):
    wrapped = key_store.wrap(KEY, b"token", 1)

    for blob in [wrapped[:length] for length in range(len(wrapped))] + [wrapped + b"\x00", b"\x00" + wrapped]:
        with pytest.raises(UnwrapRefused):
            key_store.unwrap(blob, b"token")


@pytest.mark.parametrize("other", [b"", b"sealing", b"token\x00", b"toke", b"\x00token"])
def test_another_context_is_refused(key_store, other):
    wrapped = key_store.wrap(KEY, b"token", 1)

    with pytest.raises(UnwrapRefused):
        key_store.unwrap(wrapped, other)


def test_another_store_is_refused(key_store, another_key_store):
    wrapped = key_store.wrap(KEY, b"token", 1)

    with pytest.raises(UnwrapRefused):
        another_key_store("other").unwrap(wrapped, b"token")


def test_the_same_key_under_another_label_is_refused(key_store, monkeypatch):
    wrapped, another = key_store.wrap(KEY, b"token", 1), key_store.label[::-1]

    monkeypatch.setattr(type(key_store), "label", property(lambda _: another))

    with pytest.raises(UnwrapRefused):
        key_store.unwrap(wrapped, b"token")


def test_the_version_a_wrapped_key_names_is_the_one_that_opens_it(key_store):
    key_store.create(2)
    first, second = key_store.wrap(KEY, b"token", 1), key_store.wrap(KEY, b"token", 2)

    assert key_store.unwrap(first, b"token") == key_store.unwrap(second, b"token") == KEY
    for blob in (first[:1] + second[1:3] + first[3:], second[:1] + first[1:3] + second[3:]):
        with pytest.raises(UnwrapRefused):
            key_store.unwrap(blob, b"token")


def test_a_version_that_names_the_same_key_is_refused_all_the_same(key_store, monkeypatch):
    key_store.create(2)
    one, prf = key_store.wrap(KEY, b"token", 1), type(key_store)._prf
    monkeypatch.setattr(type(key_store), "_prf", lambda store, _, message: prf(store, 1, message))

    assert key_store.unwrap(one, b"token") == KEY
    with pytest.raises(UnwrapRefused):
        key_store.unwrap(one[:2] + b"\x02" + one[3:], b"token")


def test_an_absent_version_is_not_provisioned(key_store):
    with pytest.raises(NotProvisioned):
        key_store.wrap(KEY, b"token", 2)


@pytest.mark.parametrize("version", [-1, 0, MAX_VERSION + 1])
def test_a_version_no_wrapped_key_could_name_is_invalid(key_store, version):
    with pytest.raises(InvalidRequest):
        key_store.create(version)
    with pytest.raises(InvalidRequest):
        key_store.wrap(KEY, b"token", version)


def test_the_highest_version_works(key_store):
    key_store.create(MAX_VERSION)

    assert key_store.unwrap(key_store.wrap(KEY, b"token", MAX_VERSION), b"token") == KEY
    assert list(key_store.versions()) == [1, MAX_VERSION]


def test_a_store_without_keys_has_no_versions(key_store_setting):
    assert open_key_store(key_store_setting, "local").versions() == {}


def test_check_values_are_equal_for_equal_keys_only(key_store, another_key_store, key_store_setting):
    key_store.create(2)
    values = key_store.versions()

    assert list(values) == [1, 2]
    assert all(len(bytes.fromhex(value)) == 8 for value in values.values())
    assert values == open_key_store(key_store_setting, "local").versions()
    assert len({*values.values(), *another_key_store("other").versions().values()}) == 3


def test_check_value_does_not_depend_on_the_label(key_store, monkeypatch):
    before = key_store.versions()

    monkeypatch.setattr(type(key_store), "label", property(lambda _: "another"))

    assert key_store.versions() == before


def test_creating_again_changes_nothing(key_store, key_store_setting):
    before, wrapped = key_store.versions(), key_store.wrap(KEY, b"token", 1)

    key_store.create(1)
    open_key_store(key_store_setting, "local").create(1)

    assert open_key_store(key_store_setting, "local").versions() == before
    assert key_store.unwrap(wrapped, b"token") == KEY


def test_a_version_made_elsewhere_is_found_while_running(key_store, key_store_setting):
    with pytest.raises(NotProvisioned):
        key_store.wrap(KEY, b"token", 2)

    subprocess.run([sys.executable, "-c", CREATE, key_store_setting], check=True)

    assert key_store.unwrap(key_store.wrap(KEY, b"token", 2), b"token") == KEY
    assert list(key_store.versions()) == [1, 2]


def test_threads_that_create_at_once_make_one_key(key_store_setting):
    def create(_):
        store = open_key_store(key_store_setting, "local")
        store.create(1)
        return store.versions()[1]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(create, range(32)))) == 1


def test_processes_that_create_at_once_make_one_key(key_store, key_store_setting):
    started = [subprocess.Popen([sys.executable, "-c", CREATE, key_store_setting]) for _ in range(8)]
    codes = [process.wait(60) for process in started]

    assert codes == [0] * 8
    assert list(key_store.versions()) == [1, 2]  # which refuses a name that two keys have
    assert key_store.unwrap(key_store.wrap(KEY, b"token", 2), b"token") == KEY


def test_threads_wrap_and_unwrap_at_once(key_store):
    def there_and_back(number):
        context = str(number).encode()
        return key_store.unwrap(key_store.wrap(KEY + context, context, 1), context) == KEY + context

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(800)))


def test_representation_is_the_label(key_store):
    assert repr(key_store) == f"{type(key_store).__name__}({key_store.label})"


@pytest.mark.parametrize("setting", ["", "file", "file:", "file:relative/keys", "hsm:cluster", "/tmp/keys", "PKCS11:x"])
def test_a_setting_of_another_form_is_invalid(setting):
    with pytest.raises(InvalidRequest):
        open_key_store(setting, "local")


def test_the_interface_imports_no_device():
    program = "import sys; import functions.vault.keys; sys.exit('pkcs11' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
