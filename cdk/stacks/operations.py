"""The operators' REST API: its function, and the gateway that lets in nobody but who may by IAM."""

import json
from typing import Any

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_apigateway as apigateway
from constructs import Construct

from cdk import names
from cdk.config import REGIONS, Config
from cdk.constructs import bundles
from cdk.constructs.digest_key import digest_key
from cdk.constructs.function import PaymentsFunction, keys_like
from cdk.constructs.model_store import allow_models
from cdk.constructs.nag import acknowledge
from cdk.constructs.rest_api import ACCESS_LOG_FIELDS, add_errors, rest_api
from cdk.constructs.settlement_store import allow_finding, allow_objects

# Requests per second and burst: people, and what they script.
RATE_LIMIT = 50
BURST_LIMIT = 100

CALLER = {"operator": "$context.identity.userArn"}

GATEWAY_ERRORS = {
    "MISSING_AUTHENTICATION_TOKEN": ("403", "permission_error", "not_signed", "Sign the request (SigV4)."),
    "INVALID_SIGNATURE": ("403", "permission_error", "not_signed", "The request's signature is not valid."),
    "ACCESS_DENIED": ("403", "permission_error", "permission_denied", "You may not do this."),
    "THROTTLED": ("429", "rate_limit_error", "rate_limited", "Too many requests. Retry with backoff."),
    "DEFAULT_4XX": (None, "invalid_request_error", "bad_request", "The request could not be accepted."),
    "DEFAULT_5XX": (None, "api_error", "internal_error", "Something went wrong on our side. Retry with the same key."),
}
"""As in the merchants' API (``stacks/api.py``)."""


class OperationsStack(Stack):
    """``payments-operations`` and the API in front of it. Outputs ``OperationsApiId``."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        api = rest_api(
            self,
            config=config,
            name=names.OPERATIONS,
            description="The operators' API",
            rate_limit=RATE_LIMIT,
            burst_limit=BURST_LIMIT,
            access_log=json.dumps({**ACCESS_LOG_FIELDS, **CALLER}),
        )
        acknowledge(api, "AwsSolutions-COG4", "operators sign with IAM credentials; they are no users of a pool")
        acknowledge(api, "AwsSolutions-APIG3", "nobody gets past IAM unsigned, so there are no strangers to filter")
        integration = apigateway.LambdaIntegration(self._function().function, allow_test_invoke=False)
        everything = api.root.add_resource("operations").add_resource("v1").add_resource("{proxy+}")
        everything.add_method("ANY", integration, authorization_type=apigateway.AuthorizationType.IAM)
        add_errors(api, GATEWAY_ERRORS)
        CfnOutput(self, "OperationsApiId", value=api.rest_api_id)
        CfnOutput(self, "OperationsApiUrl", value=api.url)

    def _function(self) -> PaymentsFunction:
        """It reads reports, decides discrepancies and reviews, and has what follows from that done in the region that
        writes for the shard; and it moves shards from one region to another."""
        home = self._config.reconciling_region(self.region)
        function = PaymentsFunction(
            self,
            "Operations",
            config=self._config,
            name=names.OPERATIONS,
            settings={
                "RECONCILIATION_BUCKET": names.settlement_store(self, home),
                "RECONCILIATION_REGION": home,
                "SETTLEMENTS_TABLE": names.SETTLEMENTS,
                "RECONCILIATION_PARTS": str(self._config.reconciliation_parts),
                "BOOK_FUNCTION": names.BOOK,
                "FRAUD_RULES_TABLE": names.FRAUD_RULES,
                "FRAUD_MODELS_BUCKET": names.fraud_models(self),
                "SHIPPED_MODEL": bundles.shipped_model(),
                "COMMAND_FUNCTION": names.COMMAND,
                "PAYMENTS_TABLE": names.PAYMENTS,
                "PROFILE_DIGEST_KEY": digest_key(self._config),
                "SHARDS_TABLE": names.SHARDS,
                "REGIONS": self._config.regions_setting,
            },
        )
        # A transaction needs the rights of its items. It deletes nothing but an idempotency key whose command failed.
        rights = ("BatchGetItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem")
        function.allow([f"dynamodb:{right}" for right in rights], names.table_arn(self, names.SETTLEMENTS, home))
        function.allow(("dynamodb:Query",), names.index_arn(self, names.SETTLEMENTS, names.UNMATCHED_INDEX, home))
        # It moves shards, and deletes none: an epoch must never be forgotten.
        rights = ("BatchGetItem", "GetItem", "PutItem")
        function.allow([f"dynamodb:{right}" for right in rights], names.table_arn(self, names.SHARDS))
        # What is taken off a list expires: nothing here is deleted but by time.
        rights = ("GetItem", "PutItem", "Query")
        function.allow([f"dynamodb:{right}" for right in rights], names.table_arn(self, names.FRAUD_RULES))
        # Of payments it reads; what is decided about them the ledger's own function writes.
        function.allow(("dynamodb:BatchGetItem", "dynamodb:GetItem"), names.table_arn(self, names.PAYMENTS))
        function.allow(("dynamodb:Query",), names.index_arn(self, names.PAYMENTS, names.REVIEW_INDEX))
        acknowledged = keys_like(names.ACKNOWLEDGEMENT_KEYS)
        function.allow(("dynamodb:PutItem",), names.table_arn(self, names.PAYMENTS), **acknowledged)
        self._let_read_models(function)
        allow_finding(function, home)
        allow_objects(function, ("s3:GetObject",), "runs/", region=home)
        allow_objects(function, ("s3:PutObject",), "resolutions/", region=home)
        function.allow(
            ("lambda:InvokeFunction",),
            *(names.function_arn(self, called, region) for called in (names.BOOK, names.COMMAND) for region in REGIONS),
        )
        return function

    def _let_read_models(self, function: PaymentsFunction) -> None:
        """It reads what training wrote, and is told what is not there. It writes none: models come from training."""
        function.allow(("s3:ListBucket",), names.fraud_models_arn(self))
        allow_models(function, ("s3:GetObject",), "models/", "reports/")
