"""The file key store: where it may be used, how its keys are made, and what it refuses."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functions.vault.errors import KeyStoreForbidden, KeyStoreUnusable
from functions.vault.file_store import FileKeyStore


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "keys"


@pytest.mark.parametrize("environment", ["production", "staging", "", "LOCAL"])
def test_file_key_store_refuses_to_work_outside_local(directory, environment):
    with pytest.raises(KeyStoreForbidden):
        FileKeyStore(str(directory), environment)


def test_key_file_is_made_for_its_owner_alone_and_leaves_no_draft(directory):
    before = os.umask(0)
    try:
        FileKeyStore(str(directory), "local").create(1)
    finally:
        os.umask(before)

    assert stat.S_IMODE((directory / "kek-1").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert os.listdir(directory) == ["kek-1"]


def test_many_creating_at_once_leave_one_file(directory):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: FileKeyStore(str(directory), "local").create(1), range(32)))

    assert os.listdir(directory) == ["kek-1"]


@pytest.mark.parametrize(
    ("content", "mode"), [(b"k" * 31, 0o600), (b"", 0o600), (b"k" * 32, 0o644), (b"k" * 32, 0o640)]
)
def test_short_or_readable_key_is_unusable(directory, content, mode):
    directory.mkdir(parents=True)
    (directory / "kek-1").write_bytes(content)
    (directory / "kek-1").chmod(mode)
    store = FileKeyStore(str(directory), "local")

    for use in (
        store.versions,
        lambda: store.wrap(b"k", b"", 1),
        lambda: store.unwrap(b"\x02\x00\x01" + bytes(60), b""),
    ):
        with pytest.raises(KeyStoreUnusable):
            use()


def test_only_files_named_as_keys_are_versions(directory):
    store = FileKeyStore(str(directory), "local")
    store.create(7)
    for name in ("kek-0", "kek-07", "kek-70000", "kek-1.old", ".kek-2", "kek--3", "other"):
        (directory / name).touch()

    assert list(store.versions()) == [7]


def test_key_is_in_no_representation_of_the_store(directory):
    store = FileKeyStore(str(directory), "local")
    store.create(1)
    key = (directory / "kek-1").read_bytes()

    assert repr(store) == "FileKeyStore(file:keys)"
    assert store.versions()[1] not in key.hex()
