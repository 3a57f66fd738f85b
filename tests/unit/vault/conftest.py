"""The key store each test of the vault's keys runs on: files, and SoftHSM where it is installed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from functions.vault.keys import KeyStore, open_key_store
from tests import key_stores


@pytest.fixture(params=key_stores.KINDS)
def key_store_setting(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return key_stores.setting(request.param, tmp_path / "keys")


@pytest.fixture
def key_store(key_store_setting: str) -> KeyStore:
    """With version 1 of its key-encryption key."""
    store = open_key_store(key_store_setting, "local")
    store.create(1)
    return store


@pytest.fixture
def another_key_store(key_store_setting: str, tmp_path: Path) -> Callable[[str], KeyStore]:
    """Makes key stores of the same kind with keys of their own."""

    def make(name: str) -> KeyStore:
        kind = "file" if key_store_setting.startswith("file:") else "softhsm"
        store = open_key_store(key_stores.setting(kind, tmp_path / name), "local")
        store.create(1)
        return store

    return make
