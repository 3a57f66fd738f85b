"""DuckDB, as reconciliation uses it: in memory within a limit, on disk beyond it."""

from collections.abc import Iterable
from pathlib import Path

from duckdb import DuckDBPyConnection, connect


def opened(directory: Path, memory: str, threads: int) -> DuckDBPyConnection:
    """A database of its own.

    `memory` is DuckDB's limit, such as `3GB`. What does not fit goes to files in the directory, which is made; it
    should have several times as much free. Nothing is loaded from a network.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return connect(
        ":memory:",
        config={
            "memory_limit": memory,
            "temp_directory": str(directory),
            "threads": threads,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
        },
    )


def text(value: str | Path) -> str:
    """A text, or the name of a file, as a literal of SQL."""
    return "'" + str(value).replace("'", "''") + "'"


def texts(values: Iterable[str | Path]) -> str:
    """Texts as a list of literals: `['a', 'b']`."""
    return "[" + ", ".join(map(text, values)) + "]"


def listed(values: Iterable[str]) -> str:
    """Texts as what `IN` compares with: `('a', 'b')`."""
    return "(" + ", ".join(map(text, values)) + ")"
