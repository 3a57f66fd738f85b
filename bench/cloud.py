"""The local cloud that benchmarks measure on: the running one, or one of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from local import deploy, platform
from local.client import Client, new_card_number, webhook
from local.settings import REGIONS, ROOT, Settings, settings
from payments.identifiers import merchant_shard

OWN = {"PAYMENTS_HOME": str(ROOT / ".local-bench"), "PAYMENTS_PORT_OFFSET": "2000"}
"""Beside the usual local cloud and the end-to-end tests' own."""


@dataclass
class Cloud:
    """A running local cloud. `primary` is the region that writes for the demo merchant."""

    at: Settings
    endpoints: dict[str, Any]
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def shard(self) -> int:
        """The demo merchant's shard."""
        return merchant_shard(self.endpoints["merchant"]["id"])

    @property
    def primary(self) -> str:
        """The region that writes for the demo merchant: a charge sent there is not forwarded."""
        return REGIONS[self.shard % len(REGIONS)]

    @property
    def api(self) -> str:
        """The primary region's API, at the emulator itself, without the edge before it."""
        bases: dict[str, str] = json.loads(self.at.path("apis.json").read_text())
        return bases[self.primary]

    def aws(self, service: str, region: str | None = None) -> Any:
        """An AWS client, of the primary region by default."""
        key = service, region or self.primary
        if key not in self._clients:
            self._clients[key] = deploy.aws(self.at, *key)
        return self._clients[key]

    def merchant(self) -> Client:
        """The demo merchant's client at the primary region."""
        return Client(self.endpoints["regions"][self.primary]["api"], self.endpoints["merchant"]["api_key"])

    def await_webhook(self, payment_id: str) -> None:
        """Waits for the delivery as the inbox shows it: not an AWS operation."""
        webhook(self.endpoints["webhook_inbox"], payment_id)


def charge_body(number: int) -> dict[str, Any]:
    """A charge of a card, customer and device of its own, so that no fraud rule is hit by the crowd."""
    return {
        "amount": 4200 + number % 50,
        "currency": "USD",
        "description": f"order {number}",
        "metadata": {"order": str(number)},
        "card": {"number": new_card_number(), "exp_month": 12, "exp_year": 2031, "cvc": "123"},
        "customer": {"id": f"cus_{token_hex(6)}", "email": "a@example.com", "billing_address": {"country": "US"}},
        "device": {"fingerprint": f"dev_{token_hex(6)}", "ip": "203.0.113.7"},
    }


def running() -> Cloud:
    """The local cloud that PAYMENTS_HOME and PAYMENTS_PORT_OFFSET name. Raises `local.platform.NotRunning`."""
    at = settings()
    platform.running(at)
    return Cloud(at, platform.endpoints(at))


@contextmanager
def own() -> Iterator[None]:
    """A local cloud of the benchmarks' own, stopped in the end; `running()` of this process is that one."""
    os.environ.update(OWN)
    settings.cache_clear()
    command = [str(Path(sys.executable).parent / "payments")]
    try:
        subprocess.run([*command, "up", "--detach"], check=True, capture_output=True, text=True)
        yield
    finally:
        subprocess.run([*command, "down"], check=True, capture_output=True)
