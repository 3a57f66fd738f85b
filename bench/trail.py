"""What the functions asked of AWS, as the emulators' CloudTrail recorded it, and how often they ran, from their logs.

MiniStack records the calls that come in over HTTP; what its own services do among themselves (API Gateway calling
Lambda, an event source polling a queue) is not among them. Functions call with the account's id as access key, the
command line and replication with the key `test`.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from bench.cloud import Cloud
from local.settings import ACCOUNT, REGIONS

_PAGE = 50


@dataclass(frozen=True)
class Call:
    """One API call of a function."""

    region: str
    name: str
    at: float
    request: dict[str, Any]


@contextmanager
def recording(cloud: Cloud) -> Iterator[None]:
    """Both emulators record meanwhile."""
    _record(cloud, True)
    try:
        yield
    finally:
        _record(cloud, False)


def calls(cloud: Cloud, start: float, end: float) -> list[Call]:
    """The functions' calls between two times, in both regions. Fetch soon: the record is a ring of 10,000."""
    return [call for region in REGIONS for call in _calls(cloud, region, start, end)]


def invocations(cloud: Cloud, function: str, start: float, end: float) -> int:
    """How often a function ran between two times, in both regions together."""
    return sum("REPORT RequestId" in message for message in _messages(cloud, function, start, end))


def log_bytes(cloud: Cloud, function: str, start: float, end: float) -> int:
    """Bytes of the function's own log lines; Lambda's START and REPORT lines are switched off in production."""
    lines = (message for message in _messages(cloud, function, start, end) if message.startswith("{"))
    return sum(len(line.encode()) for line in lines if '"route":"/health"' not in line)


def _messages(cloud: Cloud, function: str, start: float, end: float) -> list[str]:
    window = {"startTime": int(start * 1000), "endTime": int(end * 1000)}
    return [
        event["message"]
        for region in REGIONS
        for event in cloud.aws("logs", region).filter_log_events(logGroupName=f"/aws/lambda/{function}", **window)[
            "events"
        ]
    ]


def _calls(cloud: Cloud, region: str, start: float, end: float) -> Iterator[Call]:
    seen: set[str] = set()
    while True:
        page = _lookup(cloud, region, start, end)
        fresh = [event for event in page if event["EventId"] not in seen]
        for event in fresh:
            seen.add(event["EventId"])
            request = json.loads(event["CloudTrailEvent"])["requestParameters"]
            yield Call(region, event["EventName"], event["EventTime"], request)
        if len(page) < _PAGE or not fresh:
            return
        end = page[-1]["EventTime"]  # newest first


def _lookup(cloud: Cloud, region: str, start: float, end: float) -> list[dict[str, Any]]:
    """LookupEvents over plain HTTP: botocore would cut the times to whole seconds."""
    attributes = [{"AttributeKey": "AccessKeyId", "AttributeValue": ACCOUNT}]
    headers = {
        "x-amz-target": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents",
        "content-type": "application/x-amz-json-1.1",
        "authorization": f"AWS4-HMAC-SHA256 Credential=test/20260101/{region}/cloudtrail/aws4_request",
    }
    body = {"LookupAttributes": attributes, "StartTime": start, "EndTime": end, "MaxResults": _PAGE}
    answer = httpx.post(
        cloud.at.aws_url(region), headers=headers, content=json.dumps(body), trust_env=False, timeout=30
    )
    found: list[dict[str, Any]] = answer.raise_for_status().json()["Events"]
    return found


def _record(cloud: Cloud, on: bool) -> None:
    for region in REGIONS:
        switch = {"cloudtrail._recording_enabled": str(on).lower()}
        answer = httpx.post(f"{cloud.at.aws_url(region)}/_ministack/config", json=switch, trust_env=False)
        answer.raise_for_status()
    time.sleep(0.1)
