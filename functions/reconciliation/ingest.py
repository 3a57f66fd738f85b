"""A card network's settlement file becomes lines by part, and a list of its bad rows (docs/settlement_files.md).

A bad row never stops a file; a file that is not as the network wrote it is refused whole. Works in the memory that the
connection has, whatever the file's size; on disk there is one piece of the text at a time, and the lines.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from duckdb import DuckDBPyConnection

from functions.reconciliation import layouts, unpacking
from functions.reconciliation.reading import Rows
from payments.accounts import NETWORKS

PIECE = 64 * 2**20
"""Bytes of text that are worked on at once: as a table of DuckDB's some three times as much."""


@dataclass(frozen=True)
class FileOutcome:
    """What a file came to: where the lines of each part are, and the bad rows, if there are any.

    `network` is that of the folder it lay in. `rows` is what stood between header and trailer. A file that is
    `refused`, with a code, has no lines.
    """

    file: str
    network: str
    business_date: str | None
    rows: int
    rejected: int
    refused: str | None
    lines: dict[int, Path] = field(default_factory=dict)
    rejects: Path | None = None


def ingest(
    connection: DuckDBPyConnection,
    source: Path,
    key: str,
    directory: Path,
    parts: int,
    progress: Callable[[int], None] = lambda _: None,
) -> FileOutcome:
    """Takes in the file `source` that lay under `key` (`inbox/<network>/<name>`); tells `progress` of every piece, how
    many bytes of text it had.

    What is made of it is in a folder of the directory that has the source's name; there must be none yet.
    """
    content = unpacking.Content(source)
    network = "".join(key.split("/")[1:2])
    connection.execute("SET preserve_insertion_order = true")  # rows have numbers, and lines stay in their order
    try:
        rows = directory / f"{source.name}-ingest"
        return _outcome(connection, content, network, rows, parts, progress)
    except unpacking.Unreadable as error:
        return FileOutcome(unpacking.id_as_it_is(source), network, None, 0, 0, str(error))
    finally:
        connection.execute("SET preserve_insertion_order = false")


def _outcome(
    connection: DuckDBPyConnection,
    content: unpacking.Content,
    network: str,
    directory: Path,
    parts: int,
    progress: Callable[[int], None],
) -> FileOutcome:
    blocks = content.blocks()
    first = next(blocks, b"")
    found = layouts.detected(first.partition(b"\n")[0].decode())
    if found is None or found[1].network != network or network not in NETWORKS:
        for _ in blocks:
            pass  # the id is that of the whole content
        code = "network_differs" if found else "unknown_layout" if first.strip() else "empty"
        return FileOutcome(content.file, network, None, 0, 0, code)
    layout, header = found
    rows, before = Rows(connection, directory, layout, network, parts), 0
    for piece, lines in _pieces(chain([first], blocks), directory / "piece.txt"):
        rows.take(piece, before)
        before += lines
        progress(piece.stat().st_size)
    tally, refused = rows.tally, rows.tally.refused(layout)
    came = (content.file, network, header.business_date, tally.rows, tally.rejected, refused)
    if refused:
        return FileOutcome(*came)
    return FileOutcome(*came, rows.lines(content.file), rows.rejects if tally.rejected else None)


def _pieces(blocks: Iterable[bytes], piece: Path) -> Iterator[tuple[Path, int]]:
    """Blocks in a file of about `PIECE` bytes, and how many lines these are; the next ones come in the same file."""
    left = iter(blocks)
    for block in left:
        size = lines = 0
        with piece.open("wb") as target:
            for one in chain([block], left):
                size, lines = size + target.write(one), lines + one.count(b"\n")
                if size >= PIECE:
                    break
        yield piece, lines
    piece.unlink(missing_ok=True)
