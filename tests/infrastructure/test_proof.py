"""The notary and the balance check: when they run, what they may do, and who hears of it if they do not."""

import json
from collections.abc import Iterator

import pytest

from cdk import names
from cdk.config import REGIONS
from cdk.constructs.metrics import CHECK_PERIOD, CHECK_PERIODS
from cdk.stacks.proof import DEFINITION
from tests.infrastructure.policies import statements, text
from tests.infrastructure.synthesis import ROOT, Synthesized

UNAVOIDABLE = ("xray:", "logs:")


def test_one_notary_at_a_time_and_none_that_comes_late(production: Synthesized) -> None:
    configs = production.of_type("AWS::Lambda::EventInvokeConfig")
    invocations = [config["Properties"] for path, config in configs if "/proof/" in path]

    for region in REGIONS:
        assert production.functions()[f"{region}/payments-notary"]["ReservedConcurrentExecutions"] == 1
    assert len(invocations) == len(REGIONS)
    for one in invocations:
        assert "Notary" in text(one["FunctionName"])
        assert (one["MaximumEventAgeInSeconds"], one["MaximumRetryAttempts"]) == (60, 0)


def test_the_balance_check_is_a_standard_machine_that_logs_errors_without_data(deployment: Synthesized) -> None:
    for machine in _machines(deployment):
        assert machine["StateMachineType"] == "STANDARD", "it takes longer than an express one may"
        assert machine["LoggingConfiguration"]["Level"] == "ERROR"
        assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False


def test_the_balance_check_runs_over_128_segments_as_executions_of_its_own(deployment: Synthesized) -> None:
    for machine in _machines(deployment):
        definition = json.loads(machine["DefinitionString"])
        (segments,) = (state for state in definition["States"].values() if state["Type"] == "Map")
        processor = segments["ItemProcessor"]["ProcessorConfig"]
        assert processor == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "an express one ends after 5 minutes"
        assert segments.get("ToleratedFailureCount", 0) == segments.get("ToleratedFailurePercentage", 0) == 0
        assert machine["DefinitionSubstitutions"].keys() == {"AuditFunctionArn"}
        for arn in machine["DefinitionSubstitutions"].values():
            assert text(arn).endswith(":function:payments-ledger-audit")
    assert "128" in DEFINITION.read_text()


def test_the_balance_check_may_run_itself_and_the_audit_and_no_more(deployment: Synthesized) -> None:
    found = {
        (action, resource.split(":", 5)[-1])
        for statement in statements(deployment)
        if statement.role.startswith("<BalanceCheckRole")
        for action in statement.actions
        for resource in statement.resources
        if not action.startswith(UNAVOIDABLE)
    }

    assert found == {
        ("lambda:InvokeFunction", "function:payments-ledger-audit"),
        ("states:StartExecution", "stateMachine:payments-balance-check"),
        ("states:DescribeExecution", "execution:payments-balance-check:*"),
        ("states:StopExecution", "execution:payments-balance-check:*"),
        ("states:RedriveExecution", "execution:payments-balance-check/*"),
    }


def test_only_the_schedule_and_the_check_itself_start_the_check(deployment: Synthesized) -> None:
    starting = {
        statement.role.strip("<>")[:-8]
        for statement in statements(deployment)
        if statement.may("states:StartExecution")
        and any(one == "*" or "payments-balance-check" in one or "Check" in one for one in statement.resources)
    }

    assert starting == {"BalanceCheckRole", "BalanceCheckEventsRole"}


@pytest.mark.parametrize("metric", ["UnbalancedJournals", "LedgerContradictions"])
def test_books_that_are_wrong_raise_a_critical_alarm_at_once(deployment: Synthesized, metric: str) -> None:
    alarms = _alarms(deployment, "payments", metric)

    assert len(alarms) == len(REGIONS)
    for alarm in alarms:
        assert not alarm.get("Dimensions"), "the functions count it without any"
        assert (alarm["Statistic"], alarm["Period"], alarm["EvaluationPeriods"]) == ("Sum", 60, 1)
        assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
        assert alarm["AlarmDescription"].startswith("CRITICAL: ")
        assert text(alarm["AlarmActions"][0]).endswith(":payments-alarms")


def test_the_alarms_count_what_the_functions_count() -> None:
    from payments import observability

    assert observability.NAMESPACE == names.METRICS
    assert observability.CONTRADICTIONS == names.CONTRADICTIONS
    code = "".join(file.read_text() for file in (ROOT / "functions").rglob("*.py"))
    assert f'= "{names.UNBALANCED}"' in code
    assert code.count("count(CONTRADICTIONS)") == 2, "the audit and the network worker"


def test_a_balance_check_that_fails_or_is_missing_raises_a_critical_alarm(deployment: Synthesized) -> None:
    machine = "stateMachine:payments-balance-check"
    failed = [one for one in _alarms(deployment, "AWS/States", "ExecutionsFailed") if machine in str(one["Dimensions"])]
    succeeded = _alarms(deployment, "AWS/States", "ExecutionsSucceeded")
    missing = [one for one in succeeded if machine in str(one["Dimensions"])]

    assert len(failed) == len(missing) == len(REGIONS)
    for alarm in failed:
        assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    for alarm in missing:
        assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "LessThanThreshold")
        assert alarm["TreatMissingData"] == "breaching"
        assert 24 < CHECK_PERIOD.to_hours() * CHECK_PERIODS <= 36, "a day, and time for a check that takes longer"
        assert alarm["Period"] * alarm["EvaluationPeriods"] == CHECK_PERIOD.to_seconds() * CHECK_PERIODS
    for alarm in failed + missing:
        assert alarm["AlarmDescription"].startswith("CRITICAL: ")


def test_a_notary_that_does_not_run_raises_an_alarm_within_minutes(deployment: Synthesized) -> None:
    alarms = _alarms(deployment, "AWS/Lambda", "Invocations")

    assert len(alarms) == len(REGIONS)
    for alarm in alarms:
        assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": "payments-notary"}]
        assert alarm["TreatMissingData"] == "breaching", "a schedule that is gone counts nothing"
        assert alarm["ComparisonOperator"] == "LessThanThreshold"
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= 600


def test_every_function_whose_faults_show_nowhere_else_is_watched(deployment: Synthesized) -> None:
    watched = {
        alarm["Dimensions"][0]["Value"]
        for alarm in _alarms(deployment, "AWS/Lambda", "Errors")
        if alarm["ComparisonOperator"] == "GreaterThanThreshold"
    }

    assert {f"payments-{name}" for name in ("ledger-command", "ledger-book", "notary", "ledger-audit")} <= watched


def _machines(app: Synthesized) -> Iterator[dict]:
    found = [
        machine["Properties"]
        for _, machine in app.of_type("AWS::StepFunctions::StateMachine")
        if machine["Properties"]["StateMachineName"] == "payments-balance-check"
    ]
    assert len(found) == len(REGIONS)
    yield from found


def _alarms(app: Synthesized, namespace: str, metric: str) -> list[dict]:
    return [
        alarm["Properties"]
        for _, alarm in app.of_type("AWS::CloudWatch::Alarm")
        if (alarm["Properties"].get("Namespace"), alarm["Properties"].get("MetricName")) == (namespace, metric)
    ]
