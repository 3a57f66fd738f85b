"""`payments reconcile`: settlement files against facts, on one machine and without AWS."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from local.shown import console

if TYPE_CHECKING:
    from local.reconcile import Outcome
    from local.reconcile import Progress as Told

_OPEN, _BAD_INPUT = 1, 2
_FACTS = "What the ledger knows: the projector's feed (.jsonl.gz), facts in Parquet, or directories of them."


def reconcile(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", exists=True, dir_okay=False, help="Settlement files, also gzip.")
    ],
    facts: Annotated[list[Path], typer.Option(exists=True, help=f"{_FACTS} Repeatable.")],
    terms: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="As config/terms.json.")] = None,
    as_of: Annotated[str | None, typer.Option(help="2026-11-23; today (UTC) by default.")] = None,
    state: Annotated[Path | None, typer.Option(file_okay=False, help="Go on with what is here, and leave it.")] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="For results and report.")] = Path("reconciliation"),
    memory: Annotated[str, typer.Option(help="Limit for all of DuckDB; beyond it, disk beside --out.")] = "3GB",
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    parts: Annotated[int | None, typer.Option(min=1, max=4096, help="By size by default; fixed by --state.")] = None,
) -> None:
    """Match settlement FILEs with the ledger's facts, of any size, on this machine and without AWS.

    Nothing is booked, and no dispute opened: a chargeback that the facts do not know stays missing_in_ledger. Exit code
    0: everything is settled or not due; 1: something is open, or rows were rejected; 2: the input cannot be used.
    """
    from duckdb import Error as DatabaseError  # slow to import

    from local import reconcile as reconciling
    from local.reconcile_input import BadInput

    try:
        day = _day(as_of)
        wanted = reconciling.Wanted(files, facts, out, day, terms, state, memory, threads, parts)
        with _progress() as told:
            outcome = reconciling.reconcile(wanted, told)
    except (BadInput, OSError, DatabaseError) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(_BAD_INPUT) from None
    for table in _tables(outcome):
        console.print(table)
    console.print(_sentence(outcome, out), markup=False, soft_wrap=True)
    raise typer.Exit(_OPEN if outcome.open or outcome.rejected else 0)


@contextmanager
def _progress() -> Iterator["Told"]:
    """A bar for each thing that is done."""
    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as shown:

        def told(what: str, done: int, whole: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=whole)
            shown.update(tasks[what], completed=done)

        yield told


def _tables(outcome: "Outcome") -> Iterator[Table]:
    files = Table("file", "network", "of", "result", "rows", "rejected", title="Files")
    files.columns[0].overflow = "fold"
    for file in outcome.report["files"]:
        files.add_row(*(str(file[name]) for name in ("key", "network", "business_date", "result", "rows", "rejected")))
    yield files
    classes = Table("class", "currency", "records", "settled", "difference", "at risk", title="Minor units")
    for (class_, currency), sums in sorted(_sums(outcome.report["totals"]).items()):
        classes.add_row(class_, currency, *(f"{sums[name]:,}" for name in _SUMMED))
    yield classes


_SUMMED = ("lines", "settled", "difference", "at_risk")


def _sums(totals: list[dict[str, Any]]) -> dict[tuple[str, str], Counter[str]]:
    sums: dict[tuple[str, str], Counter[str]] = {}
    for row in totals:
        found = sums.setdefault((row["class"], row["currency"]), Counter())
        found.update({name: row[name] for name in _SUMMED})
    return sums


def _sentence(outcome: "Outcome", out: Path) -> str:
    rate = outcome.report["match_rate"]
    matched = "no lines" if rate is None else f"{rate // 1000}.{rate % 1000:03} % matched"
    return f"{matched}, {outcome.open:,} open, {outcome.rejected:,} rows rejected: {out / 'report.html'}"


def _day(as_of: str | None) -> date:
    from local.reconcile_input import BadInput

    try:
        return date.fromisoformat(as_of) if as_of else datetime.now(UTC).date()
    except ValueError:
        raise BadInput(f"--as-of {as_of}: must be a day, 2026-11-23") from None
