"""What one `payments reconcile` leaves for the next, in a directory: `state.json`, which names the folder of the rest.

The folder is written first and `state.json` replaced last, so that a run that is cut off leaves the state as it was.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec

from local.reconcile_input import BadInput

FACTS, LINES, OPENED = "facts.parquet", "lines.parquet", "opened.parquet"

_STATE = "state.json"


class _Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    run: int
    as_of: date
    parts: int
    files: list[str]


@dataclass(frozen=True)
class Before:
    """What an earlier run left: its day, into how many parts things are divided, the ids of all files that were taken,
    and the folder of each part's files."""

    run: int = 0
    as_of: date | None = None
    parts: int | None = None
    files: tuple[str, ...] = ()
    states: Mapping[int, Path] = field(default_factory=dict)


def read(directory: Path | None) -> Before:
    """The state in the directory; nothing where there is none yet. Raises `BadInput`."""
    file = directory / _STATE if directory else None
    if directory is None or file is None or not file.exists():
        return Before()
    try:
        saved = msgspec.json.decode(file.read_bytes(), type=_Saved)
    except (msgspec.DecodeError, OSError) as error:
        raise BadInput(f"{file}: no state of a reconciliation: {error}") from None
    folder = directory / str(saved.run)
    states = {int(path.name): path for path in folder.iterdir()} if folder.is_dir() else {}
    return Before(saved.run, saved.as_of, saved.parts, tuple(saved.files), states)


def leave(
    directory: Path, before: Before, as_of: date, parts: int, files: Iterable[str], made: Callable[[int], Path]
) -> None:
    """Leaves a state of these files of the parts, in place of the one before."""
    saved = _Saved(before.run + 1, as_of, parts, sorted(set(files)))
    folder = directory / str(saved.run)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for part in range(parts):
        if made(part).exists():
            shutil.copytree(made(part), folder / str(part))
    written = directory / f"{_STATE}.new"
    written.write_bytes(msgspec.json.encode(saved))
    os.replace(written, directory / _STATE)
    shutil.rmtree(directory / str(before.run), ignore_errors=True)
