"""A minute of load through the edge with something lost in the middle, and what must hold after it."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from local import platform
from local.chaos import PATIENCE_SECONDS, Watch, load_on, settle
from local.chaos_audit import audit
from local.chaos_faults import Weather, failed
from local.chaos_load import Load
from local.chaos_view import View
from local.client import until
from local.settings import REGIONS, Settings
from tests.e2e.cloud import Cloud

SECONDS, LOST_AT, FOUND_AT = 60.0, 20.0, 40.0
CUSTOMERS, BUYERS = 5, 1
"""A customer who races waits for the lost region, too, as long as a client does: soon nobody would ask the edge."""


@dataclass
class Outcome:
    """How it ended: the load with every answer, when it happened, and what the audit found."""

    load: Load
    lost_at: float
    found_at: float
    broken: list[str]
    unanswered: int

    def moved_within(self) -> float:
        """Seconds from the loss to the last request that the edge still sent astray."""
        tries = [told for request in self.load.requests for told in request.told if told.at_edge]
        astray = [told.asked for told in tries if told.astray and self.lost_at <= told.asked < self.found_at]
        return max(astray, default=self.lost_at) - self.lost_at

    def served_meanwhile(self, after: float) -> set[str]:
        """Which regions answered what the edge was asked from so many seconds after the loss until its end."""
        tries = [told for request in self.load.requests for told in request.told if told.at_edge and told.served_by]
        return {told.served_by for told in tries if self.lost_at + after <= told.asked and told.at < self.found_at}


def under_load(
    at: Settings,
    cloud: Cloud,
    lose: Callable[[], Any],
    find: Callable[[], Any] = lambda: None,
    regions: Sequence[str] = REGIONS,
) -> Outcome:
    """A minute of load; after a third of it something is lost, after another third it is found again, in these regions
    everything then comes to rest and is audited. Whatever is raised meanwhile, no load goes on under the next test."""
    load, watch = load_on(at, cloud.endpoints, seed_=time.time_ns()), Watch(at)
    watch.start()
    load.start(CUSTOMERS, BUYERS)
    try:
        time.sleep(LOST_AT)
        lost_at = load.now()
        lose()
        time.sleep(max(0.0, FOUND_AT - load.now()))
        found_at = load.now()
        find()
        time.sleep(max(0.0, SECONDS - load.now()))
        if set(regions) == set(REGIONS):
            Weather(at, cloud.endpoints, print).heal()  # the platform itself may have failed a region over
        unanswered = load.finish(PATIENCE_SECONDS)
    finally:
        watch.stop()
        load.finish(0)
    view = settle(lambda: View(at, cloud.endpoints, load, regions, watch.findings), at, regions)
    broken = [f"{verdict.promise}: {finding}" for verdict in audit(view) for finding in verdict.findings]
    return Outcome(load, lost_at, found_at, broken, unanswered)


def thaw_once_failed_over(at: Settings, region: str) -> None:
    """Thaws a frozen region after the platform has failed it over by itself. Raises `TimedOut`."""
    try:
        until(lambda: region in failed(at), 60, f"a failover of {region} that nobody asked for")
    finally:
        platform.thaw(at, region)


def freeze_in_post_ledger(at: Settings, cloud: Cloud, region: str) -> list[str]:
    """Freezes a region's ledger first and the region when a charge waits for it; the executions that do."""

    def stuck() -> list[str]:
        for pid in platform.workers(at, region, "payments-ledger"):
            os.kill(pid, signal.SIGSTOP)
        return posting(cloud, region)

    waiting = until(stuck, 15, f"a charge that waits for the ledger of {region}")
    platform.signal_region(at, region, signal.SIGSTOP)
    return waiting


def posting(cloud: Cloud, region: str) -> list[str]:
    """Executions of the saga that have entered `PostLedger` and not left it."""
    machines = cloud.aws("stepfunctions", region)
    machine = next(m for m in machines.list_state_machines()["stateMachines"] if "charge" in m["name"])
    runs = machines.list_executions(stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING")["executions"]
    return [run["executionArn"] for run in runs if _last_state(machines, run["executionArn"]) == "PostLedger"]


def _last_state(machines: Any, execution: str) -> str | None:
    history = machines.get_execution_history(executionArn=execution, maxResults=1000)["events"]
    entered = [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]
    return entered[-1] if entered else None
