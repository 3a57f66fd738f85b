"""Alarms on the training of fraud models: that there is any, and that charges are still those that the model knows."""

from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs import metrics
from cdk.constructs.run_alarms import run_alarms
from cdk.constructs.worker import alarm

MOST_DRIFT = 250
"""Thousandths of the population stability index of the feature that changed most (functions/training/drift.py)."""


def training_alarms(scope: Construct, config: Config, region: str) -> None:
    """The alarms of a region; one for silence only where there is a schedule."""
    alarm(
        scope,
        names.FEATURE_DRIFT,
        name=f"{names.TRAINING_MACHINE}-drift",
        description="A feature of yesterday's charges is distributed unlike in training; the run's report says which",
        metric=metrics.own(names.FEATURE_DRIFT, "Maximum"),
        threshold=MOST_DRIFT,
    )
    run_alarms(
        scope,
        "Training",
        names.TRAINING_MACHINE,
        unfinished="A run of training did not come to its end; the champion stays, the next run begins anew",
        missing="No run of training has succeeded for more than a day" if config.trains_in(region) else None,
    )
