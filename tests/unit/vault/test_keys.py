"""The file key store: where it may be used, how its key is made, and what it refuses."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functions.vault.errors import InvalidRequest, KeyStoreForbidden, KeyStoreUnusable, NotProvisioned, UnwrapRefused
from functions.vault.keys import IV_BYTES, FileKeyStore, create_key_store, open_key_store


@pytest.fixture
def store(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore.create(tmp_path / "keys" / "kek", "local")


@pytest.mark.parametrize("environment", ["production", "staging", "", "LOCAL"])
def test_file_key_store_refuses_to_work_outside_local(tmp_path, environment):
    FileKeyStore.create(tmp_path / "kek", "local")

    with pytest.raises(KeyStoreForbidden):
        FileKeyStore(tmp_path / "kek", environment)
    with pytest.raises(KeyStoreForbidden):
        FileKeyStore.create(tmp_path / "other", environment)
    assert not (tmp_path / "other").exists()


def test_key_file_is_made_for_its_owner_alone_and_leaves_no_draft(tmp_path):
    before = os.umask(0)
    try:
        FileKeyStore.create(tmp_path / "kek", "local")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "kek").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["kek"]


def test_many_creating_at_once_get_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: FileKeyStore.create(tmp_path / "kek", "local"), range(32)))

    assert len({store.label for store in stores}) == 1
    assert os.listdir(tmp_path) == ["kek"]


def test_missing_key_is_not_provisioned(tmp_path):
    with pytest.raises(NotProvisioned):
        FileKeyStore(tmp_path / "kek", "local")


@pytest.mark.parametrize(("content", "mode"), [(b"k" * 31, 0o600), (b"", 0o600), (b"k" * 32, 0o644)])
def test_short_or_readable_key_is_unusable(tmp_path, content, mode):
    (tmp_path / "kek").write_bytes(content)
    (tmp_path / "kek").chmod(mode)

    with pytest.raises(KeyStoreUnusable):
        FileKeyStore(tmp_path / "kek", "local")


@pytest.mark.parametrize("setting", ["", "file:", "file:relative/kek", "hsm:cluster", "/tmp/kek"])
def test_unknown_key_store_is_refused_by_name(setting):
    with pytest.raises(InvalidRequest):
        open_key_store(setting, "local")


def test_setting_names_the_file(tmp_path):
    made = create_key_store(f"file:{tmp_path}/kek", "local")

    assert open_key_store(f"file:{tmp_path}/kek", "local").label == made.label


def test_wrapped_key_unwraps_only_in_its_context_and_store(store, tmp_path):
    other = FileKeyStore.create(tmp_path / "other", "local")
    wrapped = store.wrap(b"k" * 32, b"token")

    assert store.unwrap(wrapped, b"token") == b"k" * 32
    with pytest.raises(UnwrapRefused):
        store.unwrap(wrapped, b"sealing")
    with pytest.raises(UnwrapRefused):
        other.unwrap(wrapped, b"token")


def test_every_corrupted_byte_and_every_truncation_is_refused(store):
    wrapped = store.wrap(b"k" * 32, b"token")
    damaged = [wrapped[:i] + bytes([wrapped[i] ^ 1]) + wrapped[i + 1 :] for i in range(len(wrapped))]

    for blob in damaged + [wrapped[:i] for i in range(len(wrapped))] + [wrapped + b"\x00"]:
        with pytest.raises(UnwrapRefused):
            store.unwrap(blob, b"token")


def test_no_iv_repeats_over_thousands_of_wraps(store):
    ivs = {store.wrap(b"k" * 32, b"token")[1 : 1 + IV_BYTES] for _ in range(5000)}

    assert len(ivs) == 5000


def test_key_is_in_no_representation_of_the_store(store, tmp_path):
    key = (tmp_path / "keys" / "kek").read_bytes()

    assert repr(store) == f"FileKeyStore({store.label})"
    assert key.hex()[:8] not in store.label
