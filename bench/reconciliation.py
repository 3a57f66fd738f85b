"""Reconciliation against bare DuckDB: `python -m bench.reconciliation [--rows 10_000_000] [--large]`.

What is compared starts from the same files in one run, alternately, each in a process of its own and within the same
limits: matching (classification, results, state and summary) against a full outer join on the same keys whose columns
are written to Parquet; and `payments reconcile` from settlement files, ingest included, against DuckDB that reads the
same CSV, joins and writes. `--large` matches one part of 67 million lines instead, and says what follows for a day of
8.6 billion: what was measured and what is extrapolated from it stand apart.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from duckdb import DuckDBPyConnection

from bench import environment  # noqa: F401
from bench.reconciliation_data import AS_OF, NETWORKS, make, write_files
from functions.reconciliation import ageing, database, dividing, loading, terms
from functions.reconciliation.exchange import Inputs, Outputs
from local import reconcile
from local.settlement_export import Row

BUDGET_RATIO = 0.8
"""DESIGN section 9: of the rows per second of the bare join."""

ROWS, FILE_ROWS, LARGE_ROWS = 10_000_000, 2_000_000, 67_000_000
CAP, ROOM = "3GB", "12GB"
"""The function's limit, and one in which everything fits."""

TOLD = {
    "capped": f"reconciliation over the bare join, both within {CAP}",
    "room": f"both within {ROOM}, where nothing goes to disk",
    "files": f"from CSV, ingest included, over bare DuckDB from the same CSV, both within {CAP}",
}
"""What each of `figures` is: rows per second of ours over those of the other."""

_PARTS, _DAY, _LAMBDA_SECONDS = 128, 8_600_000_000, 840
_TIMES, _THREADS = 3, 2

_JOIN = """
SELECT coalesce(f.network_ref, l.network_ref) AS network_ref, coalesce(f.kind, l.type) AS type,
    coalesce(f.movement, l.movement) AS movement, payment_id, merchant_id, f.shard, f.network, f.currency,
    f.amount AS expected, day, l.* EXCLUDE (network_ref, type, movement, network, currency, shard),
    l.network AS line_network, l.currency AS line_currency
FROM read_parquet('{facts}') f
FULL JOIN ({lines}) l ON f.network_ref = l.network_ref AND f.kind = l.type AND f.movement = l.movement
"""
"""All that a result needs of both sides."""

_CSV = {"record": "VARCHAR", **{name: loading.LINE[name] for name in Row.__match_args__}}
"""The columns of layout 1."""


@dataclass(frozen=True)
class Measured:
    """A run: wall-clock and CPU seconds, and the most memory (resident) and disk it took, in bytes."""

    seconds: float
    cpu: float
    memory: int
    disk: int


@dataclass(frozen=True)
class Compared:
    """Facts and lines per second, ours and bare; `ratio` is the median of the runs' ratios."""

    rows: int
    ours: float
    bare: float
    ratio: float
    cpu_ratio: float


def figures(rows: int = ROWS) -> dict[str, Compared]:
    """By name: `capped` and `room`, from Parquet; `files`, from settlement files of at most `FILE_ROWS` lines."""
    with _data(rows) as directory:
        found = {
            "capped": _compare(directory, rows, "match", "bare", CAP, _TIMES),
            "room": _compare(directory, rows, "match", "bare", ROOM, _TIMES),
        }
    with _data(min(rows, FILE_ROWS)) as directory:
        write_files(directory)
        return found | {"files": _compare(directory, min(rows, FILE_ROWS), "files", "bare_files", CAP, _TIMES)}


def large(rows: int = LARGE_ROWS) -> Measured:
    """The matching of one part of so many facts and lines within the function's limit."""
    with _data(rows) as directory:
        return _measured("match", directory, CAP)


def _compare(directory: Path, rows: int, ours: str, bare: str, memory: str, times: int) -> Compared:
    pairs = [(_measured(bare, directory, memory), _measured(ours, directory, memory)) for _ in range(times)]
    own = statistics.median(2 * rows / mine.seconds for _, mine in pairs)
    other = statistics.median(2 * rows / plain.seconds for plain, _ in pairs)
    ratio = statistics.median(plain.seconds / mine.seconds for plain, mine in pairs)
    return Compared(rows, own, other, ratio, statistics.median(plain.cpu / mine.cpu for plain, mine in pairs))


@contextmanager
def _data(rows: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-reconciliation-") as name:
        make(Path(name), rows)
        yield Path(name)


def _measured(what: str, directory: Path, memory: str) -> Measured:
    """Runs one of `_RUNS` in a process of its own."""
    made = directory / what
    shutil.rmtree(made, ignore_errors=True)
    command = [sys.executable, "-m", "bench.reconciliation", "--run", what, str(directory), memory]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        over = threading.Event()
        most = [0]
        watch = threading.Thread(target=_watch, args=(made, over, most))
        watch.start()
        assert process.stdout
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        over.set()
        watch.join()
    if process.returncode:
        raise RuntimeError(f"{what}: exit code {process.returncode}")
    shutil.rmtree(made, ignore_errors=True)
    return Measured(**json.loads(output), memory=used.ru_maxrss * 1024, disk=most[0])


def _watch(directory: Path, over: threading.Event, most: list[int]) -> None:
    """What is on disk, the fetched input included, twice a second. A file with two names is there once."""
    while not over.wait(0.5):
        sizes = {}
        for path in directory.rglob("*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                sizes[status.st_ino] = status.st_blocks * 512
        most[0] = max(most[0], sum(sizes.values()))


def _match(directory: Path, made: Path, memory: str) -> None:
    outputs = Outputs(*(made / f"{name}.parquet" for name in ("results", "facts", "lines")))
    inputs = Inputs([_linked(directory / "facts.parquet", made)], [_linked(directory / "lines.parquet", made)])

    def opened(name: str) -> DuckDBPyConnection:
        return database.opened(made / "duckdb" / name, memory, _THREADS)

    with dividing.matching(opened, made / "shares", inputs, terms.parse(None), AS_OF, consume=True) as matching:
        matching.run(outputs)
    with database.opened(made / "duckdb", memory, _THREADS) as connection:
        ageing.age(connection, outputs.results, None, made / "opened.parquet", str(AS_OF), [])


def _linked(file: Path, made: Path) -> Path:
    """The file as a function has it: fetched, and its own to remove."""
    own = made / "fetched" / file.name
    own.parent.mkdir(exist_ok=True)
    os.link(file, own)
    return own


def _files(directory: Path, made: Path, memory: str) -> None:
    files = [directory / f"{network}.csv" for network in NETWORKS]
    wanted = reconcile.Wanted(
        files, [directory / "facts.parquet"], made / "out", AS_OF, memory=memory, threads=_THREADS
    )
    reconcile.reconcile(wanted, lambda *_: None)


def _bare(directory: Path, made: Path, memory: str) -> None:
    _write_join(directory, made, memory, f"SELECT * EXCLUDE (role) FROM read_parquet('{directory}/lines.parquet')")


def _bare_files(directory: Path, made: Path, memory: str) -> None:
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in _CSV.items())
    lines = f"""SELECT * EXCLUDE (record, filename), filename AS network, NULL AS shard
        FROM read_csv('{directory}/*.csv', columns = {{{columns}}}, header = false, auto_detect = false, delim = ',',
            quote = '"', null_padding = true, filename = true) WHERE record = 'L'"""
    _write_join(directory, made, memory, lines)


def _write_join(directory: Path, made: Path, memory: str, lines: str) -> None:
    query = _JOIN.format(facts=directory / "facts.parquet", lines=lines)
    with database.opened(made / "duckdb", memory, _THREADS) as connection:
        connection.execute(f"COPY ({query}) TO '{made}/joined.parquet' (FORMAT parquet)")


_RUNS: dict[str, Callable[[Path, Path, str], None]] = {
    "match": _match,
    "files": _files,
    "bare": _bare,
    "bare_files": _bare_files,
}


def _run(what: str, directory: str, memory: str) -> None:
    made = Path(directory) / what
    made.mkdir(parents=True, exist_ok=True)
    start, used = time.perf_counter(), time.process_time()
    _RUNS[what](Path(directory), made, memory)
    print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - used}))


def _show(found: dict[str, Compared]) -> None:
    for name, one in found.items():
        met = "met" if one.ratio >= BUDGET_RATIO else "missed"
        budget = f" (budget: at least {BUDGET_RATIO} ×, {met})" if name == "capped" else ""
        print(f"{TOLD[name]}: {one.ratio:.2f} ×{budget}")
        print(f"  {one.rows:,} facts and as many lines: {one.ours:,.0f} rows/s, bare {one.bare:,.0f} rows/s")
        print(f"  by CPU time {one.cpu_ratio:.2f} ×")


def _show_large(rows: int) -> None:
    one = large(rows)
    print(f"measured: {rows:,} facts and as many lines of one part, {_THREADS} threads, DuckDB's limit {CAP}")
    print(f"  {one.seconds:,.0f} s, {one.cpu:,.0f} s of CPU, {2 * rows / one.seconds:,.0f} rows/s")
    print(f"  most memory, of the whole process: {one.memory / 1e9:.2f} GB")
    print(f"  most disk, the fetched input included: {one.disk / 1e9:.1f} GB")
    share = _DAY / _PARTS
    seconds = one.seconds * share / rows
    print(f"extrapolated: {_DAY:,} lines over {_PARTS} parts, {share:,.0f} each, in {_PARTS} functions at once")
    print(f"  {seconds:,.0f} s where each is as fast as this machine; a function has {_LAMBDA_SECONDS} s")
    print(f"  {seconds * _PARTS / 3600:,.1f} hours of functions altogether")
    print("  not in it: fetching and putting objects, the table's writes, ingest")


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.reconciliation")
    parser.add_argument("--rows", type=int, help="facts, and as many lines")
    parser.add_argument(
        "--large", action="store_true", help=f"one part of {LARGE_ROWS:,} lines; many minutes, 40 GB of disk"
    )
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.run:
        _run(*given.run)
    elif given.large:
        _show_large(given.rows or LARGE_ROWS)
    else:
        _show(figures(given.rows or ROWS))


if __name__ == "__main__":
    main(sys.argv[1:])
