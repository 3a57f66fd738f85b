"""Objects of S3 that may not be there."""

from typing import Any

from botocore.exceptions import ClientError

_ABSENT = frozenset({"NoSuchKey", "404"})


def is_absent(error: ClientError) -> bool:
    """Whether S3 says that there is no such object. It says so only to who may list the bucket."""
    return error.response["Error"]["Code"] in _ABSENT


def read(s3: Any, bucket: str, key: str) -> bytes | None:
    """An object's content; None when there is none."""
    try:
        content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if not is_absent(error):
            raise
        return None
    return content
