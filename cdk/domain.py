"""The name under which merchants find the platform, and what the context may say about it."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from cdk.context import ConfigError, Context, flag, text

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){2,}")
_LONGEST_NAME = 64
"""ACM's limit on the first name of a certificate."""
_ZONE = re.compile(r"Z[A-Z0-9]{1,31}")
_SETTINGS = ("domain", "hosted_zone_id", "default_endpoint")


@dataclass(frozen=True)
class Domain:
    """A name below the one of a public hosted zone in Route 53; the zone's own name cannot be a CNAME."""

    name: str
    hosted_zone_id: str
    default_endpoint: bool
    """The API also answers under the name that API Gateway gave it."""

    def regional(self, region: str) -> str:
        """The name that always leads to this region."""
        return f"{region}.{self.name}"

    def names(self, region: str) -> tuple[str, str]:
        """What the region answers to."""
        return self.name, self.regional(region)


def read_local(context: Context) -> None:
    """The local cloud has no domain. Raises ConfigError where it is to have one."""
    given = _given(context, _SETTINGS)
    if given:
        raise ConfigError(f"{', '.join(given)}: only in production; locally the edge (local/edge.py) stands in for it")


def read_production(context: Context) -> Domain | None:
    """The domain of a production deployment, if it has one. Raises ConfigError for half a one, or no name."""
    given = _given(context, _SETTINGS)
    if not given:
        return None
    if not {"domain", "hosted_zone_id"} <= set(given):
        raise ConfigError(f"domain and hosted_zone_id go together, others only with them; given: {', '.join(given)}")
    name, zone = text(context, "domain"), text(context, "hosted_zone_id")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ConfigError(f"domain must be a host name such as api.example.com, in small letters, not {name!r}")
    if not _ZONE.fullmatch(zone):
        raise ConfigError(f"hosted_zone_id must be the id of a zone in Route 53, Z…, not {zone!r}")
    return Domain(name, zone, flag(context, "default_endpoint", default=True))


def _given(context: Context, names: Collection[str]) -> list[str]:
    return [name for name in names if context(name) is not None]
