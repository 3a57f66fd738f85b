"""Reconciliation on one machine, without AWS: settlement files and facts in, results and a report out.

What is matched with what, and how, is `functions/reconciliation`. Here files are spread over parts, as they are in the
store, and parts are matched some at a time, so that memory does not grow with the files. All of it is made in a
directory of its own beside the output, which is put in its place when everything is done.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from duckdb import DuckDBPyConnection

from functions.reconciliation import ageing, database, dividing, ingest, layouts, report, terms, unpacking
from functions.reconciliation.exchange import Inputs, Outputs
from functions.reconciliation.totals import Totals
from local import reconcile_facts, reconcile_state
from local.reconcile_input import BadInput, megabytes
from local.reconcile_state import Before
from payments import clock

_PART_BYTES = 256 * 2**20
"""Of input, for each part, where nobody says how many parts there are to be: some millions of lines."""

_MOST_PARTS = 128
_FUNCTION_MEGABYTES = 3 * 1024
_LEAST_MEGABYTES = 256
"""That a part is matched in."""

_OWN = {"results", "rejects", "report.json", "report.csv", "report.html"}
"""What there is in an output; what else a directory has is not ours to replace."""

Progress = Callable[[str, int, int], None]
"""Is told what is being done, and how much of how much is done of it."""


@dataclass(frozen=True)
class Wanted:
    """What is to be reconciled, and with what. `memory` and `threads` are for all parts together."""

    files: Sequence[Path]
    facts: Sequence[Path]
    out: Path
    as_of: date
    terms: Path | None = None
    state: Path | None = None
    memory: str = "3GB"
    threads: int = 2
    parts: int | None = None


@dataclass(frozen=True)
class Outcome:
    """The report, how many records are open, and how many rows were rejected."""

    report: dict[str, Any]
    open: int
    rejected: int


class _Run:
    """One run, in a directory of its own."""

    def __init__(self, wanted: Wanted, before: Before, agreed: terms.Terms, directory: Path, progress: Progress):
        self._wanted, self._before, self._terms, self._progress = wanted, before, agreed, progress
        self._work, self.out = directory / "work", directory / "out"
        self.parts = _parts(wanted, before)
        self.files: list[dict[str, Any]] = []
        self._lines: list[dict[int, Path]] = []
        for path in (self._work, self.out / "results"):
            path.mkdir(parents=True)

    @property
    def taken(self) -> list[str]:
        """The ids of the files whose lines are matched."""
        return [file["file"] for file in self.files if file["result"] == "accepted"]

    def made(self, part: int) -> Path:
        """The directory of what is made of a part."""
        return self._work / "parts" / str(part)

    def matched(self) -> Totals:
        """Does it all, but for the report."""
        for number, file in enumerate(self._wanted.files):
            self._take(number, file)
        facts = self._facts()
        parts = sorted({*facts, *self._before.states, *(part for lines in self._lines for part in lines)})
        workers = max(1, min(self._wanted.threads, len(parts), self._memory() // _LEAST_MEGABYTES))
        totals = Totals()
        with ThreadPoolExecutor(workers) as pool:
            told = pool.map(lambda part: self._match(part, facts.get(part, []), workers), parts)
            for done, summary in enumerate(told):
                self._progress("Matching", done, len(parts))
                totals.add(summary)
        self._progress("Matching", len(parts), len(parts))
        return totals

    def _take(self, number: int, file: Path) -> None:
        """Takes in a file, unless it was taken before."""
        name, size, done = f"Reading {file.name}", file.stat().st_size, 0

        def progress(more: int) -> None:
            nonlocal done
            done += more
            self._progress(name, min(done, size), size)

        self._progress(name, 0, size)
        directory = self._work / "files" / str(number)
        with self._database("ingest") as connection:
            key = f"inbox/{_network(file)}/{file.name}"
            found = ingest.ingest(connection, file, key, directory, self.parts, progress)
        if found.refused:
            raise BadInput(f"{file}: refused: {found.refused} (docs/settlement_files.md)")
        repeated = found.file in {*self._before.files, *self.taken}
        told = {name: getattr(found, name) for name in ("file", "network", "business_date", "rows", "rejected")}
        self.files.append(told | {"key": str(file), "result": "repeated" if repeated else "accepted", "reason": None})
        if repeated:
            shutil.rmtree(directory)
            return
        self._lines.append(found.lines)
        if found.rejects:
            (self.out / "rejects").mkdir(exist_ok=True)
            shutil.move(found.rejects, self.out / "rejects" / f"{found.file}.csv")

    def _facts(self) -> dict[int, list[Path]]:
        self._progress("Reading facts", 0, 1)
        with self._database("facts") as connection:
            found = reconcile_facts.by_part(connection, self._wanted.facts, self._work / "facts", self.parts)
        self._progress("Reading facts", 1, 1)
        return found

    def _match(self, part: int, facts: Sequence[Path], workers: int) -> dict[str, Any]:
        made = self.made(part)
        made.mkdir(parents=True)
        before = self._before.states.get(part)
        inputs = Inputs(
            facts=facts,
            lines=[lines[part] for lines in self._lines if part in lines],
            state_facts=before and before / reconcile_state.FACTS,
            state_lines=before and before / reconcile_state.LINES,
        )
        outputs = Outputs(
            self.out / "results" / f"{part}.parquet", made / reconcile_state.FACTS, made / reconcile_state.LINES
        )

        def opened(name: str) -> DuckDBPyConnection:
            return self._opened(f"match-{part}-{name}", workers)

        shares = made / "shares"
        with dividing.matching(
            opened, shares, inputs, self._terms, self._wanted.as_of, most_rows=self._most_rows(workers)
        ) as matching:
            comes_to = matching.run(outputs)
        opened = made / reconcile_state.OPENED
        with self._database(f"age-{part}", workers) as connection:
            earlier = before and before / reconcile_state.OPENED
            aged = ageing.age(connection, outputs.results, earlier, opened, str(self._wanted.as_of), self.taken)
        return {**asdict(comes_to), **aged}

    def _memory(self) -> int:
        return megabytes(self._wanted.memory)

    def _most_rows(self, workers: int) -> int:
        """That are matched at once: with less memory than a function has, fewer."""
        return max(1, min(dividing.MOST_ROWS, dividing.MOST_ROWS * self._memory() // workers // _FUNCTION_MEGABYTES))

    def _database(self, name: str, workers: int = 1) -> "closing[DuckDBPyConnection]":
        return closing(self._opened(name, workers))

    def _opened(self, name: str, workers: int) -> DuckDBPyConnection:
        """A database with its share of memory and threads, for one of so many at a time."""
        memory = f"{max(1, self._memory() // workers)}MiB"
        threads = max(1, self._wanted.threads // workers)
        return database.opened(self._work / "duckdb" / name, memory, threads)


def reconcile(wanted: Wanted, progress: Progress) -> Outcome:
    """Reconciles, and leaves the output and the state. Raises `BadInput`; then nothing is left that was not there."""
    agreed, before = _agreed(wanted.terms), reconcile_state.read(wanted.state)
    _check(wanted, before)
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".reconcile-", dir=wanted.out.parent) as name:
        run = _Run(wanted, before, agreed, Path(name), progress)
        totals = run.matched()
        told = _report(wanted, totals, run.files)
        for file, content in report.render(told).items():
            (run.out / file).write_bytes(content)
        _replace(run.out, wanted.out, Path(name) / "replaced")
        if wanted.state:
            files = [*before.files, *run.taken]
            reconcile_state.leave(wanted.state, before, wanted.as_of, run.parts, files, run.made)
    return Outcome(told, totals.counts["open"], sum(file["rejected"] for file in run.files))


def _report(wanted: Wanted, totals: Totals, files: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """As a run's; there are no balances of clearing accounts to compare with."""
    named = {"run": "local", "as_of": str(wanted.as_of), "created_at": clock.now()}
    return named | totals.report(None, []) | {"files": list(files)}


def _check(wanted: Wanted, before: Before) -> None:
    strange = sorted({path.name for path in wanted.out.iterdir()} - _OWN) if wanted.out.exists() else []
    if strange:
        raise BadInput(f"{wanted.out}: has {strange[0]} in it; --out must be new, or what a reconciliation left")
    if before.as_of and wanted.as_of < before.as_of:
        raise BadInput(f"--as-of {wanted.as_of}: the state in {wanted.state} is of {before.as_of}")
    if before.parts and wanted.parts not in (None, before.parts):
        raise BadInput(f"--parts {wanted.parts}: the state in {wanted.state} has {before.parts} parts")


def _parts(wanted: Wanted, before: Before) -> int:
    size = sum(path.stat().st_size for path in (*wanted.files, *reconcile_facts.files(wanted.facts)))
    return before.parts or wanted.parts or min(_MOST_PARTS, max(1, ceil(size / _PART_BYTES)))


def _agreed(file: Path | None) -> terms.Terms:
    try:
        return terms.parse(file.read_bytes() if file else None)
    except (terms.InvalidTerms, OSError) as error:
        raise BadInput(f"{file}: no terms: {error}") from None


def _network(file: Path) -> str:
    """The network that the file's header names: here nobody has put it into a network's folder."""
    try:
        first = next(_lines(file), b"")
    except unpacking.Unreadable as error:
        raise BadInput(f"{file}: refused: {error} (docs/settlement_files.md)") from None
    found = layouts.detected(first.decode())
    return found[1].network if found else ""


def _lines(file: Path) -> Iterator[bytes]:
    return (block.partition(b"\n")[0] for block in unpacking.Content(file).blocks())


def _replace(made: Path, out: Path, replaced: Path) -> None:
    if out.exists():
        out.rename(replaced)
    made.rename(out)
