"""Fixtures of the matching's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from duckdb import DuckDBPyConnection

from functions.reconciliation import database
from tests.unit.reconciliation.matched_runs import Runs
from tests.unit.reconciliation.strategies import TERMS

Begin = Callable[..., Runs]


@pytest.fixture(scope="module")
def connection() -> Iterator[DuckDBPyConnection]:
    """A database for many runs: each makes its tables anew."""
    with TemporaryDirectory() as name, database.opened(Path(name), "500MB", 1) as opened:
        yield opened


@pytest.fixture
def begin(connection: DuckDBPyConnection, tmp_path: Path) -> Begin:
    """Begins a series of runs, in a directory of its own; several may stand beside each other."""
    number = iter(range(1_000_000))

    def begun(terms: dict[str, Any] = TERMS) -> Runs:
        directory = tmp_path / str(next(number))
        directory.mkdir()
        return Runs(connection, directory, terms)

    return begun
