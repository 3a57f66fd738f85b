"""What proves the books: the notary, which anchors journals in the archive, and the check that sums all of them."""

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from cdk import names
from cdk.config import Config
from cdk.constructs.bundles import ROOT
from cdk.constructs.function import PaymentsFunction
from cdk.constructs.machine import standard_machine
from cdk.constructs.nag import acknowledge

DEFINITION = ROOT / "statemachines" / "balance_check.asl.json"

TASKS = {"AuditFunctionArn": names.AUDIT}
"""What ${…} in the definition stands for."""

NOTARY_EVERY = Duration.minutes(1)

CHECK_AT = events.Schedule.cron(hour="3", minute="17")
"""Daily, UTC; off the full hour, when everybody's schedules run."""


class ProofStack(Stack):
    """``payments-notary``; ``payments-ledger-audit`` and the state machine ``payments-balance-check``."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        self._notary()
        self._audit()
        self._check()

    def _notary(self) -> None:
        """The bucket's default retention locks what it writes, so it needs no right to set one."""
        notary = PaymentsFunction(
            self,
            "Notary",
            config=self._config,
            name=names.NOTARY,
            role_name=names.notary_role(self),
            settings={"PROOFS_TABLE": names.PROOFS, "ARCHIVE_BUCKET": names.archive(self)},
        )
        rights = ("BatchGetItem", "BatchWriteItem", "GetItem", "Query", "UpdateItem")
        notary.allow([f"dynamodb:{right}" for right in rights], names.table_arn(self, names.PROOFS))
        objects = f"arn:{self.partition}:s3:::{names.archive(self)}/*"
        notary.allow(("s3:GetObject", "s3:PutObject"), objects)
        acknowledge(notary.role, f"AwsSolutions-IAM5[Resource::{objects}]", "the archive's objects, and no others")
        # One at a time, and the next minute's run is the retry: a run that waits longer is of no use.
        notary.function.configure_async_invoke(max_event_age=NOTARY_EVERY, retry_attempts=0)
        rule = events.Rule(self, "EveryMinute", rule_name=names.NOTARY, schedule=events.Schedule.rate(NOTARY_EVERY))
        rule.add_target(targets.LambdaFunction(notary.function))

    def _audit(self) -> None:
        """It may scan the ledger, as nobody else, and mend a payment that contradicts its journals: never a journal."""
        audit = PaymentsFunction(
            self,
            "Audit",
            config=self._config,
            name=names.AUDIT,
            settings={
                "PAYMENTS_TABLE": names.PAYMENTS,
                "LEDGER_TABLE": names.LEDGER,
                "BALANCES_TABLE": names.BALANCES,
                "SHARDS_TABLE": names.SHARDS,
                "REGIONS": self._config.regions_setting,
            },
        )
        audit.allow(("dynamodb:Query", "dynamodb:Scan"), names.table_arn(self, names.LEDGER))
        payments = ("GetItem", "BatchGetItem", "UpdateItem", "PutItem")
        audit.allow([f"dynamodb:{right}" for right in payments], names.table_arn(self, names.PAYMENTS))
        audit.allow(("dynamodb:Query",), names.table_arn(self, names.BALANCES))
        audit.allow(("dynamodb:GetItem",), names.table_arn(self, names.SHARDS))

    def _check(self) -> None:
        machine = standard_machine(
            self,
            "BalanceCheck",
            config=self._config,
            name=names.BALANCE_CHECK,
            definition=DEFINITION,
            tasks=TASKS,
            has_map=True,
        )
        rule = events.Rule(self, "Daily", rule_name=names.BALANCE_CHECK, schedule=CHECK_AT)
        rule.add_target(targets.SfnStateMachine(machine))
