"""Warms the functions up: a cold start on one machine takes seconds, and the first charge should not."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from local.client import Client, TimedOut
from local.deploy import aws
from local.seed import Merchant
from local.settings import REGIONS, Settings


class NotWarm(Exception):
    """A region does not take a charge; the message has its answer."""


def warm(at: Settings, merchants: list[Merchant]) -> None:
    """One charge in each region, each by a merchant whose shard lives there, until it is settled."""
    with ThreadPoolExecutor(len(REGIONS)) as pool:
        list(pool.map(lambda region, merchant: _charge(at, region, merchant), REGIONS, merchants))


def watch(at: Settings) -> None:
    """Have each region's watchman begin, whose schedule only does a minute after the deployment."""
    for region in REGIONS:
        functions = aws(at, "lambda", region)
        functions.invoke(FunctionName="payments-watchman", InvocationType="Event", Payload=b"{}")


def _charge(at: Settings, region: str, merchant: Merchant) -> None:
    client = Client(at.gateway_url(region), merchant.api_key)
    try:
        answer = client.charge(100, customer={"id": "cus_warm"}, device={"fingerprint": "dev_warm"})
        if answer.status != 201:
            raise NotWarm(f"{region} answered a charge with {answer.status}: {answer.body}")
        client.settled(answer.body["id"])
    except (httpx.HTTPError, TimedOut) as error:
        raise NotWarm(f"{region}: {error}") from None
