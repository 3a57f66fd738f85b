"""The whole platform in one region."""

from collections.abc import Callable
from typing import TypeVar

from aws_cdk import CliCredentialsStackSynthesizer, DefaultStackSynthesizer, Environment, Stack, Stage
from constructs import Construct

from cdk.config import Config
from cdk.stacks.api import ApiStack
from cdk.stacks.charge import ChargeStack
from cdk.stacks.data import DataStack
from cdk.stacks.fraud import FraudStack
from cdk.stacks.observability import ObservabilityStack
from cdk.stacks.vault import VaultStack
from cdk.stacks.workers import WorkersStack

S = TypeVar("S", bound=Stack)


class PlatformStage(Stage):
    """One stack per bounded context, called ``payments-<context>``.

    Stacks know one another's resources by name, so they deploy side by side; only the workers wait for the data
    stack, whose ledger stream has no name of its own.
    """

    def __init__(self, scope: Construct, region: str, *, config: Config) -> None:
        super().__init__(scope, region, env=Environment(account=config.account, region=region))
        synthesizer = DefaultStackSynthesizer if config.bootstrap_roles else CliCredentialsStackSynthesizer

        def make(stack: Callable[..., S], context: str, **properties: str) -> S:
            name = f"payments-{context}"
            return stack(self, context, config=config, stack_name=name, synthesizer=synthesizer(), **properties)

        data = make(DataStack, "data")
        make(WorkersStack, "workers", ledger_stream_arn=data.ledger_stream_arn)
        make(VaultStack, "vault")
        make(FraudStack, "fraud")
        make(ChargeStack, "charge")
        make(ApiStack, "api")
        make(ObservabilityStack, "observability")
