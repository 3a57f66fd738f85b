"""Training of fraud models: the state machine, its functions, and what starts it.

It reads scores and labels of every region, and writes models into the bucket of every region. In production one region
trains for all; both have everything it takes, and in the other the schedule is off.
"""

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk import names
from cdk.config import REGIONS, Config
from cdk.constructs import bundles
from cdk.constructs.function import PaymentsFunction
from cdk.constructs.machine import standard_machine
from cdk.constructs.model_store import allow_models

DEFINITION = bundles.ROOT / "statemachines" / "fraud_training.asl.json"

STEPS = ("collect", "learn", "release")

TASKS = {f"{step.title()}FunctionArn": f"{names.TRAINING}-{step}" for step in STEPS}
"""What ${…} in the definition stands for."""

RUN_AT = events.Schedule.cron(hour="2", minute="13")
"""Daily, UTC, when the labels of one more day are due."""

WHEELS = "functions/training/requirements.txt"


class TrainingStack(Stack):
    """``payments-training-…`` and the state machine ``payments-fraud-training``."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        self._collect()
        self._learn()
        self._release()
        self._start(
            standard_machine(
                self, "Machine", config=config, name=names.TRAINING_MACHINE, definition=DEFINITION, tasks=TASKS
            )
        )

    def _collect(self) -> None:
        collect = self._step(
            "collect",
            **self._tables(),
            TRAINING_DAYS=str(self._config.training_days),
            LABEL_DAYS=str(self._config.label_days),
        )
        self._reads_scores(collect)
        collect.allow(("dynamodb:GetItem",), names.table_arn(self, names.FRAUD_RULES))
        allow_models(collect, ("s3:GetObject",), "models/")
        allow_models(collect, ("s3:PutObject",), "runs/")

    def _learn(self) -> None:
        learn = self._step(
            "learn",
            HELD_OUT_DAYS=str(self._config.held_out_days),
            LEAST_FRAUDS=str(self._config.least_frauds),
            LEAST_GOOD=str(self._config.least_good),
        )
        allow_models(learn, ("s3:GetObject",), "models/", "runs/")
        allow_models(learn, ("s3:PutObject",), "runs/")
        for region in REGIONS:
            allow_models(learn, ("s3:PutObject",), "models/", region=region)

    def _release(self) -> None:
        """The only one that changes which model is asked, and what it deletes is the shadow's pointer."""
        release = self._step(
            "release",
            **self._tables(),
            SHADOW_SECONDS=str(self._config.shadow_seconds),
            SHADOW_CHARGES=str(self._config.shadow_charges),
        )
        self._reads_scores(release)
        rights = [f"dynamodb:{right}" for right in ("GetItem", "PutItem", "DeleteItem")]
        release.allow(rights, names.table_arn(self, names.FRAUD_RULES))
        allow_models(release, ("s3:GetObject",), "runs/")
        allow_models(release, ("s3:PutObject",), "reports/", "runs/")

    def _step(self, step: str, **settings: str) -> PaymentsFunction:
        function = PaymentsFunction(
            self,
            f"Training{step.title()}",
            config=self._config,
            name=f"{names.TRAINING}-{step}",
            settings={
                "FRAUD_MODELS_BUCKET": names.fraud_models(self),
                "REGIONS": self._config.regions_setting,
                **settings,
            },
            wheels=WHEELS,
            finish_wheels=bundles.keep_learner,
            models=True,
        )
        # Without this right S3 does not say that an object is not there.
        function.allow(("s3:ListBucket",), names.fraud_models_arn(self))
        return function

    def _tables(self) -> dict[str, str]:
        return {"FRAUD_SCORES_TABLE": names.FRAUD_SCORES, "FRAUD_RULES_TABLE": names.FRAUD_RULES}

    def _reads_scores(self, function: PaymentsFunction) -> None:
        function.allow(("dynamodb:Query",), *(names.table_arn(self, names.FRAUD_SCORES, region) for region in REGIONS))

    def _start(self, of: sfn.StateMachine) -> None:
        """By the schedule; where runs are begun by hand only, it is there, and off."""
        on = self._config.trains_in(self.region)
        daily = events.Rule(self, "Daily", rule_name=f"{names.TRAINING_MACHINE}-daily", schedule=RUN_AT, enabled=on)
        daily.add_target(targets.SfnStateMachine(of, input=events.RuleTargetInput.from_object({})))
