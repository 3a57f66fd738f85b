"""Locks what the archive's buckets hold: the emulator knows object lock, but its CloudFormation leaves it out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def lock_buckets(s3: Any, app: Path, region: str) -> list[str]:
    """Give a region's buckets the default retention of their templates in the cloud assembly; the buckets' names."""
    found = list(_locked(app, region))
    for name, configuration in found:
        s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=configuration)
    return [name for name, _ in found]


def _locked(app: Path, region: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Buckets with a lock; the S3 API takes a configuration in the form in which CloudFormation does."""
    for template in sorted(app.glob(f"assembly-{region}/*.template.json")):
        for resource in json.loads(template.read_text())["Resources"].values():
            configuration = resource.get("Properties", {}).get("ObjectLockConfiguration")
            if resource["Type"] == "AWS::S3::Bucket" and configuration:
                yield resource["Properties"]["BucketName"], configuration
