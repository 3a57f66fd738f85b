"""Facts in files, as the feed or the compaction left them, spread over the parts that are matched."""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from functions.reconciliation import compaction
from functions.reconciliation.database import text, texts
from functions.reconciliation.parts import part_sql
from local.reconcile_input import BadInput

_PARQUET, _FEED = ".parquet", ".jsonl.gz"
_COLUMNS = (*compaction.COLUMNS, "day")


def files(given: Iterable[Path]) -> list[Path]:
    """The files given, and those in the directories given. Raises `BadInput` where there are none."""
    found: dict[Path, None] = {}
    for path in given:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        facts = [file for file in inside if file.name.endswith((_PARQUET, _FEED)) and file.is_file()]
        if not facts:
            raise BadInput(f"{path}: no facts; they are in files that end in {_PARQUET} or {_FEED}")
        found.update(dict.fromkeys(file.resolve() for file in facts))
    return list(found)


def by_part(
    connection: DuckDBPyConnection, given: Iterable[Path], directory: Path, parts: int
) -> dict[int, list[Path]]:
    """The facts' files by part, in Parquet; those of one part are taken as they are. Raises `BadInput`."""
    chosen = files(given)
    found: defaultdict[int, list[Path]] = defaultdict(list)
    feed = [file for file in chosen if file.name.endswith(_FEED)]
    for one in _compacted(connection, feed, directory, parts) if feed else ():
        found[one.part].append(one.path)
    parquet = [file for file in chosen if file.name.endswith(_PARQUET)]
    _check(connection, parquet)
    if parts == 1:
        found[0] += parquet
    elif parquet:
        for path in _spread(connection, parquet, directory / "parquet", parts):
            found[int(path.name.partition("=")[2])] += sorted(path.glob(f"*{_PARQUET}"))
    return {part: paths for part, paths in found.items() if paths}


def _compacted(
    connection: DuckDBPyConnection, feed: Sequence[Path], directory: Path, parts: int
) -> list[compaction.Compacted]:
    def refuse(file: Path, why: str) -> None:
        raise BadInput(f"{file}: damaged: {why.splitlines()[0]}")

    return compaction.compact(connection, feed, directory, "feed", refuse, parts)


def _check(connection: DuckDBPyConnection, parquet: Iterable[Path]) -> None:
    """Each must be Parquet, and have the columns of facts."""
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    for file in parquet:
        try:
            connection.execute(f"SELECT {columns} FROM read_parquet({text(file)}, hive_partitioning = false) LIMIT 0")
        except duckdb.Error as error:
            raise BadInput(f"{file}: no facts: {str(error).splitlines()[0]}") from None


def _spread(connection: DuckDBPyConnection, parquet: Sequence[Path], target: Path, parts: int) -> list[Path]:
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(
        f"COPY (SELECT {columns}, {part_sql('network_ref', parts)} AS part"
        f" FROM read_parquet({texts(parquet)}, hive_partitioning = false))"
        f" TO {text(target)} (FORMAT parquet, COMPRESSION lz4, PARTITION_BY (part))"
    )
    return sorted(target.glob("part=*"))
