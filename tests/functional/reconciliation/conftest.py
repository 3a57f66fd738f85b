"""The store and the table of reconciliation, beside the platform's tables."""

import pytest

from functions.reconciliation import crowd
from payments import identifiers
from tests.functional import settlements
from tests.functional.reconciliation.world import World

ENVIRONMENT = {
    "RECONCILIATION_PARTS": "3",
    "DRIFT_SECONDS": "0",
    "DUCKDB_MEMORY": "500MB",
    "DUCKDB_THREADS": "1",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def world(monkeypatch, tables):
    """A world with few shards, so that few calls read them all, and one call at a time, so that they have an order."""
    monkeypatch.setattr(identifiers, "SHARDS", 4)
    monkeypatch.setattr(crowd, "AT_ONCE", 1)
    settlements.make_table()
    return World(monkeypatch)
