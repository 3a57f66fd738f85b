"""The buckets of models: their layout (docs/interfaces.md, "Scores, labels and models"), and objects to and from files
and values.

A region's bucket has all versions; runs and reports are in the region that trains. Nothing else in here knows a key.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from functions.training.settings import Settings
from payments import objects, regions
from payments.clients import client
from payments.settings import load

_READ_TIMEOUT_SECONDS = 60
"""Of a file's next bytes, and of the answer to a file of a gigabyte."""


def of_model(version: str, name: str) -> str:
    """Key of a model's file."""
    return f"models/{version}/{name}"


def of_run(run: str, name: str) -> str:
    """Key of an object of a run: `rows.npz`, `recent.npz`, and what each step came to, `collect.json` …"""
    return f"runs/{run}/{name}"


def of_report(run: str) -> str:
    """Key of a run's report."""
    return f"reports/{run}.json"


def read(key: str) -> bytes | None:
    """An object's content; None when there is none."""
    return objects.read(_s3(regions.here()), _bucket(regions.here()), key)


def read_json(key: str) -> Any:
    """An object's value; None when there is no such object."""
    content = read(key)
    return None if content is None else msgspec.json.decode(content)


def write_json(key: str, value: Any) -> None:
    """Puts a value, whether there is one or not; the same value is the same object."""
    content = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2)
    _s3(regions.here()).put_object(Bucket=_bucket(regions.here()), Key=key, Body=content)


def write_everywhere(key: str, content: bytes) -> None:
    """Puts an object into every region's bucket."""
    for region in regions.endpoints() or [regions.here()]:
        _s3(region).put_object(Bucket=_bucket(region), Key=key, Body=content)


def upload(file: Path, key: str) -> None:
    """Puts a file."""
    with file.open("rb") as content:
        _s3(regions.here()).put_object(Bucket=_bucket(regions.here()), Key=key, Body=content)


def download(key: str, file: Path) -> None:
    """Gets an object as a file. Raises botocore's ClientError when there is none."""
    body = _s3(regions.here()).get_object(Bucket=_bucket(regions.here()), Key=key)["Body"]
    with file.open("wb") as target:
        shutil.copyfileobj(body, target)


def _bucket(region: str) -> str:
    return load(Settings).fraud_models_bucket.removesuffix(regions.here()) + region


def _s3(region: str) -> Any:
    if region == regions.here():
        return client("s3", read_timeout=_READ_TIMEOUT_SECONDS)
    return client("s3", region, regions.endpoints().get(region), read_timeout=_READ_TIMEOUT_SECONDS)
