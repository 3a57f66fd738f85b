"""Where everything of the local cloud lives: ports, addresses, files. Typed, read from the environment once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from local import softhsm

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: `cdk/`, `functions/` and `node_modules/` are here."""

HOST = "127.0.0.1"
ACCOUNT = "000000000000"
REGIONS = ("us-east-1", "us-west-2")
WITNESSED_TABLES = ("shards",)
"""Global tables that are strongly consistent in AWS, with a witness in a third region."""
GLOBAL_TABLES = (
    "payments",
    "ledger",
    "merchants",
    "vault-tokens",
    "vault-card-keys",
    "fraud-profiles",
    "fraud-rules",
)
"""Global tables that replicate asynchronously, the last writer wins."""

_EMULATOR_PORTS = dict(zip(REGIONS, (4566, 4567), strict=True))
_LINK_PORTS = dict(zip(REGIONS, (4568, 4569), strict=True))
_GATEWAY_PORTS = dict(zip(REGIONS, (8081, 8082), strict=True))
_EDGE_PORT = 8080
_CARD_NETWORK_PORT = 8090
_WEBHOOK_INBOX_PORT = 8091


class InvalidSetting(ValueError):
    """An environment variable has a value that cannot be used; the message names it."""


EDGE_CONCURRENCY = min(8, 2 * (os.cpu_count() or 1))
"""Requests that a region is at work on at a time, by default. Each keeps some processes busy, and more than the machine
has processors for are not done sooner: on two, a hundred refunds at once take 19 s with four, and with eight the
emulators come to a halt."""


@dataclass(frozen=True)
class Settings:
    """One local cloud: its home directory, its ports and the dials of its stand-ins."""

    home: Path
    port_offset: int = 0
    replication_lag_ms: int = 50
    card_network_latency_ms: tuple[int, int] = (200, 500)
    edge_concurrency: int = EDGE_CONCURRENCY
    edge_routing: str = "round-robin"
    enforce_iam: bool = False
    """The emulators refuse what a function's role does not allow. Each knows only its own functions' sessions, so
    a write for the other region's shards is refused there, and done where it arrived."""
    softhsm_library: Path | None = None
    """SoftHSM, where it is installed; it then keeps the vault's keys."""

    def emulator_port(self, region: str) -> int:
        """The port of the region's AWS emulator."""
        return _EMULATOR_PORTS[region] + self.port_offset

    def aws_url(self, region: str) -> str:
        """The region's AWS endpoint, as `AWS_ENDPOINT_URL` wants it."""
        return _url(self.emulator_port(region))

    def link_port(self, region: str) -> int:
        """The port of the way to the region's AWS endpoint from the other region (`link.py`)."""
        return _LINK_PORTS[region] + self.port_offset

    def link_url(self, region: str) -> str:
        """The region's AWS endpoint as functions of the other region reach it."""
        return _url(self.link_port(region))

    def gateway_url(self, region: str) -> str:
        """The region's merchant API."""
        return _url(self.gateway_port(region))

    def gateway_port(self, region: str) -> int:
        """The port of the region's merchant API."""
        return _GATEWAY_PORTS[region] + self.port_offset

    @property
    def edge_port(self) -> int:
        """The port of the health-checked edge."""
        return _EDGE_PORT + self.port_offset

    @property
    def edge_url(self) -> str:
        """The address merchants use."""
        return _url(self.edge_port)

    @property
    def card_network_port(self) -> int:
        """The port of the simulated card network."""
        return _CARD_NETWORK_PORT + self.port_offset

    @property
    def card_network_url(self) -> str:
        """The address of the simulated card network."""
        return _url(self.card_network_port)

    @property
    def webhook_inbox_port(self) -> int:
        """The port of the demo merchant's webhook endpoint."""
        return _WEBHOOK_INBOX_PORT + self.port_offset

    @property
    def webhook_inbox_url(self) -> str:
        """The address of the demo merchant's webhook server; it receives at `/webhooks`."""
        return _url(self.webhook_inbox_port)

    @property
    def key_store(self) -> str:
        """The vault's `KEY_STORE` setting."""
        if self.softhsm_library:
            return softhsm.uri(self.softhsm_library, self.softhsm_directory)
        return f"file:{self.path('keys', 'vault')}"

    @property
    def softhsm_directory(self) -> Path:
        """Where SoftHSM has its token, its configuration and its PIN."""
        return self.path("keys", "softhsm")

    def path(self, *names: str) -> Path:
        """A path under the home directory."""
        return self.home.joinpath(*names)

    def ports(self) -> dict[str, int]:
        """Every port of this local cloud by what listens on it."""
        named = {f"emulator {region}": self.emulator_port(region) for region in REGIONS}
        named |= {f"link to {region}": self.link_port(region) for region in REGIONS}
        named |= {"edge": self.edge_port} | {f"gateway {region}": self.gateway_port(region) for region in REGIONS}
        return named | {"card network": self.card_network_port, "webhook inbox": self.webhook_inbox_port}


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from these variables. Raises `InvalidSetting`, naming the variable, when one cannot be used."""
    routing = environment.get("PAYMENTS_EDGE_ROUTING", "round-robin")
    if routing not in ("round-robin", "primary"):
        raise InvalidSetting(f"PAYMENTS_EDGE_ROUTING={routing}: must be round-robin or primary")
    return Settings(
        enforce_iam=environment.get("PAYMENTS_ENFORCE_IAM") == "1",
        home=Path(environment.get("PAYMENTS_HOME") or ROOT / ".local").resolve(),
        port_offset=_integer(environment, "PAYMENTS_PORT_OFFSET", 0),
        replication_lag_ms=_integer(environment, "PAYMENTS_REPLICATION_LAG_MS", 50),
        card_network_latency_ms=_span(environment, "CARD_NETWORK_LATENCY_MS", (200, 500)),
        edge_concurrency=_integer(environment, "PAYMENTS_EDGE_CONCURRENCY", EDGE_CONCURRENCY),
        edge_routing=routing,
        softhsm_library=_softhsm_library(environment),
    )


@cache
def settings() -> Settings:
    """The settings of this process."""
    return read(os.environ)


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _softhsm_library(environment: Mapping[str, str]) -> Path | None:
    named = environment.get("SOFTHSM2_MODULE", "")
    found = softhsm.find_library(named)
    if named not in ("", "none") and not found:
        raise InvalidSetting(f"SOFTHSM2_MODULE={named}: there is no such library, or no softhsm2-util beside it")
    return found


def _integer(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal():
        raise InvalidSetting(f"{name}={text}: must be a number, 0 or more")
    return int(text)


def _span(environment: Mapping[str, str], name: str, default: tuple[int, int]) -> tuple[int, int]:
    low, _, high = environment.get(name, "{}-{}".format(*default)).partition("-")
    if not (low.isdecimal() and (high or low).isdecimal()) or int(low) > int(high or low):
        raise InvalidSetting(f"{name}: must be milliseconds, LOW-HIGH")
    return int(low), int(high or low)
