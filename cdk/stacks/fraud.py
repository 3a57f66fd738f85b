"""Fraud scoring, and the labels that its models learn from."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs import bundles
from cdk.constructs.digest_key import digest_key
from cdk.constructs.function import PaymentsFunction
from cdk.constructs.model_store import allow_models
from cdk.constructs.nag import acknowledge
from cdk.constructs.worker import DeadLetters

STREAM_BATCH = 100

STREAM_PATIENCE = Duration.hours(12)
"""How long a record of the stream is repeated before it becomes a dead letter; half of what a stream keeps."""

STREAM_RETRIES = 20
"""Some ten minutes, with Lambda's growing pauses: longer than a hiccup, shorter than what other labels may wait."""


class FraudStack(Stack):
    """The function that scores a charge, with the model in its bundle, and the one that hears what payments became."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: Config, payments_stream_arn: str, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        self._settings = {
            "FRAUD_PROFILES_TABLE": names.FRAUD_PROFILES,
            "FRAUD_SCORES_TABLE": names.FRAUD_SCORES,
            "REGIONS": config.regions_setting,
            "PROFILE_DIGEST_KEY": digest_key(config),
        }
        self._score()
        self._read(payments_stream_arn, self._labels())

    def _score(self) -> None:
        function = self._function(
            "Score",
            "payments-fraud",
            {
                "FRAUD_RULES_TABLE": names.FRAUD_RULES,
                "FRAUD_MODELS_BUCKET": names.fraud_models(self),
                "SCORES_RATE": str(self._config.scores_rate),
                "CARD_ATTEMPTS_PER_HOUR": str(self._config.card_attempts_per_hour),
                "LISTS_BUDGET_MS": str(self._config.lists_budget_ms),
                "PROFILES_BUDGET_MS": str(self._config.profiles_budget_ms),
                "COUNTRY_DATABASE": "/opt/country.mmdb" if self._config.country_layers else "",
            },
            models=True,
            layers=self._countries(),
        )
        function.allow(("dynamodb:BatchGetItem", "dynamodb:UpdateItem"), names.table_arn(self, names.FRAUD_PROFILES))
        function.allow(("dynamodb:BatchGetItem", "dynamodb:Query"), names.table_arn(self, names.FRAUD_RULES))
        function.allow(("dynamodb:PutItem",), names.table_arn(self, names.FRAUD_SCORES))
        allow_models(function, ("s3:GetObject",), "models/")

    def _countries(self) -> list[lambda_.ILayerVersion]:
        arn = self._config.country_layers.get(self.region)
        return [lambda_.LayerVersion.from_layer_version_arn(self, "Countries", arn)] if arn else []

    def _labels(self) -> PaymentsFunction:
        function = self._function("Label", names.FRAUD_LABELS, {})
        function.allow(("dynamodb:BatchGetItem", "dynamodb:UpdateItem"), names.table_arn(self, names.FRAUD_PROFILES))
        rights = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
        function.allow(rights, names.table_arn(self, names.FRAUD_SCORES))
        return function

    def _function(
        self,
        construct_id: str,
        name: str,
        settings: dict[str, str],
        models: bool = False,
        layers: Sequence[lambda_.ILayerVersion] = (),
    ) -> PaymentsFunction:
        return PaymentsFunction(
            self,
            construct_id,
            config=self._config,
            name=name,
            settings={**self._settings, **settings},
            domain=False,
            wheels="functions/fraud/requirements.txt",
            finish_wheels=bundles.keep_native_lightgbm,
            models=models,
            layers=layers,
        )

    def _read(self, stream: str, labels: PaymentsFunction) -> None:
        """Of the stream of payments, what this region wrote and somebody has spoken about. Records are in order, so the
        one that fails holds up those behind it, and after some minutes goes to the dead letters."""
        labels.allow(("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"), stream)
        labels.allow(("dynamodb:ListStreams",), "*")
        acknowledge(labels.role, "AwsSolutions-IAM5[Resource::*]", "streams are listed, not named")
        dead_letters = DeadLetters(self, "DeadLetters", config=self._config, worker=names.FRAUD_LABELS)
        acknowledge(dead_letters.queue, "AwsSolutions-SQS3", "it is the dead-letter queue, of a stream")
        labels.allow(("sqs:SendMessage",), dead_letters.queue.queue_arn)
        lambda_.EventSourceMapping(
            self,
            "Stream",
            target=labels.function,
            event_source_arn=stream,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=STREAM_BATCH,
            filters=[self._spoken_about("dispute", "status"), self._spoken_about("review_decision", "decision")],
            report_batch_item_failures=True,
            bisect_batch_on_error=True,
            max_record_age=STREAM_PATIENCE,
            retry_attempts=STREAM_RETRIES,
            on_failure=event_sources.SqsDlq(dead_letters.queue),
        ).node.add_dependency(labels.role)

    def _spoken_about(self, attribute: str, field: str) -> dict[str, Any]:
        """A filter for payments of this region with an attribute; that something exists can be asked of a leaf only."""
        image = {
            "region": {"S": lambda_.FilterRule.is_equal(self.region)},
            attribute: {"M": {field: {"S": lambda_.FilterRule.exists()}}},
        }
        return lambda_.FilterCriteria.filter({"dynamodb": {"NewImage": image}})
