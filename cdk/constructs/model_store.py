"""The bucket of fraud models: what training learned from, found and made (docs/interfaces.md, "Scores, labels and
models")."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs.function import PaymentsFunction
from cdk.constructs.private_bucket import allow_below, private_bucket, tidy

RUNS_DAYS = 30
"""Rows of features that a run learned from. They can be collected anew for as long as scores are kept."""

UNDO_DAYS = 30
"""How long something that was deleted or overwritten can still be fetched back."""


class ModelStore(Construct):
    """The bucket of a region (``names.fraud_models``). Models and reports stay: a decision names the model it was
    made by."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, access_log: s3.IBucket | None) -> None:
        super().__init__(scope, construct_id)
        self.bucket = private_bucket(
            self,
            config=config,
            name=names.fraud_models(self),
            lifecycle_rules=[
                tidy(UNDO_DAYS),
                s3.LifecycleRule(prefix="runs/", expiration=Duration.days(RUNS_DAYS)),
            ],
            server_access_logs_bucket=access_log,
            server_access_logs_prefix="fraud-models/" if access_log else None,
        )


def allow_models(function: PaymentsFunction, actions: Sequence[str], *prefixes: str, region: str | None = None) -> None:
    """Let a function do exactly these actions on the objects below these prefixes of a region's bucket, its own by
    default."""
    allow_below(function, actions, *(f"{names.fraud_models_arn(function, region)}/{prefix}*" for prefix in prefixes))
