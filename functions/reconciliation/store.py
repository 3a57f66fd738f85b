"""The bucket: its layout (docs/reconciliation.md, "The store"), and objects to and from files and values.

Nothing else in here knows a key. Values are JSON, encoded with sorted names, so the same value is the same object.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from functions.reconciliation.crowd import each
from functions.reconciliation.settings import Settings
from payments import objects
from payments.clients import client
from payments.settings import load

FEED = "feed/"
INBOX = "inbox/"
TERMS = "config/terms.json"

_READ_TIMEOUT_SECONDS = 60
"""Of a file's next bytes."""

_MOST_DELETED = 1_000
"""Objects of one DeleteObjects."""


class Missing(LookupError):
    """There is no such object; the message is its key."""


def ready() -> None:
    """Makes the client, before threads ask for it."""
    _s3()


def lines(file: str, part: int) -> str:
    """Key of a settlement file's lines of a part."""
    return f"files/{file}/lines/{part}.parquet"


def lines_of(file: str) -> str:
    """Prefix of a settlement file's lines of all parts."""
    return f"files/{file}/lines/"


def rejects(file: str) -> str:
    """Key of a settlement file's bad rows."""
    return f"files/{file}/rejects.csv"


def outcome(file: str) -> str:
    """Key of what a settlement file came to."""
    return f"files/{file}/file.json"


def facts(day: str, part: int, run: str) -> str:
    """Key of the facts of a day (`2026-11-23`) and part that a run took in."""
    return f"facts/day={day}/part={part}/{run}.parquet"


def of_run(run: str, name: str) -> str:
    """Key of an object of a run: `manifest.json`, `feed.json`, `file.json`, `report.csv` …"""
    return f"runs/{run}/{name}"


def of_part(run: str, part: int, name: str) -> str:
    """Key of an object of a part of a run: `results.parquet`, `summary.json`, `given.json`."""
    return f"runs/{run}/parts/{part}/{name}"


def state(run: str, part: int, name: str) -> str:
    """Key of what a run left open in a part: `facts.parquet` or `lines.parquet`."""
    return f"state/{run}/{part}/{name}"


def resolutions(part: int | None = None) -> str:
    """Prefix of the discrepancies that somebody decided, of a part or of all."""
    return "resolutions/" if part is None else f"resolutions/{part}/"


def part_of_lines(key: str) -> int:
    """The part in a key of `lines`."""
    return int(key.rpartition("/")[2].partition(".")[0])


def part_of_resolution(key: str) -> int:
    """The part in the key of a resolution."""
    return int(key.split("/")[1])


def find(prefix: str) -> list[str]:
    """The keys that begin with this, in order."""
    pages = _s3().get_paginator("list_objects_v2").paginate(Bucket=_bucket(), Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", ())]


def read(key: str) -> bytes | None:
    """An object's content; None when there is none."""
    return objects.read(_s3(), _bucket(), key)


def read_json(key: str) -> Any:
    """An object's value; None when there is no such object."""
    content = read(key)
    return None if content is None else msgspec.json.decode(content)


def write(key: str, content: bytes) -> None:
    """Puts an object, whether there is one or not."""
    _s3().put_object(Bucket=_bucket(), Key=key, Body=content)


def write_json(key: str, value: Any) -> None:
    """Puts a value, whether there is one or not."""
    write(key, msgspec.json.encode(value, order="sorted"))


def put_once(key: str, value: Any) -> Any:
    """The value under a key that is written once: this one, or what somebody else has put there before."""
    content = msgspec.json.encode(value, order="sorted")
    try:
        _s3().put_object(Bucket=_bucket(), Key=key, Body=content, IfNoneMatch="*")
    except ClientError as error:
        # Two that put at the same moment: one is told so before either object is there.
        if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
            raise
        standing = read_json(key)
        if standing is None:
            raise
        return standing
    return msgspec.json.decode(content)


def download(keys: Sequence[str], directory: Path) -> list[Path]:
    """The objects as files of a directory, which is made. Raises `Missing` when one is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    files = [directory / key.replace("/", "~") for key in keys]
    ready()
    each(lambda pair: _fetch(*pair), zip(keys, files, strict=True))
    return files


def upload(files: Iterable[tuple[Path, str]]) -> None:
    """Puts files under their keys."""
    ready()
    each(lambda pair: _send(*pair), files)


def delete(keys: Sequence[str]) -> None:
    """Removes objects; those that are gone already may be named again."""
    for start in range(0, len(keys), _MOST_DELETED):
        gone = [{"Key": key} for key in keys[start : start + _MOST_DELETED]]
        _s3().delete_objects(Bucket=_bucket(), Delete={"Objects": gone, "Quiet": True})


def _fetch(key: str, file: Path) -> None:
    try:
        body = _s3().get_object(Bucket=_bucket(), Key=key)["Body"]
    except ClientError as error:
        if not objects.is_absent(error):
            raise
        raise Missing(key) from None
    with file.open("wb") as target:
        shutil.copyfileobj(body, target)


def _send(file: Path, key: str) -> None:
    with file.open("rb") as content:
        _s3().put_object(Bucket=_bucket(), Key=key, Body=content)


def _s3() -> Any:
    return client("s3", read_timeout=_READ_TIMEOUT_SECONDS)


def _bucket() -> str:
    return load(Settings).reconciliation_bucket
