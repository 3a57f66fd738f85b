"""Reconciliation's store, functions and state machine: what starts it, and who hears of it when it is wrong or silent.
What it may do is in `test_reconciliation_rights.py`."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cdk import names
from cdk.config import FUNCTIONS, REGIONS, read
from cdk.constructs.reconciliation_alarms import MATCH_RATE_AT_LEAST
from cdk.stacks.reconciliation import DEFINITION, STEPS, TASKS
from tests.infrastructure.policies import many, statements, text
from tests.infrastructure.synthesis import ROOT, Synthesized

# Store and table


@pytest.mark.parametrize("region", REGIONS)
def test_the_store_is_private_versioned_and_tells_of_new_objects(deployment: Synthesized, region: str) -> None:
    bucket = _bucket(deployment, region)["Properties"]

    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "ServerSideEncryptionConfiguration" in bucket["BucketEncryption"]
    configuration = bucket["NotificationConfiguration"]
    assert configuration == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_productions_store_refuses_plain_http_survives_its_stack_and_records_who_read_it(
    production: Synthesized,
) -> None:
    for region in REGIONS:
        bucket = _bucket(production, region)
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
        assert bucket["Properties"]["LoggingConfiguration"]["LogFilePrefix"] == "reconciliation/"
    policies = [
        policy["Properties"]["PolicyDocument"]["Statement"]
        for path, policy in production.of_type("AWS::S3::BucketPolicy")
        if "SettlementStore" in path.split("/")[2]
    ]
    assert len(policies) == len(REGIONS)
    for (statement,) in policies:
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", {"AWS": "*"}, "s3:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert len(many(statement["Resource"])) == 2, "the bucket and its objects"


def test_evidence_is_kept_for_seven_years_and_what_nobody_took_for_ever(deployment: Synthesized) -> None:
    for region in REGIONS:
        rules = _bucket(deployment, region)["Properties"]["LifecycleConfiguration"]["Rules"]
        assert all(rule["Status"] == "Enabled" for rule in rules)
        expiring = {rule.get("Prefix", ""): rule.get("ExpirationInDays") for rule in rules}
        assert expiring == {
            "": None,
            **dict.fromkeys(("inbox/", "files/", "runs/"), 7 * 365 + 2),
            "facts/": 400,
            "state/": 90,
            **({} if region in _running(deployment) else {"feed/": 13}),
        }
        everything = next(rule for rule in rules if "Prefix" not in rule)
        assert everything["NoncurrentVersionExpiration"]["NoncurrentDays"] >= 30, "what was deleted can be fetched back"


def test_only_what_is_open_is_in_the_tables_index(deployment: Synthesized) -> None:
    """`open` is an attribute that other records do not have: DynamoDB leaves them out."""
    tables = [table for _, table in deployment.of_type("AWS::DynamoDB::GlobalTable")]
    settlements = [one["Properties"] for one in tables if one["Properties"]["TableName"] == "settlements"]

    assert [replica["Region"] for table in settlements for replica in table["Replicas"]] == list(REGIONS), "regional"
    for table in settlements:
        (index,) = table["GlobalSecondaryIndexes"]
        assert index["IndexName"] == "unmatched"
        assert [key["AttributeName"] for key in index["KeySchema"]] == ["open", "open_since"]
        assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
        assert not {key["AttributeName"] for key in table["KeySchema"]} & {"open", "open_since"}


# Functions and machine


def test_functions_that_sort_have_room_for_it(deployment: Synthesized) -> None:
    for name, function in deployment.functions().items():
        step = name.rpartition("payments-reconciliation-")[2]
        if step in ("ingest", "compact", "match"):
            assert function["EphemeralStorage"] == {"Size": 10_240}, name
            memory = function["Environment"]["Variables"]["DUCKDB_MEMORY"]
            megabytes = int(memory[:-2]) * {"GB": 1000, "MB": 1}[memory[-2:]]
            assert megabytes * 1.5 < function["MemorySize"], f"{name}: DuckDB's limit is not all that it takes"
        if step in STEPS:
            assert function["Timeout"] == FUNCTIONS[f"payments-reconciliation-{step}"].timeout_s, (
                f"{name}: locally, too"
            )


def test_wheels_of_duckdb_are_for_those_who_use_it(production: Synthesized) -> None:
    having = {
        name.split("/payments-", 1)[1]
        for name, function in production.functions().items()
        if "ReconciliationWheels" in str(function.get("Layers"))
    }

    assert having == {f"reconciliation-{step}" for step in STEPS if step != "begin"}


def test_a_lease_outlives_every_call(production: Synthesized, local: Synthesized) -> None:
    """Or a run could be taken over while a function of its is still writing."""
    for name, function in production.functions().items():
        if "payments-reconciliation-" in name:
            assert int(function["Environment"]["Variables"]["LEASE_MINUTES"]) * 60 > 2 * function["Timeout"], name
    leases = {one["Environment"]["Variables"].get("LEASE_MINUTES") for one in local.functions().values()}
    assert leases == {None, "1"}, "nobody waits for half an hour when a local run was killed"


def test_parts_are_the_same_for_all_who_divide(deployment: Synthesized) -> None:
    variables = [function["Environment"]["Variables"] for function in deployment.functions().values()]

    assert len({one["RECONCILIATION_PARTS"] for one in variables if "RECONCILIATION_PARTS" in one}) == 1


def test_the_machine_is_standard_logs_errors_without_data_and_is_whole(deployment: Synthesized) -> None:
    assert set(re.findall(r"\$\{(\w+)\}", DEFINITION.read_text())) == set(TASKS)
    for region, machine in _machines(deployment):
        assert machine["StateMachineType"] == "STANDARD"
        assert machine["LoggingConfiguration"]["Level"] == "ERROR"
        assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
        assert {name: text(arn).split(":", 3)[3] for name, arn in machine["DefinitionSubstitutions"].items()} == {
            name: f"{region}:{text(machine['DefinitionSubstitutions'][name]).split(':')[4]}:function:{function}"
            for name, function in TASKS.items()
        }


def test_every_step_is_tried_again_and_waited_for_longer_than_it_may_run() -> None:
    """`test_saga.py` has: none catches a fault, so a run that cannot go on fails, and that raises an alarm."""
    steps = dict(_tasks(json.loads(DEFINITION.read_text())))

    assert {state["Resource"] for state in steps.values()} == {f"${{{name}}}" for name in TASKS}
    for name, state in steps.items():
        function = TASKS[state["Resource"][2:-1]]
        assert state["TimeoutSeconds"] > FUNCTIONS[function].timeout_s, name
        (retry,) = state["Retry"]
        assert retry["ErrorEquals"] == ["States.ALL"] and retry["MaxAttempts"] >= 3 and retry["BackoffRate"] > 1, name


def test_no_part_may_stay_unmatched() -> None:
    (parts,) = (state for state in json.loads(DEFINITION.read_text())["States"].values() if state["Type"] == "Map")

    assert parts["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert not [name for name in parts if name.startswith("Tolerated")]


# What starts it


def test_files_in_the_inbox_and_the_day_start_runs(deployment: Synthesized) -> None:
    rules = _rules(deployment)

    assert set(rules) == {
        f"{region}/payments-reconciliation-{name}" for region in REGIONS for name in ("daily", "file")
    }
    for name, rule in rules.items():
        region = name.split("/")[0]
        (target,) = rule["Targets"]
        assert text(target["Arn"]).startswith("<Machine")
        if name.endswith("daily"):
            assert (rule["ScheduleExpression"], target["Input"]) == ("cron(43 6 * * ? *)", "{}")
            continue
        assert not [key for key in target if key.startswith("Input")], "the event as it is"
        pattern = rule["EventPattern"]
        assert (pattern["source"], pattern["detail-type"]) == (["aws.s3"], ["Object Created"])
        assert pattern["detail"] == {
            "bucket": {"name": [_bucket(deployment, region)["Properties"]["BucketName"]]},
            "object": {"key": [{"prefix": "inbox/"}]},
        }, "or its own results would start it again"


def test_in_production_one_region_begins_runs_by_itself(production: Synthesized, local: Synthesized) -> None:
    """Two regions that take the same lines book them twice."""
    assert _running(production) == {REGIONS[0]}
    assert _running(local) == {*REGIONS}
    assert {rule["State"] for rule in _rules(local).values()} == {"ENABLED"}


def test_only_its_rules_and_the_machine_itself_start_the_machine(deployment: Synthesized) -> None:
    starting = {
        statement.role.strip("<>")[:-8]
        for statement in statements(deployment)
        if statement.may("states:StartExecution")
        and any("payments-reconciliation" in one or "<Machine" in one for one in statement.resources)
    }

    assert starting == {"MachineRole", "MachineEventsRole"}


# Who hears of it


@pytest.mark.parametrize(
    ("name", "metric", "statistic", "comparison", "threshold"),
    [
        ("payments-reconciliation-match-rate", "ReconciliationMatchRate", "Minimum", "LessThanThreshold", 99_950),
        ("payments-reconciliation-at-risk", "ReconciliationAtRisk", "Maximum", "GreaterThanThreshold", 1_000_000),
        ("payments-reconciliation-drift", "ReconciliationDriftLasting", "Maximum", "GreaterThanThreshold", 0),
        ("payments-reconciliation-feed-damaged", "FeedObjectsDamaged", "Sum", "GreaterThanThreshold", 0),
        ("payments-settlement-files-refused", "SettlementFilesRefused", "Sum", "GreaterThanThreshold", 0),
    ],
)
def test_what_a_run_came_to_raises_an_alarm_at_once(
    deployment: Synthesized, name: str, metric: str, statistic: str, comparison: str, threshold: int
) -> None:
    alarms = _alarms(deployment, name)

    assert len(alarms) == len(REGIONS)
    for alarm in alarms:
        assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("payments", metric, statistic)
        assert not alarm.get("Dimensions"), "the functions count it without any"
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == (comparison, threshold)
        assert (alarm["Period"], alarm["EvaluationPeriods"]) == (60, 1), "a run counts it once"
        assert alarm["TreatMissingData"] == "notBreaching", "so that the next bad run raises it anew"
        assert text(alarm["AlarmActions"][0]).endswith(":payments-alarms")


def test_the_match_rate_must_be_what_is_promised() -> None:
    from functions.reconciliation import totals

    assert MATCH_RATE_AT_LEAST * 10_000 == 9_995 * totals.WHOLE, "99.95 %"


def test_the_amount_at_risk_that_raises_an_alarm_can_be_set() -> None:
    context = {"environment": "local", "at_risk_limit": "5"}

    assert read(context.get).at_risk_limit == 5


def test_the_alarms_count_what_the_functions_count() -> None:
    code = "".join(file.read_text() for file in (ROOT / "functions/reconciliation").rglob("*.py"))
    for metric in (names.MATCH_RATE, names.AT_RISK, names.DRIFT, names.LASTING_DRIFT, names.FILES_REFUSED):
        assert f'count("{metric}"' in code, metric
    assert f'METRIC = "{names.FEED_DAMAGED}"' in code


@pytest.mark.parametrize("ended", ["Failed", "TimedOut"])
def test_a_run_that_does_not_come_to_its_end_raises_an_alarm(deployment: Synthesized, ended: str) -> None:
    alarms = _alarms(deployment, f"payments-reconciliation-{ended.lower()}")

    assert len(alarms) == len(REGIONS)
    for alarm in alarms:
        assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/States", f"Executions{ended}")
        assert _is_of_the_machine(alarm)
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
        assert text(alarm["AlarmActions"][0]).endswith(":payments-alarms")


def test_thirty_hours_without_a_run_raise_an_alarm_where_runs_are_scheduled(
    production: Synthesized, local: Synthesized
) -> None:
    alarms = _alarms(production, "payments-reconciliation-missing")

    assert (len(alarms), len(_alarms(local, "payments-reconciliation-missing"))) == (1, len(REGIONS))
    for alarm in alarms:
        assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/States", "ExecutionsSucceeded")
        assert _is_of_the_machine(alarm)
        assert f":{REGIONS[0]}:" in text(alarm["Dimensions"][0]["Value"])
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
        assert alarm["TreatMissingData"] == "breaching"
        assert alarm["Period"] * alarm["EvaluationPeriods"] == 30 * 3600
        assert text(alarm["AlarmActions"][0]).endswith(":payments-alarms")


def test_the_runbook_has_every_alarm(production: Synthesized) -> None:
    runbook = (ROOT / "docs/operations.md").read_text()
    for _, alarm in production.of_type("AWS::CloudWatch::Alarm"):
        name = alarm["Properties"]["AlarmName"]
        if "reconciliation" in name or "settlement" in name or "operations" in name:
            shared, _, end = name.rpartition("-")
            assert f"`{name}`" in runbook or (f"`{shared}-" in runbook and f"`-{end}`" in runbook), name


def _bucket(app: Synthesized, region: str) -> dict[str, Any]:
    (found,) = (
        bucket
        for path, bucket in app.of_type("AWS::S3::Bucket")
        if path.startswith(f"{region}/data/")
        and str(bucket["Properties"].get("BucketName")).startswith("payments-reconciliation-")
    )
    return found


def _machines(app: Synthesized) -> Iterator[tuple[str, dict[str, Any]]]:
    found = [
        (path.split("/")[0], machine["Properties"])
        for path, machine in app.of_type("AWS::StepFunctions::StateMachine")
        if machine["Properties"]["StateMachineName"] == "payments-reconciliation"
    ]
    assert len(found) == len(REGIONS)
    yield from found


def _tasks(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        if state["Type"] == "Task":
            yield name, state
        if "ItemProcessor" in state:
            yield from _tasks(state["ItemProcessor"])


def _running(app: Synthesized) -> set[str]:
    """The regions that begin runs by themselves."""
    return {name.split("/")[0] for name, rule in _rules(app).items() if rule["State"] == "ENABLED"}


def _rules(app: Synthesized) -> dict[str, dict[str, Any]]:
    return {
        f"{path.split('/')[0]}/{rule['Properties']['Name']}": rule["Properties"]
        for path, rule in app.of_type("AWS::Events::Rule")
        if path.split("/")[1] == "reconciliation"
    }


def _alarms(app: Synthesized, name: str) -> list[dict[str, Any]]:
    alarms = [alarm["Properties"] for _, alarm in app.of_type("AWS::CloudWatch::Alarm")]
    return [alarm for alarm in alarms if alarm["AlarmName"] == name]


def _is_of_the_machine(alarm: dict[str, Any]) -> bool:
    (dimension,) = alarm["Dimensions"]
    return text(dimension["Value"]).endswith(":stateMachine:payments-reconciliation")
