"""The merchants' REST API: routes, authorizer, limits, errors in the platform's form, and the firewall before it."""

import json
from typing import Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from cdk import names
from cdk.config import REGIONS, Config
from cdk.constructs.firewall import web_acl
from cdk.constructs.function import PaymentsFunction, let_invoke
from cdk.constructs.nag import acknowledge
from cdk.constructs.rest_api import ACCESS_LOG_FIELDS, add_errors, rest_api, route_limits

VAULT_FUNCTIONS = {
    "PUBLIC_KEY_FUNCTION": "payments-vault-public-key",
    "STORE_FUNCTION": "payments-vault-store",
    "SHRED_FUNCTION": "payments-vault-shred",
}
"""Setting to what the API may ask of the vault."""

# Requests per second and burst of a region's stage; AWS's account quota is raised to the same figures.
RATE_LIMIT = 200_000
BURST_LIMIT = 100_000

# The same for storing a card, all merchants together. A token is a function of the card's number, so whoever may store
# cards can try numbers until one has a known token; and cards are stored far less often than they are charged.
STORE_RATE_LIMIT = RATE_LIMIT // 100
STORE_BURST_LIMIT = BURST_LIMIT // 100

AUTHORIZER_CACHE_S = 60
"""How long a revoked key may still be accepted."""

MERCHANTS_ROUTES = {
    "payments": ("GET",),
    "payments/charge": ("POST",),
    "payments/{id}": ("GET",),
    "payments/{id}/capture": ("POST",),
    "payments/{id}/void": ("POST",),
    "payments/{id}/refund": ("POST",),
    "payments/{id}/refunds": ("GET",),
    "balance": ("GET",),
    "ledger/entries": ("GET",),
    "reconciliation/reports": ("GET",),
    "tokens": ("POST",),
    "tokens/{token}": ("DELETE",),
}
"""Paths under ``/api/v1`` that need an API key."""

# Type of gateway response → (status or None for its own, type and code of the error, message). What API Gateway answers
# itself must look like what the function answers, and must not repeat anything of the request.
GATEWAY_ERRORS = {
    "UNAUTHORIZED": ("401", "authentication_error", "unauthorized", "A valid API key is required."),
    "ACCESS_DENIED": ("401", "authentication_error", "unauthorized", "A valid API key is required."),
    "THROTTLED": ("429", "rate_limit_error", "rate_limited", "Too many requests. Retry with backoff."),
    "REQUEST_TOO_LARGE": ("413", "invalid_request_error", "request_too_large", "The request is too large."),
    "MISSING_AUTHENTICATION_TOKEN": ("404", "invalid_request_error", "route_not_found", "There is no such route."),
    "DEFAULT_4XX": (None, "invalid_request_error", "bad_request", "The request could not be accepted."),
    "DEFAULT_5XX": (None, "api_error", "internal_error", "Something went wrong on our side. Retry with the same key."),
}

ACCESS_LOG = {
    **ACCESS_LOG_FIELDS,
    "merchant_id": "$context.authorizer.merchant_id",
    "waf": "$context.wafResponseCode",
}


class ApiStack(Stack):
    """``payments-api``, ``payments-authorizer`` and the API in front of them. Outputs ``ApiId`` and ``ApiStage``."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        api = self._rest_api()
        self.api_id = api.rest_api_id
        self._routes(api, self._api_function().function, self._authorizer())
        add_errors(api, GATEWAY_ERRORS)
        if config.web_acl:
            acl = web_acl(self, "Firewall")
            wafv2.CfnWebACLAssociation(
                self, "FirewallOfStage", resource_arn=api.deployment_stage.stage_arn, web_acl_arn=acl.attr_arn
            )
        CfnOutput(self, "ApiId", value=api.rest_api_id)
        CfnOutput(self, "ApiStage", value=names.API_STAGE)
        CfnOutput(self, "ApiUrl", value=api.url)

    def _api_function(self) -> PaymentsFunction:
        function = PaymentsFunction(
            self,
            "Api",
            config=self._config,
            name="payments-api",
            settings={
                "PAYMENTS_TABLE": names.PAYMENTS,
                "LEDGER_TABLE": names.LEDGER,
                "SHARDS_TABLE": names.SHARDS,
                "BALANCES_TABLE": names.BALANCES,
                "ACCOUNTS_TABLE": names.ACCOUNTS,
                "SETTLEMENTS_TABLE": names.SETTLEMENTS,
                "RECONCILIATION_REGION": self._config.reconciling_region(self.region),
                "CHARGE_STATE_MACHINE_ARN": names.saga_arn(self),
                **VAULT_FUNCTIONS,
                "COMMAND_FUNCTION": names.COMMAND,
                "EVENT_BUS": names.BUS,
                "HEALTH_BUDGET_MS": str(self._config.health_budget_ms),
                "RAW_CARDS_ALLOWED": str(self._config.raw_cards_allowed).lower(),
                "REGIONS": self._config.regions_setting,
            },
            role_name=names.api_role(self),
        )
        self._allow_tables(function)
        function.allow(("states:DescribeStateMachine", "states:StartSyncExecution"), names.saga_arn(self))
        function.allow(("events:DescribeEventBus",), names.bus_arn(self))  # publishing is the saga's
        twins = [names.function_arn(self, "payments-api", region) for region in REGIONS if region != self.region]
        vault = [names.function_arn(self, name) for name in VAULT_FUNCTIONS.values()]
        function.allow(("lambda:InvokeFunction",), *vault, names.function_arn(self, names.COMMAND), *twins)
        let_invoke(self, function.role, *VAULT_FUNCTIONS.values())
        return function

    def _allow_tables(self, function: PaymentsFunction) -> None:
        """It reads: what it writes, other functions write for it."""
        one_by_one = (names.PAYMENTS, names.SHARDS, names.ACCOUNTS)
        ranges = (names.LEDGER, names.BALANCES, names.ACCOUNTS)
        function.allow(("dynamodb:GetItem",), *(names.table_arn(self, table) for table in one_by_one))
        function.allow(("dynamodb:BatchGetItem",), names.table_arn(self, names.PAYMENTS))
        function.allow(
            ("dynamodb:Query",),
            names.index_arn(self, names.PAYMENTS, names.MERCHANT_INDEX),
            *(names.table_arn(self, table) for table in ranges),
        )
        # Merchants' reports, and none of the operators' or of the discrepancies beside them.
        function.allow(
            ("dynamodb:GetItem", "dynamodb:Query"),
            names.table_arn(self, names.SETTLEMENTS, self._config.reconciling_region(self.region)),
            **{"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "report#mer_*"}},
        )

    def _authorizer(self) -> apigateway.RequestAuthorizer:
        function = PaymentsFunction(
            self,
            "Authorizer",
            config=self._config,
            name="payments-authorizer",
            settings={"MERCHANTS_TABLE": names.MERCHANTS},
        )
        function.allow(("dynamodb:BatchGetItem",), names.table_arn(self, names.MERCHANTS))
        return apigateway.RequestAuthorizer(
            self,
            "ApiKey",
            handler=function.function,
            identity_sources=[apigateway.IdentitySource.header("Authorization")],
            results_cache_ttl=Duration.seconds(AUTHORIZER_CACHE_S),
        )

    def _rest_api(self) -> apigateway.RestApi:
        api = rest_api(
            self,
            config=self._config,
            name=names.API,
            description="The merchants' API",
            rate_limit=RATE_LIMIT,
            burst_limit=BURST_LIMIT,
            access_log=json.dumps(ACCESS_LOG),
            method_options={names.STORE_A_CARD: route_limits(STORE_RATE_LIMIT, STORE_BURST_LIMIT)},
            owns_log_role=True,
            default_endpoint=not self._config.domain or self._config.domain.default_endpoint,
        )
        acknowledge(api, "AwsSolutions-COG4", "merchants authenticate with API keys, not as users of a pool")
        acknowledge(
            api,
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
            "AmazonAPIGatewayPushToCloudWatchLogs]",
            "API Gateway's one role per account and region to write access logs",
        )
        return api

    def _routes(
        self, api: apigateway.RestApi, function: lambda_.Function, authorizer: apigateway.RequestAuthorizer
    ) -> None:
        integration = apigateway.LambdaIntegration(function, allow_test_invoke=False)
        v1 = api.root.add_resource("api").add_resource("v1")
        for path, methods in MERCHANTS_ROUTES.items():
            resource = v1.resource_for_path(path)
            for method in methods:
                resource.add_method(
                    method, integration, authorizer=authorizer, authorization_type=apigateway.AuthorizationType.CUSTOM
                )
        self._public_key(v1, integration)
        health = api.root.add_resource("health").add_method("GET", integration)
        acknowledge(health, "AwsSolutions-APIG4", "what Route 53 probes; it tells nothing of a merchant")

    def _public_key(self, v1: apigateway.Resource, integration: apigateway.LambdaIntegration) -> None:
        """The one path that a browser may ask from any page: it seals a card before the merchant's server sees it.

        API Gateway answers the preflight request itself; the function puts the header on the key.
        """
        resource = v1.add_resource("vault").add_resource("public_key")
        key = resource.add_method("GET", integration)
        acknowledge(key, "AwsSolutions-APIG4", "a public key is for everybody")
        preflight = resource.add_cors_preflight(allow_origins=["*"], allow_methods=["GET"], allow_headers=["Accept"])
        acknowledge(preflight, "AwsSolutions-APIG4", "browsers send no credentials with a preflight request")
