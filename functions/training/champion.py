"""The model that is asked today, as files: from the bundle if it is the shipped one, else from the bucket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from functions.training import model_files, pointers, store
from functions.training.model_files import ABOUT, REFERENCE, TEXT, Damaged, Learned

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "fraud"
"""The same path in a bundle as in the repository."""


class NoChampion(LookupError):
    """The champion's files are not where they should be, or are damaged: there is nothing to compare with."""


def shipped() -> str:
    """The version of the model that the bundle carries."""
    return str(json.loads((SHIPPED / ABOUT).read_bytes())["version"])


def version() -> str:
    """The version that is asked now."""
    standing = pointers.champion()
    return standing.version if standing else shipped()


def about(of: str) -> dict[str, Any]:
    """What a version's model.json says. Raises NoChampion."""
    found = _file(of, ABOUT)
    try:
        return dict(json.loads(found or b""))
    except ValueError as error:
        raise NoChampion(f"{of}: {ABOUT} is {'damaged' if found else 'missing'}") from error


def learned(of: str) -> Learned:
    """A version, ready to be asked. Raises NoChampion."""
    text, said = _file(of, TEXT), _file(of, ABOUT)
    if text is None or said is None:
        raise NoChampion(f"{of}: {ABOUT if text else TEXT} is missing")
    try:
        found = model_files.read(text, said, _file(of, REFERENCE))
    except Damaged as error:
        raise NoChampion(f"{of}: {error}") from error
    if found.version != of:
        raise NoChampion(f"{of}: the files are those of {found.version}")
    return found


def keep_shipped() -> None:
    """Puts the shipped model into every region's bucket, once: when a later deployment ships another, this one can
    still be asked, compared with and gone back to."""
    version = shipped()
    if store.read(store.of_model(version, ABOUT)) is None:
        for name in model_files.FILES:
            store.write_everywhere(store.of_model(version, name), (SHIPPED / name).read_bytes())


def _file(of: str, name: str) -> bytes | None:
    if of != shipped():
        return store.read(store.of_model(of, name))
    path = SHIPPED / name
    return path.read_bytes() if path.exists() else None
