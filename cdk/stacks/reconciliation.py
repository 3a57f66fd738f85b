"""Settlement reconciliation: its functions, and the state machine that runs them daily and for every settlement file.

What it knows of the ledger is in its bucket, and what it books it asks the ledger's functions for: none of its roles
has a right on the payments or on the ledger.
"""

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk import names
from cdk.config import REGIONS, Config
from cdk.constructs.bundles import ROOT
from cdk.constructs.function import PaymentsFunction
from cdk.constructs.machine import standard_machine
from cdk.constructs.settlement_store import allow_finding, allow_objects

DEFINITION = ROOT / "statemachines" / "reconciliation.asl.json"

STEPS = ("begin", "ingest", "compact", "match", "report")

TASKS = {f"{step.title()}FunctionArn": f"{names.RECONCILIATION}-{step}" for step in STEPS}
"""What ${…} in the definition stands for."""

RUN_AT = events.Schedule.cron(hour="6", minute="43")
"""Daily, UTC, after the networks' files, each of which is a run of its own: what is due and has no line is found though
no file came."""

WHEELS = "functions/reconciliation/requirements.txt"


class ReconciliationStack(Stack):
    """``payments-reconciliation-…`` and the state machine ``payments-reconciliation``."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._config = config
        # Begin reads and writes its lease, and needs no DuckDB for it.
        self._step("begin", "GetItem", "PutItem", "UpdateItem", wheels=None)
        self._ingest()
        self._compact()
        self._match()
        self._report()
        self._start(
            standard_machine(
                self,
                "Machine",
                config=config,
                name=names.RECONCILIATION,
                definition=DEFINITION,
                tasks=TASKS,
                has_map=True,
            )
        )

    def _ingest(self) -> None:
        ingest = self._step("ingest", "GetItem", "PutItem", "UpdateItem")
        allow_finding(ingest)
        allow_objects(ingest, ("s3:GetObject",), "inbox/", "runs/")
        allow_objects(ingest, ("s3:PutObject",), "files/", "runs/")

    def _compact(self) -> None:
        """The only one that deletes objects, and only of the feed."""
        compact = self._step("compact", "GetItem", "UpdateItem")
        allow_finding(compact)
        allow_objects(compact, ("s3:GetObject",), "feed/", "runs/")
        allow_objects(compact, ("s3:PutObject",), "facts/", "runs/")
        allow_objects(compact, ("s3:DeleteObject",), "feed/")

    def _match(self) -> None:
        """It books, in the region that writes for the shard. What it deletes of the table is its own: results that are
        no more."""
        more = {
            "BOOK_FUNCTION": names.BOOK,
            "COMMAND_FUNCTION": names.COMMAND,
            "SHARDS_TABLE": names.SHARDS,
            "REGIONS": self._config.regions_setting,
        }
        match = self._step("match", "GetItem", "Query", "UpdateItem", "DeleteItem", settings=more)
        allow_finding(match)
        allow_objects(match, ("s3:GetObject",), "config/", "facts/", "files/", "resolutions/", "runs/", "state/")
        allow_objects(match, ("s3:PutObject",), "runs/", "state/")
        match.allow(("dynamodb:GetItem",), names.table_arn(self, names.SHARDS))
        for name in (names.BOOK, names.COMMAND):
            match.allow(("lambda:InvokeFunction",), *(names.function_arn(self, name, region) for region in REGIONS))

    def _report(self) -> None:
        report = self._step("report", "GetItem", "PutItem", "UpdateItem", settings={"BALANCES_TABLE": names.BALANCES})
        allow_finding(report)
        allow_objects(report, ("s3:GetObject",), "feed/", "runs/")
        allow_objects(report, ("s3:PutObject",), "runs/")
        report.allow(("dynamodb:Query",), names.table_arn(self, names.BALANCES))

    def _step(
        self, step: str, *rights: str, settings: dict[str, str] | None = None, wheels: str | None = WHEELS
    ) -> PaymentsFunction:
        """A step's function, with these rights on the table of results."""
        function = PaymentsFunction(
            self,
            step.title(),
            config=self._config,
            name=f"{names.RECONCILIATION}-{step}",
            settings={**self._settings(), **(settings or {})},
            wheels=wheels,
        )
        function.allow([f"dynamodb:{right}" for right in rights], names.table_arn(self, names.SETTLEMENTS))
        return function

    def _settings(self) -> dict[str, str]:
        return {
            "RECONCILIATION_BUCKET": names.settlement_store(self),
            "SETTLEMENTS_TABLE": names.SETTLEMENTS,
            "RECONCILIATION_PARTS": str(self._config.reconciliation_parts),
            "LEASE_MINUTES": str(self._config.lease_minutes),
            "DRIFT_SECONDS": str(self._config.drift_seconds),
            "DUCKDB_MEMORY": self._config.duckdb_memory,
            "DUCKDB_THREADS": str(self._config.duckdb_threads),
        }

    def _start(self, machine: sfn.StateMachine) -> None:
        """By the schedule, and by every object that comes into the inbox. Where runs are begun by hand only, both are
        there, and off."""
        on = self._config.reconciles_in(self.region)
        daily = events.Rule(self, "Daily", rule_name=f"{names.RECONCILIATION}-daily", schedule=RUN_AT, enabled=on)
        daily.add_target(targets.SfnStateMachine(machine, input=events.RuleTargetInput.from_object({})))
        arrived = events.EventPattern(
            source=["aws.s3"],
            detail_type=["Object Created"],
            detail={"bucket": {"name": [names.settlement_store(self)]}, "object": {"key": [{"prefix": "inbox/"}]}},
        )
        rule = events.Rule(
            self, "FileArrived", rule_name=f"{names.RECONCILIATION}-file", event_pattern=arrived, enabled=on
        )
        rule.add_target(targets.SfnStateMachine(machine))
