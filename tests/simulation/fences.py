"""The shard map of a run, which both regions share, and whether the ledger keeps to it.

What the ledger must not do is told from the map as it is, not from what the code under test has read of it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from functions.ledger.fencing import COMMAND_GRACE_SECONDS
from payments import clock, identifiers
from payments.regions import LEASE_SECONDS
from tests.simulation.expressions import Item
from tests.simulation.hub import Hub
from tests.simulation.region import Handler
from tests.simulation.tables import Key

TOLERANCE = 1.0
"""Seconds that clocks and messages are given: two regions' clocks differ by less."""

_WRITTEN = ("posted", "blocked")


@dataclass(frozen=True)
class Entry:
    """Who writes for a shard, by which epoch, and since which second of the run."""

    primary: str
    epoch: int = 0
    since: float = -1e9


class ShardMap:
    """The table `shards`, and every move. `regions` are the names in the order of the setting."""

    def __init__(self, hub: Hub, start: datetime, regions: tuple[str, str]):
        self.items: dict[Key, Item] = {}
        self.moves: list[tuple[float, int]] = []
        self._hub, self._start, self._regions = hub, start, regions
        self._entries: dict[int, Entry] = {}

    def now(self, shard: int) -> Entry:
        """Who writes for the shard at this moment."""
        return self._entries.get(shard) or Entry(self._regions[shard % len(self._regions)])

    def move(self, shard: int) -> str:
        """Give the shard to the other region, as an operator or the watchman does."""
        before, names = self.now(shard), self._regions
        primary = names[1 - names.index(before.primary)]
        self._entries[shard] = Entry(primary, before.epoch + 1, self._hub.now)
        self.moves.append((self._hub.now, shard))
        since = clock.timestamp(self._start + timedelta(seconds=self._hub.now))
        item = {"primary": {"S": primary}, "epoch": {"N": str(before.epoch + 1)}, "since": {"S": since}}
        self.items[str(shard),] = {"shard": {"N": str(shard)}, **item}
        return primary


class Fences:
    """Watches the ledger's functions of both regions; `broken` has what they did and must not do."""

    def __init__(self, hub: Hub, shards: ShardMap):
        self.broken: list[str] = []
        self.held: list[str] = []
        """What was fenced: for tests that want to know whether it comes to that."""
        self.repeated: set[str] = set()
        """Payments of which both regions carried out one command: they heard of each other too late."""
        self._hub, self._shards = hub, shards
        self._done: dict[tuple[str, str], tuple[float, str]] = {}

    def charges(self, region: str, handler: Handler) -> Handler:
        """A region that has lost a shard writes no charge for it whose lease was over when it was asked to."""

        def watched(event: dict[str, Any], context: Any) -> Any:
            charge = event["charge"]
            before, mapped_at = self._shards.now(charge["shard"]), datetime.fromisoformat(charge["mapped_at"])
            over = clock.utc() - mapped_at > timedelta(seconds=LEASE_SECONDS) and event["operation"] != "abandon"
            answer = handler(event, context)
            lost = before.primary != region and before.epoch > charge["epoch"]
            if answer["result"] == "fenced":
                self.held.append(charge["payment_id"])
            if over and lost and self._shards.now(charge["shard"]) == before and answer["result"] in _WRITTEN:
                told = f"by epoch {charge['epoch']}, {before.epoch} is {before.primary}'s"
                self.broken.append(f"{charge['payment_id']} was written in {region} {told}")
            return answer

        return watched

    def commands(self, region: str, handler: Handler) -> Handler:
        """A command is carried out by the primary only, and not when the shard has just come to it."""

        def watched(event: dict[str, Any], context: Any) -> Any:
            shard = identifiers.shard_of(event["payment_id"])
            before = self._shards.now(shard)
            early, asked = self._hub.now - before.since < COMMAND_GRACE_SECONDS - TOLERANCE, self._hub.now
            answer = handler(event, context)
            if answer["result"] == "done":
                self._once(event, region, asked)
            if answer["result"] == "done" and self._shards.now(shard) == before:
                if before.primary != region:
                    self.broken.append(f"{event['command']} of {event['payment_id']} was done in {region}, no primary")
                elif early and self._hub.now - before.since < COMMAND_GRACE_SECONDS - TOLERANCE:
                    self.broken.append(f"{event['command']} of {event['payment_id']} was done in {region} too early")
            return answer

        return watched

    def _once(self, event: dict[str, Any], region: str, asked: float) -> None:
        """The other region may do the same command again only if it heard nothing of it for longer than it waits; the
        shard was still the first one's when that was asked."""
        command = event["payment_id"], event["key"]
        when, where = self._done.setdefault(command, (asked, region))
        if where != region:
            self.repeated.add(event["payment_id"])
            if self._hub.now - when < COMMAND_GRACE_SECONDS - TOLERANCE:
                self.broken.append(f"{event['command']} of {event['payment_id']} was done in both regions")
