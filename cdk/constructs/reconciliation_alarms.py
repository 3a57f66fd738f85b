"""Alarms on reconciliation: what its runs come to, and that there are any.

A run counts its figures once, at its end, so every bad run raises its alarm anew.
"""

from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs import metrics
from cdk.constructs.run_alarms import run_alarms
from cdk.constructs.worker import alarm

MATCH_RATE_AT_LEAST = 99_950
"""Of 100,000 lines, how many must be settled."""


def reconciliation_alarms(scope: Construct, config: Config, region: str) -> None:
    """The alarms of a region; one for silence only where there is a schedule."""
    _figures(scope, config.at_risk_limit)
    missing = "CRITICAL: no run of reconciliation has succeeded for more than a day"
    run_alarms(
        scope,
        "Reconciliation",
        names.RECONCILIATION,
        unfinished="A run of reconciliation did not come to its end; the next execution takes it up",
        missing=missing if config.reconciles_in(region) else None,
    )


def _figures(scope: Construct, at_risk: int) -> None:
    alarm(
        scope,
        "ReconciliationMatchRate",
        name=f"{names.RECONCILIATION}-match-rate",
        description=f"Fewer than {MATCH_RATE_AT_LEAST} of 100,000 lines of a run are settled; see its report",
        metric=metrics.own(names.MATCH_RATE, "Minimum"),
        threshold=MATCH_RATE_AT_LEAST,
        below=True,
    )
    for metric, statistic, name, means, threshold in (
        (names.AT_RISK, "Maximum", "at-risk", f"More than {at_risk} minor units may be lost; see the report", at_risk),
        (names.LASTING_DRIFT, "Maximum", "drift", "CRITICAL: clearing accounts and claims differ, twice in a row", 0),
        (names.FEED_DAMAGED, "Sum", "feed-damaged", "CRITICAL: facts cannot be read; the log names the object", 0),
    ):
        alarm(
            scope,
            metric,
            name=f"{names.RECONCILIATION}-{name}",
            description=means,
            metric=metrics.own(metric, statistic),
            threshold=threshold,
        )
    alarm(
        scope,
        names.FILES_REFUSED,
        name="payments-settlement-files-refused",
        description="A settlement file was refused; its run's file.json says why",
        metric=metrics.own(names.FILES_REFUSED),
    )
