"""AWS clients, made once at first use, with explicit time-outs and retries.

Straight from botocore: boto3's resource layer costs a cold start what nothing here uses.
"""

from functools import cache
from typing import Any

from botocore.config import Config
from botocore.session import Session, get_session

CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 3
ATTEMPTS = 3


@cache
def client(
    service: str,
    region: str | None = None,
    endpoint: str | None = None,
    *,
    read_timeout: float = READ_TIMEOUT_SECONDS,
    attempts: int = ATTEMPTS,
) -> Any:
    """The client of a service in a region (the function's own by default); `endpoint` overrides AWS's address.

    `read_timeout` is in seconds per try, `attempts` counts the first try.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    return _session().create_client(service, region_name=region, endpoint_url=endpoint, config=config)


@cache
def _session() -> Session:
    return get_session()
