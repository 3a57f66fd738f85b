"""Which region writes for a merchant's shard, and where the other regions are."""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import msgspec

from payments import clock
from payments.clients import client
from payments.settings import CommonSettings, TableSettings, load

MAP_SECONDS = 5.0
"""How long a shard's primary may be cached: the map changes at a failover, and must be noticed within seconds."""

LEASE_SECONDS = 10.0
"""How long after the map was read a charge may be written by it: twice what the map may be cached, so that nearly every
charge is written without a look at the map. After that the ledger looks again (`functions/ledger/fencing.py`)."""

NOT_PRIMARY, SHARD_MOVING = "not_primary", "shard_moving"
MOVING = frozenset({NOT_PRIMARY, SHARD_MOVING})
"""What the ledger refuses with when a shard is another region's, or has just come here. Both say nothing of what was
asked: the same request is to be sent again."""


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


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who writes for a shard: its primary region, the epoch, which grows by one whenever the primary changes, and since
    when (RFC 3339; None from the beginning). `mapped_at` is when it was asked for."""

    primary: str
    epoch: int = 0
    since: str | None = None
    mapped_at: str = field(default="", compare=False)


def primary(shard: int) -> str:
    """The region that writes for this shard, as this process knows it."""
    return assignment(shard).primary


def assignment(shard: int, *, fresh: bool = False) -> Assignment:
    """Who writes for this shard: as the shard map says, else shards are spread evenly over the regions.

    At most `MAP_SECONDS` old; `fresh` asks for what all regions agree on at this moment, which takes a round trip to
    another region. Raises what the table raises.
    """
    cached, until = _cache.get(shard, (None, 0.0))
    if cached and not fresh and clock.monotonic() < until:
        return cached
    asked_at = clock.now()
    found = replace(_mapped(shard, fresh) or Assignment(home(shard)), mapped_at=asked_at)
    _cache[shard] = found, clock.monotonic() + MAP_SECONDS
    return found


_cache: dict[int, tuple[Assignment, float]] = {}


def _mapped(shard: int, consistent: bool) -> Assignment | None:
    table, key = load(TableSettings).shards_table, {"shard": {"N": str(shard)}}
    item = client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=consistent).get("Item")
    if item is None:
        return None
    since = item.get("since", {}).get("S")
    return Assignment(item["primary"]["S"], int(item.get("epoch", {"N": "0"})["N"]), since)


def home(shard: int) -> str:
    """The region that writes for this shard as long as nobody has moved it."""
    names = list(endpoints()) or [here()]
    return names[shard % len(names)]
