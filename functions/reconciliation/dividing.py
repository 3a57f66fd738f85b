"""A part that is too large for memory, matched share by share: what is compared is in one share, as it is in one part.

A join that does not fit into memory goes to disk several times over. Divided first, by further bits of the same MD5,
every row goes there once, and each share is joined in memory, or nearly so.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple
from datetime import date
from math import ceil
from pathlib import Path
from typing import TypeVar

from duckdb import DuckDBPyConnection

from functions.reconciliation import keeping, loading, rows
from functions.reconciliation.database import text, texts
from functions.reconciliation.exchange import (
    Booking,
    Inputs,
    Known,
    OpenClaim,
    OpenedDispute,
    Outputs,
    Summary,
    Total,
    WantedDispute,
)
from functions.reconciliation.matching import PARQUET, Part
from functions.reconciliation.terms import Terms

MOST_ROWS = 24_000_000
"""Facts and lines of a share, new and kept. Up to so many, what a join within 3 GB puts on disk costs less than
dividing (`bench.reconciliation`: 20 million are matched in 45 s whole, and in 84 s in four shares)."""

Opened = Callable[[str], DuckDBPyConnection]
"""Opens a database of this name, with files of its own and all the memory there is: one share at a time uses it."""

Added = TypeVar("Added", Total, Booking, OpenClaim)


class DividedPart:
    """Is used like a `Part`, and answers the same."""

    def __init__(self, opened: Opened, shares: Sequence[tuple[DuckDBPyConnection, Part, Inputs]]) -> None:
        self._opened, self._shares = opened, shares

    def strangers(self) -> list[str]:
        """See `Part.strangers`."""
        return sorted(stranger for _, share, _ in self._shares for stranger in share.strangers())

    def introduce(self, known: Iterable[Known]) -> None:
        """See `Part.introduce`."""
        known = list(known)
        for _, share, _ in self._shares:
            share.introduce(known)

    def disputes(self) -> list[WantedDispute]:
        """See `Part.disputes`."""
        return sorted((one for _, share, _ in self._shares for one in share.disputes()), key=lambda one: one.line_id)

    def told(self, opened: Iterable[OpenedDispute]) -> None:
        """See `Part.told`."""
        answers = list(opened)
        for _, share, _ in self._shares:
            share.told(answers)

    def run(self, outputs: Outputs) -> Summary:
        """See `Part.run`. A share is removed when it is done, and its database closed: the next one needs the room."""
        made, summaries = [], []
        for number, (connection, share, inputs) in enumerate(self._shares):
            made.append(Outputs(*(file.with_name(f"{number}-{file.name}") for file in _written(outputs))))
            summaries.append(share.run(made[-1]))
            connection.close()
            _remove(*_files(inputs), made[-1].facts)
        with self._opened("whole") as connection:
            _join(connection, [one.results for one in made], outputs.results)
            _join(connection, [one.lines for one in made], outputs.lines)
        keeping.link(outputs.results, outputs.facts)
        return together(summaries)


@contextmanager
def matching(
    opened: Opened,
    directory: Path,
    inputs: Inputs,
    agreed: Terms,
    as_of: date,
    most_rows: int = MOST_ROWS,
    *,
    consume: bool = False,
) -> Iterator[Part | DividedPart]:
    """The matching of these files, divided if they have more rows than that; what is divided goes to the directory.

    With `consume` the files are removed as soon as they are divided: a function's disk has no room for both.
    """
    with ExitStack() as stack:
        connection = stack.enter_context(opened("0"))
        number = ceil(_count(connection, _files(inputs)) / most_rows)
        if number <= 1:
            yield Part(connection, inputs, agreed, as_of)
            return
        shares = _divided(connection, directory, inputs, number, consume)
        connection.close()
        databases = [stack.enter_context(opened(str(share))) for share in range(number)]
        pairs = zip(databases, shares, strict=True)
        yield DividedPart(opened, [(found, Part(found, share, agreed, as_of), share) for found, share in pairs])


def together(summaries: Iterable[Summary]) -> Summary:
    """What shares come to together."""
    summaries = list(summaries)
    counts: Counter[str] = Counter()
    for each in summaries:
        counts.update(each.counts)
    return Summary(
        totals=_sums(Total, [total for each in summaries for total in each.totals], 5),
        by_merchant=_sums(Total, [total for each in summaries for total in each.by_merchant], 5),
        bookings=[
            one
            for one in _sums(Booking, [booking for each in summaries for booking in each.bookings], 3)
            if any((one.captured, one.returned, one.fees, one.written_off))
        ],
        open_claims=[
            one
            for one in _sums(OpenClaim, [claim for each in summaries for claim in each.open_claims], 2)
            if one.amount
        ],
        counts=dict(counts),
    )


def _sums(kind: Callable[..., Added], values: Iterable[Added], names: int) -> list[Added]:
    """Of values that begin with the same so many names, one with their sums."""
    sums: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for value in values:
        fields = astuple(value)
        key, amounts = fields[:names], fields[names:]
        sums[key] = [a + b for a, b in zip(sums[key] or [0] * len(amounts), amounts, strict=True)]
    ordered = sorted(sums.items(), key=lambda found: [(name is None, name) for name in found[0]])
    return [kind(*key, *amounts) for key, amounts in ordered]


def _divided(
    connection: DuckDBPyConnection, directory: Path, inputs: Inputs, number: int, consume: bool
) -> list[Inputs]:
    """The shares of the files."""

    def spread(name: str, files: Sequence[Path], columns: dict[str, str], reference: str) -> list[list[Path]]:
        found = _spread(connection, directory / name, files, columns, reference, number)
        _remove(*files if consume else ())
        return found

    batch = "CASE role WHEN 'member_copy' THEN 'batch:' || batch_ref ELSE network_ref END"
    facts = spread("facts", inputs.facts, loading.FACT, "network_ref")
    lines = spread("lines", inputs.lines, loading.LINE, batch)
    state = [file for file in (inputs.state_facts, inputs.state_lines) if file]
    kept = spread("state", state, rows.ALL, "network_ref")
    return [
        Inputs(facts[share], lines[share], state_lines=next(iter(kept[share]), None), resolutions=inputs.resolutions)
        for share in range(number)
    ]


def _spread(
    connection: DuckDBPyConnection,
    target: Path,
    files: Sequence[Path],
    columns: dict[str, str],
    reference: str,
    number: int,
) -> list[list[Path]]:
    """Writes the rows of the files to one file for each share that has any: bits of the MD5 that no part is told by."""
    if files:
        target.mkdir(parents=True)
        chosen = ", ".join(f'"{name}"' for name in columns)
        share = f"(('0x' || md5({reference})[9:16])::UINTEGER % {number})::INTEGER"
        connection.execute(
            f"COPY (SELECT {chosen}, {share} AS share FROM read_parquet({texts(files)}, hive_partitioning = false))"
            f" TO {text(target)} ({PARQUET}, PARTITION_BY (share))"
        )
    return [sorted(target.glob(f"share={share}/*.parquet")) for share in range(number)]


def _count(connection: DuckDBPyConnection, files: Sequence[Path]) -> int:
    if not files:
        return 0
    return int(connection.execute(f"SELECT sum(num_rows) FROM parquet_file_metadata({texts(files)})").fetchall()[0][0])


def _files(inputs: Inputs) -> list[Path]:
    return [file for file in (*inputs.facts, *inputs.lines, inputs.state_facts, inputs.state_lines) if file]


def _written(outputs: Outputs) -> tuple[Path, ...]:
    return outputs.results, outputs.facts, outputs.lines


def _join(connection: DuckDBPyConnection, files: Sequence[Path], target: Path) -> None:
    connection.execute(f"COPY (FROM read_parquet({texts(files)})) TO {text(target)} ({PARQUET})")
    _remove(*files)


def _remove(*files: Path) -> None:
    for file in files:
        file.unlink()
