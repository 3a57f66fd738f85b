"""Alarms on a state machine whose runs are scheduled: one that did not come to its end, and that there is none."""

from constructs import Construct

from cdk import names
from cdk.constructs import metrics
from cdk.constructs.metrics import CHECK_PERIOD, CHECK_PERIODS
from cdk.constructs.worker import alarm, silence_alarm


def run_alarms(scope: Construct, what: str, machine: str, *, unfinished: str, missing: str | None) -> None:
    """Alarms named after the machine. ``unfinished`` and ``missing`` say what they mean; no ``missing`` where there is
    no schedule."""
    arn = names.machine_arn(scope, machine)
    for ended in ("Failed", "TimedOut"):
        alarm(
            scope,
            f"{what}{ended}",
            name=f"{machine}-{ended.lower()}",
            description=unfinished,
            metric=metrics.executions(arn, f"Executions{ended}"),
        )
    if missing:
        silence_alarm(
            scope,
            f"{what}Missing",
            name=f"{machine}-missing",
            description=missing,
            metric=metrics.executions(arn, "ExecutionsSucceeded").with_(period=CHECK_PERIOD),
            periods=CHECK_PERIODS,
        )
