"""The archive: objects that are put once and never changed. How long they are locked is the bucket's to say."""

from botocore.exceptions import ClientError

from functions.projector.rounds import ChainBroken
from functions.projector.settings import NotarySettings
from payments import proofs
from payments.clients import client
from payments.proofs import Batch
from payments.settings import load

_READ_TIMEOUT_SECONDS = 10
"""An object has up to some megabytes."""


def put(batch: Batch) -> None:
    """Puts the batch under its number, or finds it there. Raises `ChainBroken` when another one is."""
    try:
        client("s3", read_timeout=_READ_TIMEOUT_SECONDS).put_object(
            Bucket=load(NotarySettings).archive_bucket,
            Key=batch.key,
            Body=batch.archived(),
            ContentType="application/json",
            ContentEncoding="gzip",
            IfNoneMatch="*",
            # S3 takes no object that is to be locked without a checksum.
            ChecksumAlgorithm="SHA256",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise
        _expect(batch)


def _expect(batch: Batch) -> None:
    """The object must be this batch, to the last journal. Compared by content: gzip may write it in other bytes."""
    found = client("s3", read_timeout=_READ_TIMEOUT_SECONDS).get_object(
        Bucket=load(NotarySettings).archive_bucket, Key=batch.key
    )
    try:
        standing = proofs.parse(found["Body"].read())
    except proofs.InvalidBatch as error:
        raise ChainBroken(f"{batch.key} is there and {error}") from error
    if standing != batch:
        raise ChainBroken(f"{batch.key} is there and has another content")
