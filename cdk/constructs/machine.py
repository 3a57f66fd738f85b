"""Standard state machines: logging errors, with a role that may invoke their tasks, and of a map run its own items."""

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs.function import retention
from cdk.constructs.nag import acknowledge


def standard_machine(
    scope: Construct,
    construct_id: str,
    *,
    config: Config,
    name: str,
    definition: Path,
    tasks: Mapping[str, str],
    has_map: bool = False,
) -> sfn.StateMachine:
    """The machine of this name and definition; ``tasks`` are the functions that ``${…}`` in it stands for, and the only
    ones it may invoke. ``has_map`` says whether it has a distributed map."""
    functions = {key: names.function_arn(scope, task) for key, task in tasks.items()}
    machine = sfn.StateMachine(
        scope,
        construct_id,
        state_machine_name=name,
        state_machine_type=sfn.StateMachineType.STANDARD,
        definition_body=sfn.DefinitionBody.from_string(definition.read_text()),
        definition_substitutions=functions,
        role=_role(scope, f"{construct_id}Role", list(functions.values()), name if has_map else None),
        tracing_enabled=True,
        logs=sfn.LogOptions(
            destination=_log(scope, f"{construct_id}Log", name, config),
            level=sfn.LogLevel.ERROR,
            include_execution_data=False,
        ),
    )
    acknowledge(machine, "AwsSolutions-SF1", "errors are logged; all else is in the executions' history")
    return machine


def _role(scope: Construct, construct_id: str, functions: list[str], map_of: str | None) -> iam.Role:
    role = iam.Role(scope, construct_id, assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
    role.add_to_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=functions))
    acknowledge(role, "AwsSolutions-IAM5[Resource::*]", "log delivery and X-Ray know no resource-level rights")
    if map_of:
        _let_map(scope, role, map_of)
    return role


def _let_map(scope: Construct, role: iam.Role, name: str) -> None:
    """A distributed map runs its items as executions of the machine itself."""
    runs, of_map = names.machine_runs(scope, name), names.machine_runs(scope, name, "/")
    for actions, resources in (
        (["states:StartExecution"], [names.machine_arn(scope, name)]),
        (["states:DescribeExecution", "states:StopExecution"], [runs]),
        (["states:RedriveExecution"], [of_map]),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))
    for executions in (runs, of_map):
        acknowledge(role, f"AwsSolutions-IAM5[Resource::{executions}]", "its own executions, and no others")


def _log(scope: Construct, construct_id: str, name: str, config: Config) -> logs.LogGroup:
    return logs.LogGroup(
        scope,
        construct_id,
        log_group_name=f"/aws/vendedlogs/states/{name}",
        retention=retention(config),
        removal_policy=RemovalPolicy.RETAIN if config.retain_data else RemovalPolicy.DESTROY,
    )
