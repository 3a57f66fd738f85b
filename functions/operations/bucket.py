"""The store of reconciliation: reports that are read from it, and decisions that are put into it for the next run."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from functions.operations.settings import client, settings
from payments import objects, proofs
from payments.settlement import part_of

_BATCH = "batch:"
"""What the reference of a batch line begins with in the table; its part is that of the rest."""


def report(run: str, extension: str) -> bytes | None:
    """A run's report: `json`, `csv` or `html`; None when there is none."""
    return objects.read(client("s3"), settings().reconciliation_bucket, f"runs/{run}/report.{extension}")


def put_resolution(resolution: Mapping[str, Any]) -> None:
    """Puts what was decided about a record, which the next run closes; the same again is the same object."""
    key = _resolution(resolution["network_ref"], resolution["record"], resolution["type"])
    body = proofs.canonical(resolution).encode()
    client("s3").put_object(Bucket=settings().reconciliation_bucket, Key=key, Body=body)


def has_resolution(network_ref: str, record: str, kind: str) -> bool:
    """Whether a decision about a record was put."""
    key = _resolution(network_ref, record, kind)
    listed = client("s3").list_objects_v2(Bucket=settings().reconciliation_bucket, Prefix=key, MaxKeys=1)
    return any(found["Key"] == key for found in listed.get("Contents", ()))


def _resolution(network_ref: str, record: str, kind: str) -> str:
    """The key: both names are percent-encoded, the first also where it has the `~` that parts them."""
    part = part_of(
        network_ref.removeprefix(_BATCH) if kind == "batch" else network_ref, settings().reconciliation_parts
    )
    first = quote(network_ref, safe="").replace("~", "%7E")
    return f"resolutions/{part}/{first}~{quote(record, safe='')}.json"
