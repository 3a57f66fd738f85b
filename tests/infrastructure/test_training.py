"""Training's functions, rights and state machine: what starts it, what it may do, and who hears of it when it is wrong
or silent."""

import json
import re
from typing import Any

import pytest

from cdk import names
from cdk.config import FUNCTIONS, REGIONS
from cdk.constructs import bundles
from cdk.constructs.training_alarms import MOST_DRIFT
from cdk.stacks.training import DEFINITION, STEPS, TASKS, WHEELS
from tests.infrastructure.policies import many, statements, text
from tests.infrastructure.synthesis import ROOT, Synthesized

BUCKET = re.compile(r"arn:aws:s3:::payments-fraud-models-\d{12}-([\w-]+?-\d)(?:/(.*))?")

RIGHTS = {
    "TrainingCollectRole": {
        *(f"dynamodb:Query {region}/fraud-scores" for region in REGIONS),
        "dynamodb:GetItem here/fraud-rules",
        "s3:ListBucket here",
        "s3:GetObject here/models/*",
        "s3:PutObject here/runs/*",
    },
    "TrainingLearnRole": {
        "s3:ListBucket here",
        *(f"s3:GetObject here/{prefix}/*" for prefix in ("models", "runs")),
        "s3:PutObject here/runs/*",
        *(f"s3:PutObject {region}/models/*" for region in REGIONS),
    },
    "TrainingReleaseRole": {
        *(f"dynamodb:Query {region}/fraud-scores" for region in REGIONS),
        *(f"dynamodb:{right} here/fraud-rules" for right in ("GetItem", "PutItem", "DeleteItem")),
        "s3:ListBucket here",
        "s3:GetObject here/runs/*",
        *(f"s3:PutObject here/{prefix}/*" for prefix in ("reports", "runs")),
    },
    "MachineRole": {f"lambda:InvokeFunction {step}" for step in STEPS},
    "MachineEventsRole": {"states:StartExecution <Machine>"},
}
"""Everything that these roles may do, but for traces and logs. `here` is the function's own region."""


def test_each_role_may_do_what_is_listed_here_and_no_more(deployment: Synthesized) -> None:
    found: dict[str, set[str]] = {}
    for statement in statements(deployment):
        region, stack = statement.path.split("/")[:2]
        if stack == "training" and statement.effect == "Allow":
            role = f"{region} {statement.role.strip('<>')[:-8]}"
            for action in statement.actions:
                if not action.startswith(("xray:", "logs:")):
                    found.setdefault(role, set()).update(
                        f"{action} {_short(one, region)}" for one in statement.resources
                    )

    assert found == {
        f"{region} {role}": {_where(right, region) for right in rights}
        for region in REGIONS
        for role, rights in RIGHTS.items()
    }


def test_functions_have_the_memory_the_time_the_disk_and_the_model_that_they_need(deployment: Synthesized) -> None:
    for name, function in deployment.functions().items():
        step = name.rpartition("payments-training-")[2]
        if step in STEPS:
            spec = FUNCTIONS[f"payments-training-{step}"]
            assert (
                (function["Timeout"], function["MemorySize"])
                == (spec.timeout_s, spec.memory_mb)
                == (840, spec.memory_mb)
            )
            assert ("EphemeralStorage" in function) == (step != "release")
    files = {path.name for path in (bundles.stage_function("training", models=True) / "models/fraud").iterdir()}
    assert files == {"model.txt", "model.json", "reference.json"}


def test_wheels_of_the_learner_are_for_training_only(production: Synthesized) -> None:
    having = {
        name.split("/")[1]
        for name, function in production.functions().items()
        if "TrainingWheels" in str(function.get("Layers"))
    }

    assert having == {f"payments-training-{step}" for step in STEPS}
    assert "http" not in (ROOT / WHEELS).read_text(), "no registry's address"
    assert "lightgbm==4.7.0" in (ROOT / WHEELS).read_text(), "what the shipped model was made with"


def test_the_machine_is_standard_logs_errors_without_data_and_is_whole(deployment: Synthesized) -> None:
    machines = _machines(deployment)
    assert len(machines) == len(REGIONS)
    assert set(re.findall(r"\$\{(\w+)\}", DEFINITION.read_text())) == set(TASKS)
    for machine in machines:
        assert machine["StateMachineType"] == "STANDARD"
        assert machine["LoggingConfiguration"]["Level"] == "ERROR"
        assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
        named = {name: text(arn).rsplit(":", 1)[-1] for name, arn in machine["DefinitionSubstitutions"].items()}
        assert named == TASKS


def test_every_step_is_tried_again_and_waited_for_longer_than_it_may_run() -> None:
    for name, state in json.loads(DEFINITION.read_text())["States"].items():
        if state["Type"] == "Task":
            assert state["TimeoutSeconds"] > FUNCTIONS[TASKS[state["Resource"][2:-1]]].timeout_s, name
            (retry,) = state["Retry"]
            assert retry["ErrorEquals"] == ["States.ALL"] and retry["MaxAttempts"] >= 3 and retry["BackoffRate"] > 1, (
                name
            )


def test_every_path_ends_in_the_report() -> None:
    states = json.loads(DEFINITION.read_text())["States"]

    before_the_end = [name for name, state in states.items() if state.get("Next") == "Done"]
    assert before_the_end == ["Report"]
    assert all(state["Default"] == "Report" for state in states.values() if state["Type"] == "Choice")
    assert [name for name, state in states.items() if state["Type"] in ("Succeed", "Fail") or state.get("End")] == [
        "Done"
    ]


def test_a_run_is_over_before_the_next_one_begins(production: Synthesized) -> None:
    """Or its challenger would be replaced, day after day, before anybody has judged it."""
    release = production.functions()["us-east-1/payments-training-release"]
    shadow = int(release["Environment"]["Variables"]["SHADOW_SECONDS"])
    tasks = sum(state["Type"] == "Task" for state in json.loads(DEFINITION.read_text())["States"].values())

    assert shadow + tasks * 840 < 24 * 3600


def test_one_region_trains_daily_and_locally_nobody(production: Synthesized, local: Synthesized) -> None:
    assert {name for name, state in _rules(production).items() if state == "ENABLED"} == {REGIONS[0]}
    assert set(_rules(local).values()) == {"DISABLED"}
    assert len(_rules(local)) == len(REGIONS), "it is there, and off"


def test_only_its_rule_starts_the_machine(deployment: Synthesized) -> None:
    starting = {
        statement.role.strip("<>")[:-8]
        for statement in statements(deployment)
        if statement.may("states:StartExecution")
        and any("training" in one for one in (*statement.resources, statement.path))
    }

    assert starting == {"MachineEventsRole"}


def test_a_feature_that_has_drifted_raises_an_alarm(deployment: Synthesized) -> None:
    alarms = _alarms(deployment, "payments-fraud-training-drift")

    assert len(alarms) == len(REGIONS)
    for alarm in alarms:
        assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == (
            "payments",
            "FraudFeatureDrift",
            "Maximum",
        )
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", MOST_DRIFT)
        assert alarm["TreatMissingData"] == "notBreaching"
    code = "".join(file.read_text() for file in (ROOT / "functions/training").glob("*.py"))
    assert f'count("{names.FEATURE_DRIFT}"' in code


def test_the_alarm_is_where_a_feature_counts_as_shifted() -> None:
    from functions.training import drift

    assert MOST_DRIFT == drift.SHIFTED * 1_000


@pytest.mark.parametrize("ended", ["Failed", "TimedOut"])
def test_a_run_that_does_not_come_to_its_end_raises_an_alarm(deployment: Synthesized, ended: str) -> None:
    alarms = _alarms(deployment, f"payments-fraud-training-{ended.lower()}")

    assert len(alarms) == len(REGIONS)
    for alarm in alarms:
        assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/States", f"Executions{ended}")
        assert text(alarm["Dimensions"][0]["Value"]).endswith(":stateMachine:payments-fraud-training")
        assert text(alarm["AlarmActions"][0]).endswith(":payments-alarms")


def test_days_without_a_run_raise_an_alarm_where_runs_are_scheduled(
    production: Synthesized, local: Synthesized
) -> None:
    alarms = _alarms(production, "payments-fraud-training-missing")

    assert (len(alarms), _alarms(local, "payments-fraud-training-missing")) == (1, [])
    assert alarms[0]["TreatMissingData"] == "breaching"
    assert alarms[0]["Period"] * alarms[0]["EvaluationPeriods"] == 30 * 3600


def test_the_runbook_has_trainings_alarms(production: Synthesized) -> None:
    runbook = (ROOT / "docs/operations.md").read_text()
    for name in ("drift", "failed", "timedout", "missing"):
        assert _alarms(production, f"payments-fraud-training-{name}")
        assert f"`payments-fraud-training-{name}`" in runbook or f"`-{name}`" in runbook, name


def _short(resource: str, region: str) -> str:
    """A resource without what is the same for all: partition, account, the bucket's name."""
    if resource.startswith("<Machine"):
        return "<Machine>"
    if bucket := BUCKET.fullmatch(resource):
        return f"{bucket[1]}/{bucket[2]}" if bucket[2] else bucket[1]
    _, _, service, where, _, rest = resource.split(":", 5)
    if service == "lambda":
        assert where == region
        return rest.removeprefix("function:payments-training-")
    return f"{where}/{rest.removeprefix('table/')}"


def _where(right: str, region: str) -> str:
    return re.sub(r" here(?=/|$)", f" {region}", right)


def _machines(app: Synthesized) -> list[dict[str, Any]]:
    machines = (machine["Properties"] for _, machine in app.of_type("AWS::StepFunctions::StateMachine"))
    return [machine for machine in machines if machine["StateMachineName"] == "payments-fraud-training"]


def _rules(app: Synthesized) -> dict[str, str]:
    found = {
        path.split("/")[0]: rule["Properties"]
        for path, rule in app.of_type("AWS::Events::Rule")
        if path.split("/")[1] == "training"
    }
    for rule in found.values():
        assert rule["ScheduleExpression"] == "cron(13 2 * * ? *)"
        assert [many(target["Arn"])[0].startswith("<Machine") for target in rule["Targets"]] == [True]
    return {region: rule["State"] for region, rule in found.items()}


def _alarms(app: Synthesized, name: str) -> list[dict[str, Any]]:
    alarms = [alarm["Properties"] for _, alarm in app.of_type("AWS::CloudWatch::Alarm")]
    return [alarm for alarm in alarms if alarm["AlarmName"] == name]
