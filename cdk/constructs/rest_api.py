"""What the platform's REST APIs have in common: a stage that is throttled and not traced, its access log, errors."""

import json
from collections.abc import Mapping

from aws_cdk import RemovalPolicy, Stack, Tags
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_logs as logs

from cdk import names
from cdk.config import Config
from cdk.constructs.function import retention
from cdk.constructs.nag import acknowledge

TLS_POLICY = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09"
"""TLS 1.3, or 1.2 with forward secrecy only: the strictest that clients without TLS 1.3 can use. API Gateway's own
default for a regional API is TLS 1.0 and newer."""

ACCESS_MODE = "STRICT"
"""It must go with the policy: a request is refused whose Host is not the name that TLS was negotiated for."""

# The route's template instead of the path, no query, no headers: a card number typed into a URL reaches no log.
ACCESS_LOG_FIELDS = {
    "request_id": "$context.requestId",
    "time": "$context.requestTimeEpoch",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "latency_ms": "$context.responseLatency",
    "integration_latency_ms": "$context.integrationLatency",
    "response_bytes": "$context.responseLength",
    "ip": "$context.identity.sourceIp",
    "error_type": "$context.error.responseType",
}

GatewayErrors = Mapping[str, tuple[str | None, str, str, str]]
"""Type of gateway response → status or None for its own, type and code of the error, message."""


def rest_api(
    stack: Stack,
    *,
    config: Config,
    name: str,
    description: str,
    rate_limit: int,
    burst_limit: int,
    access_log: str,
    method_options: Mapping[str, apigateway.MethodDeploymentOptions] | None = None,
    owns_log_role: bool = False,
    default_endpoint: bool = True,
) -> apigateway.RestApi:
    """An API of this name and its one stage; limits are requests per second of all callers, and a burst.

    The stage is not traced: its trace would hold the URL of a request, and somebody may type a card number into it. The
    traces of the functions and of the saga begin behind it. ``owns_log_role`` sets API Gateway's one role per account
    and region to write access logs, which all others then use. Without ``default_endpoint`` it answers only to names
    of a domain's.
    """
    log = logs.LogGroup(
        stack,
        "AccessLog",
        retention=retention(config),
        removal_policy=RemovalPolicy.RETAIN if config.retain_data else RemovalPolicy.DESTROY,
    )
    api = apigateway.RestApi(
        stack,
        "RestApi",
        rest_api_name=name,
        description=description,
        endpoint_types=[apigateway.EndpointType.REGIONAL],
        disable_execute_api_endpoint=None if default_endpoint else True,
        cloud_watch_role=owns_log_role,
        cloud_watch_role_removal_policy=RemovalPolicy.DESTROY if owns_log_role else None,
        deploy_options=apigateway.StageOptions(
            stage_name=names.API_STAGE,
            method_options=method_options,
            access_log_destination=apigateway.LogGroupLogDestination(log),
            access_log_format=apigateway.AccessLogFormat.custom(access_log),
            **_quiet(rate_limit, burst_limit),
            tracing_enabled=False,
        ),
    )
    if config.enforce_tls:
        _refuse_old_tls(api)
    if config.fixed_api_ids:
        Tags.of(api).add("ms-custom-id", name)
    acknowledge(api, "AwsSolutions-APIG2", "the function validates, so that every error has the platform's form")
    acknowledge(api, "AwsSolutions-APIG6", "execution logs can print paths and headers; the access log cannot")
    return api


def route_limits(rate: int, burst: int) -> apigateway.MethodDeploymentOptions:
    """Limits of one route. Its settings take the place of the stage's, so what is not to be logged is said again."""
    return apigateway.MethodDeploymentOptions(**_quiet(rate, burst))


def add_errors(api: apigateway.RestApi, errors: GatewayErrors) -> None:
    """Let API Gateway answer in the platform's form."""
    for name, (status, kind, code, message) in errors.items():
        error = {"type": kind, "code": code, "message": message, "request_id": "$context.requestId"}
        api.add_gateway_response(
            "".join(part.title() for part in name.split("_")),
            type=apigateway.ResponseType.of(name),
            status_code=status,
            templates={"application/json": json.dumps({"error": error})},
        )


def _quiet(rate: int, burst: int) -> dict[str, object]:
    return {
        "throttling_rate_limit": rate,
        "throttling_burst_limit": burst,
        "logging_level": apigateway.MethodLoggingLevel.OFF,
        "data_trace_enabled": False,
        "metrics_enabled": True,
    }


def _refuse_old_tls(api: apigateway.RestApi) -> None:
    """The construct does not know the setting yet."""
    resource = api.node.default_child
    assert isinstance(resource, apigateway.CfnRestApi)
    resource.security_policy = TLS_POLICY
    resource.endpoint_access_mode = ACCESS_MODE
