"""The region's bucket of fraud models, read: versions, and the reports of the runs that train them.

Layout: docs/interfaces.md, "Scores, labels and models".
"""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import msgspec

from functions.operations.settings import settings
from payments import objects
from payments.clients import client
from payments.listings import Cursor, Page, page_of

Json = dict[str, Any]

REPORTS = "reports/"
_READERS = 10
"""Reports of a page that are read at the same time: as many connections as a client keeps."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)
"""Versions and runs: nothing that leads out of its prefix."""


def about(version: str) -> Json | None:
    """What a version's model.json says; None when there is none, or it is not of this version."""
    if not _NAME.fullmatch(version):
        return None
    told = _decoded(_content(f"models/{version}/model.json"))
    return told if told and told.get("version") == version else None


def is_whole(version: str, told: Mapping[str, Any]) -> bool:
    """Whether the version's model.txt is there, and the one that its model.json speaks of."""
    content = _content(f"models/{version}/model.txt")
    return content is not None and sha256(content).hexdigest() == told.get("sha256")


def report(run: str) -> Json | None:
    """A run's report; None when there is none, or it cannot be read."""
    return _decoded(_content(f"{REPORTS}{run}.json")) if _NAME.fullmatch(run) else None


def reports(limit: int, cursor: Cursor | None) -> Page[tuple[str, Json | None]]:
    """A page of runs with their reports (None: it cannot be read), the newest first. Raises `InvalidCursor`."""
    page = page_of(_runs(), limit, cursor, lambda run: run)
    with ThreadPoolExecutor(_READERS) as readers:
        found = tuple(zip(page.data, readers.map(report, page.data), strict=True))
    return Page(found, page.next_cursor)


def _runs() -> list[str]:
    """All runs that have a report, the newest first: their names sort by time. One a day: a few hundred a year."""
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=_bucket(), Prefix=REPORTS)
    keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    return [key.removeprefix(REPORTS).removesuffix(".json") for key in reversed(keys) if key.endswith(".json")]


def _content(key: str) -> bytes | None:
    return objects.read(client("s3"), _bucket(), key)


def _decoded(content: bytes | None) -> Json | None:
    try:
        told = msgspec.json.decode(content or b"")
    except (msgspec.DecodeError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _bucket() -> str:
    return settings().fraud_models_bucket
