"""The charge saga and the functions that write the books."""

from typing import Any

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs.bundles import ROOT
from cdk.constructs.function import PaymentsFunction, let_invoke, retention
from cdk.constructs.nag import acknowledge

DEFINITION = ROOT / "statemachines" / "charge.asl.json"

# What ${…} in the definition stands for: the functions the saga may call, and no others.
TASKS = {
    "TokenizeFunctionArn": "payments-vault-tokenize",
    "ReleaseFunctionArn": "payments-vault-release",
    "FraudFunctionArn": "payments-fraud",
    "LedgerFunctionArn": "payments-ledger",
}


class ChargeStack(Stack):
    """``payments-ledger``, ``-command`` and ``-book``; the Express state machine ``payments-charge``."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._ledger(config)
        self._command(config)
        self._book(config)
        self._saga(config)

    def _ledger(self, config: Config) -> None:
        """A transaction needs the rights of its items. The books are append-only: put, never update or delete."""
        ledger = PaymentsFunction(
            self,
            "Ledger",
            config=config,
            name="payments-ledger",
            settings={"PAYMENTS_TABLE": names.PAYMENTS, "LEDGER_TABLE": names.LEDGER, **_map(config)},
        )
        ledger.allow(("dynamodb:GetItem",), names.table_arn(self, names.SHARDS))
        ledger.allow(
            ("dynamodb:ConditionCheckItem", "dynamodb:GetItem", "dynamodb:PutItem"),
            names.table_arn(self, names.PAYMENTS),
        )
        ledger.allow(("dynamodb:ConditionCheckItem", "dynamodb:PutItem"), names.table_arn(self, names.LEDGER))

    def _command(self, config: Config) -> None:
        command = PaymentsFunction(
            self,
            "Command",
            config=config,
            name=names.COMMAND,
            settings={
                "PAYMENTS_TABLE": names.PAYMENTS,
                "LEDGER_TABLE": names.LEDGER,
                "EVENT_BUS": names.BUS,
                **_map(config),
            },
        )
        command.allow(("dynamodb:GetItem",), names.table_arn(self, names.SHARDS))
        command.allow(
            ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"), names.table_arn(self, names.PAYMENTS)
        )
        command.allow(("dynamodb:PutItem", "dynamodb:Query"), names.table_arn(self, names.LEDGER))
        command.allow(("events:PutEvents",), names.bus_arn(self))

    def _book(self, config: Config) -> None:
        """Operators call it, and for settlements reconciliation and the operators' API."""
        settings = {"LEDGER_TABLE": names.LEDGER, **_map(config)}
        book = PaymentsFunction(self, "Book", config=config, name=names.BOOK, settings=settings)
        book.allow(("dynamodb:GetItem",), names.table_arn(self, names.SHARDS))
        book.allow(("dynamodb:PutItem", "dynamodb:Query"), names.table_arn(self, names.LEDGER))

    def _saga(self, config: Config) -> None:
        """Its history holds ciphertext and tokens only, and even so its log holds errors without execution data."""
        log = logs.LogGroup(
            self,
            "SagaLog",
            log_group_name=f"/aws/vendedlogs/states/{names.SAGA}",
            retention=retention(config),
            removal_policy=RemovalPolicy.RETAIN if config.retain_data else RemovalPolicy.DESTROY,
        )
        functions = {key: names.function_arn(self, function) for key, function in TASKS.items()}
        role = iam.Role(self, "SagaRole", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
        role.add_to_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=list(functions.values())))
        role.add_to_policy(iam.PolicyStatement(actions=["events:PutEvents"], resources=[names.bus_arn(self)]))
        let_invoke(self, role, *(name for name in TASKS.values() if "-vault-" in name))
        acknowledge(role, "AwsSolutions-IAM5[Resource::*]", "log delivery and X-Ray know no resource-level rights")
        machine = sfn.StateMachine(
            self,
            "Saga",
            state_machine_name=names.SAGA,
            state_machine_type=sfn.StateMachineType.EXPRESS,
            definition_body=sfn.DefinitionBody.from_string(DEFINITION.read_text()),
            definition_substitutions={**functions, "EventBusName": names.BUS},
            role=role,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=log, level=sfn.LogLevel.ERROR, include_execution_data=False),
        )
        acknowledge(
            machine, "AwsSolutions-SF1", "logging every event would cost more than the charge; errors are logged"
        )


def _map(config: Config) -> dict[str, str]:
    """What a function needs to know which region writes for a shard."""
    return {"SHARDS_TABLE": names.SHARDS, "REGIONS": config.regions_setting}
