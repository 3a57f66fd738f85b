"""One run: both regions with the platform's real code in them, merchants, faults; then peace, and the audit."""

from collections.abc import Callable
from random import Random
from typing import Any

from functions.api import app as api
from functions.ledger import app as ledger
from functions.network import app as network
from functions.sweeper import app as sweeper
from payments import conflicts
from tests.functional.ledger.card_network import Record
from tests.simulation import machine, seams, vault
from tests.simulation.audit import Books, audit
from tests.simulation.clients import Session
from tests.simulation.faults import QUIET_AT, Faults, Window
from tests.simulation.fences import Fences, ShardMap
from tests.simulation.hub import Hub
from tests.simulation.merchants import Merchants
from tests.simulation.outside import NetworkSession
from tests.simulation.region import Region
from tests.simulation.replication import Replication
from tests.simulation.tables import Tables
from tests.simulation.wire import Wire

REGIONS = ("us-east-1", "us-west-2")
SWEEP_SECONDS = 60.0
SETTLED_SECONDS = 620.0
"""After this long the ledger's audit judges a payment (`agreement.SETTLED`)."""

LONGEST_SETTLING = 3 * 3600.0
"""The sweeper asks again at doubled ages: what is not at rest by then never will be."""


class World:
    """The world of a seed. `trace` is told of every request, in order."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None):
        self.seed, self._told = seed, trace
        self.random = Random(seed)
        self.hub, self.faults = Hub(), Faults(self.random)
        self.wire = Wire(self.hub, self.faults, self.random, self._trace)
        self.hub.failed = lambda task, error: self._trace(f"{self.hub.now:9.3f} {task.name}: {type(error).__name__}")
        self.replication = Replication(self.hub, self.faults, self.random.uniform)
        self.books, self.record = Books(), Record()
        self.shards = ShardMap(self.hub, seams.START, REGIONS)
        self.fences = Fences(self.hub, self.shards)
        self.released: set[str] = set()
        self.used: set[str] = set()
        self.late: list[str] = []
        self.regions = [self._region(number, name) for number, name in enumerate(REGIONS)]
        self.merchants = Merchants(self.wire, self.regions, self.random)
        self.session = Session(self.wire, {region.name: region for region in self.regions}, self._here)

    def run(self) -> list[str]:
        """Every promise that was broken, in words; none if all held."""
        with seams.simulated(self.session, NetworkSession(self.wire, self.record)):
            self._schedule()
            self.hub.run(QUIET_AT)
            self._peace()
            if not self._settle():
                return [*self._broken(), "it never comes to rest: " + self._unsettled()]
            return [*self._broken(), *audit(self)]

    def _broken(self) -> list[str]:
        return [*self.books.broken, *self.fences.broken, *self.late]

    def _region(self, number: int, name: str) -> Region:
        def watch(table: str, key: tuple[str, ...], item: dict[str, Any]) -> None:
            self.books.look(table, key, item, number, self.regions)
            self.replication.wrote(number, table, key, item)

        tables = Tables(lambda: self.hub.now, watch, lambda: self.random.random() < 0.3)
        tables.items["shards"] = self.shards.items
        region = Region(name, self.faults.skew * number, self.wire, tables)
        tables.replaced = region.replaced
        self.replication.copies.append((region, tables))
        region.machine = machine.definition()
        region.severed = lambda _: self.replication.cut_until > self.hub.now
        region.hears = lambda event: self.books.hears(event, self.regions)
        cards = vault.Vault(name, tables, self.released, self.used)
        region.functions = {
            "${TokenizeFunctionArn}": cards.tokenize,
            "${ReleaseFunctionArn}": cards.release,
            "${FraudFunctionArn}": vault.score,
            "${LedgerFunctionArn}": self.fences.charges(name, ledger.handler),
            "payments-vault-detokenize": cards.detokenize,
            "payments-api": api.handler,
            "payments-ledger-command": self.fences.commands(name, ledger.command),
            "payments-network": network.handler,
            "payments-sweeper": sweeper.handler,
            "payments-ledger-audit": sweeper.audit,
            "payments-conflicts": sweeper.conflict,
        }
        return region

    def _schedule(self) -> None:
        self.merchants.begin(4)
        for region in self.regions:
            self._sweep_for_ever(region, self.random.uniform(0, SWEEP_SECONDS))
        for window in self.faults.windows:
            self.hub.at(window.begins, lambda window=window: self._open(window))
        for when, shard in self.faults.moves:
            self.hub.at(when, lambda shard=shard: self._flip(shard))

    def _sweep_for_ever(self, region: Region, start: float) -> None:
        def sweep() -> None:
            if not self.faults.quiet:
                region.invoke("payments-sweeper", {})
                self.hub.after(SWEEP_SECONDS, sweep, region)

        self.hub.at(start, sweep, region)

    def _open(self, window: Window) -> None:
        self._trace(f"{self.hub.now:9.3f} {window.kind} {REGIONS[window.region]} until {window.ends:.3f}")
        if window.kind == "cut":
            self.replication.cut_until = window.ends
            return
        region = self.regions[window.region]
        region.thaws_at = window.ends
        if window.kind == "kill":
            self.hub.kill(region)
            region.memory.clear()

    def _flip(self, shard: int) -> None:
        now = self.hub.now
        self._trace(f"{now:9.3f} shard {shard} moves to {self.shards.move(shard)}")

    def _peace(self) -> None:
        self._trace(f"{self.hub.now:9.3f} nothing goes wrong from here on")
        self.faults.quiet = True
        for region in self.regions:
            region.thaws_at = 0.0
            region.redrive()
        self.replication.cut_until = 0.0

    def _settle(self) -> bool:
        """Until nothing is left to do. The ledger's audit is there for what nobody has thought of, and for what the bus
        has lost: it mends nothing else."""
        ends = self.hub.now + LONGEST_SETTLING
        while self.hub.now < ends:
            self._rest(ends)
            mended = self._audited()
            if unforeseen := mended.difference(*(region.unheard for region in self.regions)):
                self.late.append(f"the daily audit had to mend {', '.join(sorted(unforeseen))}")
            if self.at_rest and not mended:
                return True
        return False

    def _rest(self, ends: float) -> None:
        self.hub.run(self.hub.now + 10)
        while not self.at_rest and self.hub.now < ends:
            for region in self.regions:
                region.invoke("payments-sweeper", {})
            self.hub.run(self.hub.now + SWEEP_SECONDS)

    def _audited(self) -> set[str]:
        """The payments that the ledger's audit mended."""
        self.hub.run(self.hub.now + SETTLED_SECONDS)
        asked, before = {"segment": 0, "segments": 1}, self._mendings()
        answers = [region.invoke("payments-ledger-audit", asked) for region in self.regions]
        self.hub.run(self.hub.now + 30)
        mended = {name.partition("#")[0] for name in self._mendings() - before}
        assert all('"mended": ' in answer.value for answer in answers), "an audit did not end"
        assert bool(mended) == any('"mended": 0' not in answer.value for answer in answers), mended
        return mended

    def _mendings(self) -> set[str]:
        """The keys of the records of what was mended, in either region."""
        keys = {name for region in self.regions for key in region.tables.items["payments"] for name in key}
        return {name for name in keys if name is not None and "#mended#" in name}

    @property
    def at_rest(self) -> bool:
        """Whether nobody has anything left to do."""
        return not self._unsettled()

    def _unsettled(self) -> str:
        """What is not at rest, in words."""
        if self.merchants.busy:
            return f"{self.merchants.busy} merchants wait"
        if self.replication.under_way or any(region.queued for region in self.regions):
            return "items or messages are under way"
        self.hub.tasks = [task for task in self.hub.tasks if not task.dead]
        if self.hub.tasks:
            return f"{self.hub.tasks[0].name} runs"
        waiting = [
            key for region in self.regions for key, item in region.tables.items["payments"].items() if _waits(item)
        ]
        return f"{waiting[0]} waits" if waiting else ""

    def _here(self) -> Region:
        assert self.hub.current and isinstance(self.hub.current.place, Region)
        return self.hub.current.place

    def _trace(self, line: str) -> None:
        if self._told:
            self._told(line)


def _waits(item: dict[str, Any]) -> bool:
    return item["status"]["S"] in ("pending", conflicts.OPEN) or "outstanding" in item
