"""Fraud scoring."""

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs import bundles
from cdk.constructs.digest_key import digest_key
from cdk.constructs.function import PaymentsFunction


class FraudStack(Stack):
    """The function that scores a charge, with the model in its bundle."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        function = PaymentsFunction(
            self,
            "Score",
            config=config,
            name="payments-fraud",
            settings={
                "FRAUD_PROFILES_TABLE": names.FRAUD_PROFILES,
                "FRAUD_RULES_TABLE": names.FRAUD_RULES,
                "REGIONS": config.regions_setting,
                "CARD_ATTEMPTS_PER_HOUR": str(config.card_attempts_per_hour),
                "PROFILES_BUDGET_MS": str(config.profiles_budget_ms),
                "PROFILE_DIGEST_KEY": digest_key(config),
                "COUNTRY_DATABASE": "/opt/country.mmdb" if config.country_layers else "",
            },
            domain=False,
            wheels="functions/fraud/requirements.txt",
            finish_wheels=bundles.keep_native_lightgbm,
            models=True,
            layers=self._countries(config),
        )
        function.allow(("dynamodb:BatchGetItem", "dynamodb:UpdateItem"), names.table_arn(self, names.FRAUD_PROFILES))
        function.allow(("dynamodb:BatchGetItem", "dynamodb:Query"), names.table_arn(self, names.FRAUD_RULES))

    def _countries(self, config: Config) -> list[lambda_.ILayerVersion]:
        arn = config.country_layers.get(self.region)
        return [lambda_.LayerVersion.from_layer_version_arn(self, "Countries", arn)] if arn else []
