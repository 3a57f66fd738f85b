"""The feed of settlement: what counted journals mean to reconciliation, put to S3 for its next run to collect.

Written once a chunk is counted, and again when the batch is repeated. An object is named by the first and the last of
the chunk's records, so by what is in it: whoever writes it, at whatever time, writes the same. What batches that were
cut elsewhere left behind is there twice, and reconciliation takes it once.
"""

import gzip
from collections.abc import Sequence

import msgspec

from functions.projector.arrivals import Arrival
from functions.projector.settings import ProjectorSettings
from payments.clients import client
from payments.settings import load
from payments.settlement import Fact, facts

_READ_TIMEOUT_SECONDS = 10


def put(arrivals: Sequence[Arrival]) -> None:
    """Puts the facts of these records, an object per UTC day; none where they have no facts. Raises botocore's
    `ClientError`."""
    for day, found in _by_day(arrivals).items():
        name = f"{arrivals[0].number:040d}-{arrivals[-1].number:040d}"
        client("s3", read_timeout=_READ_TIMEOUT_SECONDS).put_object(
            Bucket=load(ProjectorSettings).reconciliation_bucket,
            Key=f"feed/{day}/{name}.jsonl.gz",
            Body=gzip.compress(msgspec.json.Encoder().encode_lines(found), mtime=0),
            ContentType="application/jsonl",
        )


def _by_day(arrivals: Sequence[Arrival]) -> dict[str, list[Fact]]:
    found: dict[str, list[Fact]] = {}
    for arrival in arrivals:
        for fact in facts(arrival.journal) if arrival.journal else ():
            found.setdefault(fact.at[:10], []).append(fact)
    return found
