"""A part of a run: matched, then booked, then told to the table. May be cut off anywhere and repeated.

`summary.json` is written once the part is booked: who finds it has only the table left to write, which is where a large
part spends its time. So the table is written for as long as a call may take, and the next call goes on there.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from duckdb import DuckDBPyConnection

from functions.reconciliation import ageing, asking, booking, dividing, intake, store, table, terms
from functions.reconciliation.crowd import each
from functions.reconciliation.exchange import Booking, Inputs, Outputs, Summary
from functions.reconciliation.intake import Manifest
from functions.reconciliation.runs import Run

_FACTS, _LINES, _RESULTS, _SUMMARY = "facts.parquet", "lines.parquet", "results.parquet", "summary.json"
_OPENED = "opened.parquet"

_BATCH = 2_000
"""Results that are written between two looks at the clock: some seconds."""

Told = dict[str, Any]


def match(run: Run, part: int, start: int | None, more: Callable[[], bool]) -> Told:
    """Matches and books the part, unless that is done, and writes its results from number `start` on to the table.

    Answers `part`, how many `results` it has, how many are `open` and `changed`, and as `next` where the next call goes
    on to write, None when all is written. Raises what stops a run: `InvalidTerms`, `LedgerUnavailable`,
    `BookingRefused`.
    """
    manifest = intake.manifest(run.run)
    if manifest is None or part not in manifest.parts:
        return {"part": part, "results": 0, "open": 0, "changed": 0, "next": None}
    told = summary(run.run, part)
    if told is None:
        told = _matched(run, part, manifest)
    following = None if run.over else _write(run, part, start or 0, more)
    return {"part": part, **{name: told[name] for name in ("results", "open", "changed")}, "next": following}


def summary(run: str, part: int) -> Told | None:
    """What a part came to, once it is booked: the fields of `exchange.Summary`, and `open_by_age`, `results` …"""
    found: Told | None = store.read_json(store.of_part(run, part, _SUMMARY))
    return found


def _matched(run: Run, part: int, manifest: Manifest) -> Told:
    with TemporaryDirectory() as name:
        directory = Path(name)
        made = Outputs(*(directory / file for file in (_RESULTS, _FACTS, _LINES)))
        comes_to = _compare(run, part, directory, _inputs(run, part, manifest, directory), made)
        with intake.database_in(directory) as connection:
            before, opened = _before(part, manifest, directory), directory / _OPENED
            files = [manifest.file] if manifest.file else []
            aged = ageing.age(connection, made.results, before, opened, run.as_of, files)
        state = ((made.facts, _FACTS), (made.lines, _LINES), (opened, _OPENED))
        results = made.results, store.of_part(run.run, part, _RESULTS)
        store.upload([results, *((file, store.state(run.run, part, name)) for file, name in state)])
    _book(run, part, comes_to.bookings)
    told = {**asdict(comes_to), **aged}
    store.write_json(store.of_part(run.run, part, _SUMMARY), told)
    return told


def _compare(run: Run, part: int, directory: Path, inputs: Inputs, made: Outputs) -> Summary:
    def opened(name: str) -> DuckDBPyConnection:
        return intake.database_in(directory / name)

    agreed = terms.parse(store.read(store.TERMS))
    as_of = date.fromisoformat(run.as_of)
    with dividing.matching(opened, directory / "shares", inputs, agreed, as_of, consume=True) as matching:
        matching.introduce(asking.known(run, part, matching.strangers()))
        matching.told(asking.disputes(run, part, matching.disputes()))
        return matching.run(made)


def _inputs(run: Run, part: int, manifest: Manifest, directory: Path) -> Inputs:
    """The part's files, fetched into the directory."""
    facts = store.download(manifest.facts.get(part, []), directory / "facts")
    lines = [store.lines(manifest.file, part)] if manifest.file and part in manifest.lines else []
    state = (
        [store.state(manifest.states[part], part, name) for name in (_FACTS, _LINES)] if part in manifest.states else []
    )
    state_facts, state_lines = store.download(state, directory / "state") or (None, None)
    return Inputs(
        facts=facts,
        lines=store.download(lines, directory / "lines"),
        state_facts=state_facts,
        state_lines=state_lines,
        resolutions=asking.resolutions(run, part),
    )


def _before(part: int, manifest: Manifest, directory: Path) -> Path | None:
    if part not in manifest.states:
        return None
    (file,) = store.download([store.state(manifest.states[part], part, _OPENED)], directory / "before")
    return file


def _book(run: Run, part: int, bookings: Iterable[Booking]) -> None:
    asking.ledgers_ready()
    each(lambda one: booking.settle(f"{run.run}/{part}", one), bookings)


def _write(run: Run, part: int, start: int, more: Callable[[], bool]) -> int | None:
    """Writes what has changed, from result number `start` on, for as long as there is time; where it stopped."""
    with TemporaryDirectory() as name, intake.database_in(Path(name)) as connection:
        keys = [store.of_part(run.run, part, _RESULTS), store.state(run.run, part, _OPENED)]
        results, opened = store.download(keys, Path(name) / "results")
        for rows in ageing.changed(connection, results, opened, start, _BATCH):
            table.write(rows, run)
            start += len(rows)
            if not more():
                return start
    return None
