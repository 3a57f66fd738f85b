"""The whole platform in one region."""

from collections.abc import Callable
from typing import Any, TypeVar

from aws_cdk import CliCredentialsStackSynthesizer, DefaultStackSynthesizer, Environment, Stack, Stage
from constructs import Construct

from cdk.config import GLOBAL_REGION, Config
from cdk.domain import Domain
from cdk.stacks.api import ApiStack
from cdk.stacks.audit import AuditStack
from cdk.stacks.charge import ChargeStack
from cdk.stacks.data import DataStack
from cdk.stacks.fraud import FraudStack
from cdk.stacks.observability import ObservabilityStack
from cdk.stacks.operations import OperationsStack
from cdk.stacks.proof import ProofStack
from cdk.stacks.reconciliation import ReconciliationStack
from cdk.stacks.routing import RoutingStack
from cdk.stacks.traffic import TrafficStack
from cdk.stacks.training import TrainingStack
from cdk.stacks.vault import VaultStack
from cdk.stacks.vault_base import VaultBaseStack
from cdk.stacks.watchman import WatchmanStack
from cdk.stacks.workers import WorkersStack

S = TypeVar("S", bound=Stack)


class PlatformStage(Stage):
    """One stack per bounded context, called ``payments-<context>``.

    Stacks know one another's resources by name, so they deploy side by side, with three exceptions. What has no name is
    handed over: streams to who reads them, the vault's keys and network to its functions, the merchants' API to its
    domain. Whoever calls the vault waits for it, to be entered in its functions' resource policies. And the operators'
    API waits for the merchants', which sets the role that API Gateway logs with.
    """

    def __init__(self, scope: Construct, region: str, *, config: Config) -> None:
        super().__init__(scope, region, env=Environment(account=config.account, region=region))
        synthesizer = DefaultStackSynthesizer if config.bootstrap_roles else CliCredentialsStackSynthesizer

        def make(stack: Callable[..., S], context: str, **properties: Any) -> S:
            name = f"payments-{context}"
            return stack(self, context, config=config, stack_name=name, synthesizer=synthesizer(), **properties)

        base = make(VaultBaseStack, "vault-base")
        if config.vault_base_only:
            return
        vault = make(VaultStack, "vault", base=base)
        data = make(DataStack, "data")
        api = make(ApiStack, "api")
        callers = (
            make(
                WorkersStack,
                "workers",
                ledger_stream_arn=data.ledger_stream_arn,
                payments_stream_arn=data.payments_stream_arn,
            ),
            make(ChargeStack, "charge"),
            api,
        )
        for caller in callers:
            caller.add_stack_dependency(vault)
        make(OperationsStack, "operations").add_stack_dependency(api)
        make(FraudStack, "fraud", payments_stream_arn=data.payments_stream_arn)
        make(ProofStack, "proof")
        make(ReconciliationStack, "reconciliation")
        make(TrainingStack, "training")
        make(WatchmanStack, "watchman")
        make(ObservabilityStack, "observability")
        if config.domain:
            make(RoutingStack, "routing", api_id=api.api_id).add_stack_dependency(api)
        if config.audit_trail:
            make(AuditStack, "audit", watched_keys=base.watched_keys())


class GlobalStage(Stage):
    """What is no region's own. It is deployed last: it names alarms of both regions, and its health checks ask both."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, domain: Domain) -> None:
        super().__init__(scope, construct_id, env=Environment(account=config.account, region=GLOBAL_REGION))
        TrafficStack(self, "traffic", domain=domain, stack_name="payments-traffic")
