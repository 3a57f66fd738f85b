"""Global tables: what one region writes comes to the other one, item by item, later, in no order; the last writer wins.

As `local/convergence.py` does it: the version of an item is the time of its write and its region, and a copy takes the
place of an older version only.
"""

from collections.abc import Callable

from tests.simulation.expressions import Item
from tests.simulation.faults import Faults
from tests.simulation.hub import Hub, Place
from tests.simulation.tables import Key, Tables

GLOBAL = frozenset({"payments", "ledger", "tokens"})
"""`shards` is one table for both regions: it is strongly consistent."""

Version = tuple[float, int, int]


class Replication:
    """The copies of both regions. `cut_until` is when the line between them is whole again."""

    def __init__(self, hub: Hub, faults: Faults, delay: Callable[[float, float], float]):
        self._hub, self._faults, self._delay = hub, faults, delay
        self.copies: list[tuple[Place, Tables]] = []
        self._versions: dict[tuple[int, str, Key], Version] = {}
        self._count, self.cut_until, self.under_way = 0, 0.0, 0

    def wrote(self, region: int, table: str, key: Key, item: Item) -> None:
        """This region wrote an item."""
        if table not in GLOBAL:
            return
        self._count += 1
        version = (self._hub.now, region, self._count)
        self._versions[region, table, key] = version
        self.under_way += 1
        copies = 2 if self._faults.strikes("duplicate") else 1
        self.under_way += copies - 1
        for _ in range(copies):
            self._send(region, table, key, item, version)

    def _send(self, region: int, table: str, key: Key, item: Item, version: Version) -> None:
        source, target = self.copies[region][0], self.copies[1 - region][0]
        lag = self._delay(0.1, 1.5 if self._faults.quiet else self._faults.lag)

        def arrive() -> None:
            waits_until = max(self.cut_until, source.thaws_at)
            if waits_until > self._hub.now:
                self._hub.at(waits_until + lag, arrive, target)
            else:
                self.under_way -= 1
                self._apply(1 - region, table, key, item, version)

        self._hub.after(lag, arrive, target)

    def _apply(self, region: int, table: str, key: Key, item: Item, version: Version) -> None:
        if version > self._versions.get((region, table, key), (-1.0, 0, 0)):
            self._versions[region, table, key] = version
            self.copies[region][1].place(table, key, item)
