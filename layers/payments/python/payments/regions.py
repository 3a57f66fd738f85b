"""Which region writes for a merchant's shard, and where the other regions are."""

from functools import cache
from typing import Any

import msgspec

from payments import clock
from payments.clients import client
from payments.settings import CommonSettings, TableSettings, load

MAP_SECONDS = 5.0
"""How long a shard's primary may be cached: the map changes at a failover, and must be noticed within seconds."""


class RegionSettings(msgspec.Struct, frozen=True, rename="upper"):
    """`REGIONS`: a JSON object from region name to the endpoint of its AWS API, empty for AWS's own."""

    regions: str = "{}"


def here() -> str:
    """The region this code runs in."""
    return load(CommonSettings).aws_region


@cache
def endpoints() -> dict[str, str | None]:
    """Every region of the platform with the endpoint of its AWS API (None: AWS's own), in the order of the setting."""
    found = msgspec.json.decode(load(RegionSettings).regions, type=dict[str, str])
    return {name: endpoint or None for name, endpoint in found.items()}


def client_in(region: str, service: str) -> Any:
    """The client of a service in one of the platform's regions."""
    return client(service) if region == here() else client(service, region, endpoints().get(region))


def primary(shard: int) -> str:
    """The region that writes for this shard: as the shard map says, else shards are spread evenly over the regions."""
    cached, until = _cache.get(shard, ("", 0.0))
    if clock.monotonic() < until:
        return cached
    region = _mapped(shard) or _default(shard)
    _cache[shard] = region, clock.monotonic() + MAP_SECONDS
    return region


_cache: dict[int, tuple[str, float]] = {}


def _mapped(shard: int) -> str | None:
    table = load(TableSettings).shards_table
    item = client("dynamodb").get_item(TableName=table, Key={"shard": {"N": str(shard)}}).get("Item")
    return item["primary"]["S"] if item else None


def _default(shard: int) -> str:
    names = list(endpoints()) or [here()]
    return names[shard % len(names)]
