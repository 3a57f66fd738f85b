"""Alarms on regions that are lost: that one seems to be, that it was failed over, and that nobody looks any more."""

from constructs import Construct

from cdk import names
from cdk.constructs import metrics
from cdk.constructs.worker import alarm, silence_alarm

SILENT_MINUTES = 3

ALARMS = {
    names.REGIONS_JUDGED_DOWN: (
        "region-down",
        "CRITICAL: the other region does not answer; whether it was failed over, and why not, is in the watchman's log",
    ),
    names.AUTOMATIC_FAILOVERS: (
        "region-failed-over",
        "CRITICAL: the other region was failed over by itself; it comes back by an operator's hand only",
    ),
    names.SHARD_MOVES_LATE: ("shard-move-late", "CRITICAL: a move of shards does not come to its end"),
}
"""Metrics that are 0 as long as all is well; the end of the alarm's name, and what it means."""


def failover_alarms(scope: Construct) -> None:
    """The alarms of a region, on what its watchman tells of the others and of itself."""
    for metric, (name, means) in ALARMS.items():
        alarm(scope, metric, name=f"payments-{name}", description=means, metric=metrics.own(metric))
    silence_alarm(
        scope,
        "WatchmanSilent",
        name=f"{names.WATCHMAN}-silent",
        description="CRITICAL: nobody looks whether the other region is there: its loss would not be noticed here",
        metric=metrics.own(names.WATCHMAN_ROUNDS),
        periods=SILENT_MINUTES,
    )
