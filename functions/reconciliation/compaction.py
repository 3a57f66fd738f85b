"""The projector's feed, sorted out: facts by day and part, in Parquet, each once.

In two passes, so that memory does not grow with the feed: what the objects hold is spread over the parts as it is read;
then each part, which is a small share of it, is freed of repetitions and written by day.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from duckdb import DuckDBPyConnection

from functions.reconciliation.database import text, texts
from functions.reconciliation.parts import part_sql
from functions.reconciliation.settings import Settings
from payments.observability import count, logger
from payments.settings import load

COLUMNS = {
    "network_ref": "VARCHAR",
    "payment_id": "VARCHAR",
    "merchant_id": "VARCHAR",
    "shard": "INTEGER",
    "journal_id": "VARCHAR",
    "kind": "VARCHAR",
    "movement": "VARCHAR",
    "network": "VARCHAR",
    "currency": "VARCHAR",
    "amount": "BIGINT",
    "fee": "BIGINT",
    "at": "VARCHAR",
}
"""Of a fact, as the feed has it; what is kept has `day` (`2026-11-23`, text), too."""

METRIC = "FeedObjectsDamaged"

_MAY_BE_NULL = ("merchant_id", "network")

_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T.*"
"""`day` becomes part of a file's name, so it must be one."""


_UNUSED = "\x01"
"""No character of JSON."""

_DAMAGE = (duckdb.InvalidInputException, duckdb.IOException)
"""What DuckDB raises for an object that is none of the feed's, though not only for that."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The facts of a UTC day and a part, in a Parquet file."""

    day: str
    part: int
    path: Path


def report_damage(file: Path, why: str) -> None:
    """Logs that an object of the feed is damaged, and counts it."""
    logger.error("damaged feed object", extra={"feed_object": file.name, "fault": why})
    count(METRIC)


def compact(
    connection: DuckDBPyConnection,
    feed_files: Sequence[Path],
    out: Path,
    run: str,
    damaged: Callable[[Path, str], None] = report_damage,
    parts: int | None = None,
) -> list[Compacted]:
    """Writes the facts of the feed's objects to `out/day=<day>/part=<part>/<run>.parquet`, by day and part.

    Facts that are repeated to the letter are there once. An object that is no gzip, or in which something is no fact,
    is left out as a whole, and `damaged` is called with it. Works in the memory that the connection has. Without
    `parts` there are as many as the settings say.
    """
    parts = parts or load(Settings).reconciliation_parts
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out) as name:
        spread = Path(name) / "parts"
        _spread_sound(connection, feed_files, spread, damaged, parts)
        return [
            written
            for directory in sorted(spread.glob("part=*"))
            for written in _written(connection, directory, int(directory.name.partition("=")[2]), out, run)
        ]


def _spread_sound(
    connection: DuckDBPyConnection,
    files: Sequence[Path],
    target: Path,
    damaged: Callable[[Path, str], None],
    parts: int,
) -> None:
    """Spreads what can be read. Which objects are damaged is looked for only when something is."""
    if not files:
        return
    try:
        _spread(connection, files, target, parts)
    except _DAMAGE:
        faults = {file: fault for file in files if (fault := _fault(connection, file))}
        if not faults:
            raise
        for file, fault in faults.items():
            damaged(file, fault)
        shutil.rmtree(target, ignore_errors=True)
        _spread_sound(connection, [file for file in files if file not in faults], target, damaged, parts)


def _spread(connection: DuckDBPyConnection, files: Sequence[Path], target: Path, parts: int) -> None:
    """Writes the facts of these objects to `target/part=<part>/`. Raises `duckdb.Error` when one is damaged."""
    part = part_sql("network_ref", parts)
    connection.execute(
        f"COPY (SELECT *, {part} AS part FROM {_facts(files)}) TO {text(target)}"
        " (FORMAT parquet, COMPRESSION lz4, PARTITION_BY (part))"
    )


def _fault(connection: DuckDBPyConnection, file: Path) -> str | None:
    """Why an object cannot be taken, or None."""
    try:
        connection.execute(
            f"SELECT count(part) FROM (SELECT *, {part_sql('network_ref', 1)} AS part FROM {_facts([file])})"
        )
    except _DAMAGE as error:
        return str(error)
    return None


def _facts(files: Sequence[Path]) -> str:
    """What the objects hold, as SQL; it fails where something is no fact.

    Lines are read as text first: of an object whose last line is cut off, DuckDB's reader of JSON lines sometimes
    leaves that line out and says nothing.
    """
    structure = json.dumps(COLUMNS)
    columns = ", ".join(f'fact."{name}"' for name in COLUMNS)
    missing = " OR ".join(f'fact."{name}" IS NULL' for name in COLUMNS if name not in _MAY_BE_NULL)
    wrong = f"""{missing} OR fact.amount <= 0 OR NOT regexp_full_match(fact."at", {text(_TIME)})"""
    lines = (
        f"read_csv({texts(files)}, columns={{'line': 'VARCHAR'}}, header=false, auto_detect=false,"
        f" delim={text(_UNUSED)}, quote='', escape='', new_line='\\n', compression='gzip')"
    )
    return (
        f"(SELECT {columns} FROM (SELECT from_json_strict(line, {text(structure)}) AS fact FROM {lines})"
        f" WHERE CASE WHEN {wrong} THEN error('a line is no fact') ELSE true END)"
    )


def _written(connection: DuckDBPyConnection, part_files: Path, part: int, out: Path, run: str) -> list[Compacted]:
    """Writes a part's facts, each once, in a file per day."""
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    connection.execute(
        f'CREATE OR REPLACE TEMP TABLE of_part AS SELECT DISTINCT {columns}, "at"[:10] AS day'
        f" FROM read_parquet({text(part_files / '*.parquet')})"
    )
    found = []
    for (day,) in connection.execute("SELECT DISTINCT day FROM of_part ORDER BY day").fetchall():
        path = out / f"day={day}" / f"part={part:03d}" / f"{run}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        connection.execute(
            f"COPY (SELECT * FROM of_part WHERE day = {text(day)}) TO {text(path)} (FORMAT parquet, COMPRESSION zstd)"
        )
        found.append(Compacted(day, part, path))
    connection.execute("DROP TABLE of_part")
    return found
