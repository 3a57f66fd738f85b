"""Fraud scoring, and the labels that its models learn from."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs import bundles
from cdk.constructs.digest_key import digest_key
from cdk.constructs.function import PaymentsFunction
from cdk.constructs.model_store import allow_models
from cdk.constructs.stream import read_stream


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
        spoken_about = [self._spoken_about("dispute", "status"), self._spoken_about("review_decision", "decision")]
        read_stream(self, self._labels(), payments_stream_arn, spoken_about, config=config, name=names.FRAUD_LABELS)

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

    def _spoken_about(self, attribute: str, field: str) -> dict[str, Any]:
        """A filter for payments of this region with an attribute; that something exists can be asked of a leaf only."""
        image = {
            "region": {"S": lambda_.FilterRule.is_equal(self.region)},
            attribute: {"M": {field: {"S": lambda_.FilterRule.exists()}}},
        }
        return lambda_.FilterCriteria.filter({"dynamodb": {"NewImage": image}})
