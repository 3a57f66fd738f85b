"""A Lambda function of the platform: one bundle, one role with exactly what is granted, one log group."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk.config import FUNCTIONS, Config
from cdk.constructs import bundles
from cdk.constructs.nag import acknowledge

RUNTIME = lambda_.Runtime.PYTHON_3_13
ARCHITECTURE = lambda_.Architecture.ARM_64

_NETWORK_INTERFACE_ACTIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)


@dataclass(frozen=True)
class Network:
    """Where a function runs that may not run in Lambda's own network."""

    vpc: ec2.IVpc
    security_group: ec2.ISecurityGroup


class PaymentsFunction(Construct):
    """A function named in ``config.FUNCTIONS``: arm64, Python 3.13, traced, logging JSON, with a role of its own.

    ``settings`` are its environment variables besides the common ones, ``domain`` adds the shared domain and its
    dependencies, ``wheels`` further ones of its own, ``layers`` what comes from elsewhere. The role may write the
    function's log and its traces; all else comes from ``allow``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: Config,
        name: str,
        settings: Mapping[str, str],
        domain: bool = True,
        wheels: str | None = None,
        finish_wheels: bundles.Finish | None = None,
        models: bool = False,
        network: Network | None = None,
        layers: Sequence[lambda_.ILayerVersion] = (),
        role_name: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        spec = FUNCTIONS[name]
        log_group = _log_group(self, f"/aws/lambda/{name}", config)
        self.role = _role(self, log_group, network, role_name)
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=name,
            runtime=RUNTIME,
            architecture=ARCHITECTURE,
            handler=spec.handler,
            code=bundles.function_code(spec.folder, models=models),
            layers=[*_layers(self, config, spec.folder, domain, wheels, finish_wheels), *layers],
            memory_size=spec.memory_mb,
            timeout=Duration.seconds(config.timeout_s(name)),
            ephemeral_storage_size=Size.mebibytes(spec.disk_mb) if spec.disk_mb else None,
            reserved_concurrent_executions=config.reserved_concurrency(name),
            role=self.role.without_policy_updates(),
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            system_log_level_v2=lambda_.SystemLogLevel.WARN,
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
            tracing=lambda_.Tracing.ACTIVE,
            environment={
                "ENVIRONMENT": config.environment,
                "POWERTOOLS_SERVICE_NAME": name,
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **settings,
            },
            vpc=network.vpc if network else None,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED) if network else None,
            security_groups=[network.security_group] if network else None,
        )
        acknowledge(self.function, "AwsSolutions-L1", "3.13 is the runtime whose wheels are pinned and tested")

    def allow(self, actions: Sequence[str], *resources: str, **conditions: Mapping[str, str]) -> None:
        """Let the function do exactly these actions on exactly these resources (ARNs)."""
        self.role.add_to_policy(
            iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions or None)
        )


def keys_like(pattern: str) -> dict[str, Mapping[str, str]]:
    """The condition that narrows a right on a table to items whose partition keys are like this."""
    return {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": pattern}}


def _log_group(scope: Construct, name: str, config: Config) -> logs.LogGroup:
    return logs.LogGroup(
        scope,
        "Log",
        log_group_name=name,
        retention=retention(config),
        removal_policy=RemovalPolicy.RETAIN if config.retain_data else RemovalPolicy.DESTROY,
    )


def retention(config: Config) -> logs.RetentionDays:
    """How long logs are kept."""
    return {7: logs.RetentionDays.ONE_WEEK, 365: logs.RetentionDays.ONE_YEAR}[config.log_retention_days]


def let_invoke(scope: Construct, role: iam.IRole, *functions: str) -> None:
    """Name a role in the resource policies of functions of the region, as one that may invoke them.

    Within an account such a policy grants and never refuses: it shows an auditor at the function itself who its callers
    are. What keeps all others out is that no other role has the right (tests/infrastructure/test_rights.py).
    """
    for function in functions:
        lambda_.CfnPermission(
            scope,
            f"Invoke-{function}",
            action="lambda:InvokeFunction",
            function_name=function,
            principal=role.role_arn,
        )


def _role(scope: Construct, log_group: logs.LogGroup, network: Network | None, name: str | None) -> iam.Role:
    role = iam.Role(scope, "Role", role_name=name, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    write_log = iam.PolicyStatement(
        actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]
    )
    # Neither tracing nor network interfaces can be narrowed to a resource.
    anywhere = ["xray:PutTraceSegments", "xray:PutTelemetryRecords", *(_NETWORK_INTERFACE_ACTIONS if network else ())]
    role.add_to_policy(write_log)
    role.add_to_policy(iam.PolicyStatement(actions=anywhere, resources=["*"]))
    acknowledge(
        role, "AwsSolutions-IAM5[Resource::*]", "X-Ray and Lambda's network interfaces know no resource-level rights"
    )
    return role


def _layers(
    scope: Construct,
    config: Config,
    folder: str,
    domain: bool,
    wheels: str | None,
    finish_wheels: bundles.Finish | None,
) -> list[lambda_.ILayerVersion]:
    layers = []
    if domain:
        layers.append(_layer(scope, "DomainLayer", bundles.domain_code))
    if config.dependency_layers and domain:
        layers.append(
            _layer(scope, "DependenciesLayer", lambda: bundles.wheels_code("layers/dependencies/requirements.txt"))
        )
    if config.dependency_layers and wheels:
        layers.append(_layer(scope, f"{folder.title()}WheelsLayer", lambda: bundles.wheels_code(wheels, finish_wheels)))
    return layers


def _layer(scope: Construct, layer_id: str, code: Callable[[], lambda_.Code]) -> lambda_.ILayerVersion:
    """The stack's layer of this id; made once, shared by the stack's functions."""
    stack = Stack.of(scope)
    return stack.node.try_find_child(layer_id) or lambda_.LayerVersion(
        stack,
        layer_id,
        code=code(),
        compatible_architectures=[ARCHITECTURE],
        compatible_runtimes=[RUNTIME],
    )
