"""`payments fraud models|drift|retrain`: what is asked, and what is shown."""

import json
from contextlib import contextmanager

import httpx
import pytest
import typer
from typer.testing import CliRunner

from local import fraud_commands, fraud_model_commands, retrain, shown
from local.ledger import Refused
from local.retrain import Training
from tests.unit.local.test_operations import Api, client

CHAMPION = {
    "version": "m_2",
    "previous": "m_1",
    "since": "2026-11-28T03:00:00.000Z",
    "by": "training",
    "shipped": False,
}
MODELS = {"champion": CHAMPION, "shadow": None, "shipped": "m_0", "data": [], "has_more": False, "next_cursor": None}
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:payments-fraud-training:by-hand-1"


def report(run, drift=None, **changes):
    learn = {"learn": {"gate": {"overall": {}}, "drift": {"rows": 9, "features": drift}}}
    return {"id": run, "readable": True, "champion": "m_2", "challenger": "m_3", "result": "refused",
            "reasons": ["overall: worse", "new card: worse"], "steps": learn, **changes}  # fmt: skip


@pytest.fixture
def run(monkeypatch):
    """Runs a command against answers, and tells what it printed and asked. What is refused is told as `api_of` does."""

    def running(*arguments, answers=((200, MODELS),)):
        api = Api(*answers)

        @contextmanager
        def opened(region, in_aws):
            try:
                yield client(api)
            except (Refused, httpx.HTTPError) as error:
                typer.echo(str(error))
                raise typer.Exit(1) from None

        monkeypatch.setattr(fraud_model_commands, "api_of", opened)
        monkeypatch.setattr(shown.console, "_width", 200)
        return CliRunner().invoke(fraud_commands.app, list(arguments)), api.asked

    return running


def test_rolling_back_is_one_command_that_names_the_model_it_was_decided_against(run):
    result, (looked, asked) = run("models", "rollback", answers=((200, MODELS), (200, {"version": "m_1"})))

    assert result.exit_code == 0 and "m_1" in result.output
    assert looked.url.path.endswith("/operations/v1/fraud/models")
    assert (asked.method, asked.url.path.partition("/v1")[2]) == ("POST", "/fraud/models/rollback")
    assert json.loads(asked.content)["champion"] == "m_2"
    assert asked.headers["Idempotency-Key"]


def test_who_says_the_champion_does_not_look_first(run):
    result, (asked,) = run("models", "promote", "m_3", "--reason", "r", "--champion", "m_2", "--key", "k")

    assert result.exit_code == 0
    assert asked.url.path.endswith("/fraud/models/m_3/promote")
    assert json.loads(asked.content) == {"champion": "m_2", "reason": "r"}
    assert asked.headers["Idempotency-Key"] == "k"


def test_a_promotion_says_why(run):
    assert run("models", "promote", "m_3")[0].exit_code == 2


def test_a_refusal_says_how_to_repeat_the_same_request(run):
    error = (409, {"error": {"code": "fraud_model_changed", "message": "Look again."}})
    result, asked = run("models", "rollback", answers=((200, MODELS), error))

    assert result.exit_code == 1
    assert "fraud_model_changed" in result.output
    assert f"--champion m_2 --key {asked[1].headers['Idempotency-Key']}" in result.output


def test_a_key_alone_cannot_repeat_a_request(run):
    """The champion of now may be another one than then: the same key with another request is refused."""
    result, asked = run("models", "rollback", "--key", "k")
    assert (result.exit_code, asked) == (2, [])


def test_the_list_says_what_is_asked_and_what_training_did(run):
    shadow = {"version": "m_3", "since": "2026-11-28T04:00:00.000Z", "run": "r_2"}
    unreadable = {"id": "r_1", "object": "fraud_training_report", "readable": False}
    answer = {**MODELS, "shadow": shadow, "data": [report("r_2"), unreadable]}
    result, (asked,) = run("models", "list", "--limit", "2", answers=((200, answer),))

    assert result.exit_code == 0
    assert dict(asked.url.params) == {"limit": "2"}
    for told in ("champion  m_2 since 2026-11-28T03:00:00.000Z by training", "previous  m_1", "shadow    m_3", "m_0"):
        assert told in result.output
    assert "refused" in result.output and "overall: worse; new card: worse" in result.output
    assert "cannot be read" in result.output


def test_where_nothing_was_promoted_the_list_says_so(run):
    champion = {**CHAMPION, "version": "m_0", "previous": None, "since": None, "by": None}
    result, _ = run("models", "list", answers=((200, {**MODELS, "champion": champion}),))

    assert (
        "champion  m_0\n" in result.output and "previous  none" in result.output and "shadow    none" in result.output
    )


def test_a_version_is_shown(run):
    result, (asked,) = run("models", "show", "m_2", answers=((200, {"id": "m_2"}),))
    assert (result.exit_code, asked.url.path.partition("/v1")[2]) == (0, "/fraud/models/m_2")


def test_drift_is_that_of_the_newest_report_that_has_any_the_worst_first(run):
    drifted = report("r_1", drift={"hour": 0.05, "amount_log": 0.31, "card_new": 0.12, "broken": None})
    unreadable = {"id": "r_2", "object": "fraud_training_report", "readable": False}
    older = report("r_0", drift={"weekday": 9})
    strange = [report("r_5", steps=[]), report("r_4", steps={"learn": None})]
    page = {**MODELS, "data": [*strange, report("r_3"), unreadable, drifted, older]}
    result, _ = run("drift", answers=((200, page),))

    assert result.exit_code == 0
    lines = [line for line in result.output.splitlines() if "0." in line]
    assert [line.replace("│", " ").split() for line in lines] == [
        ["amount_log", "0.310", "shifted"],
        ["card_new", "0.120", "changed"],
        ["hour", "0.050"],
    ]
    assert "r_1" in result.output


def test_without_a_report_there_is_no_drift(run):
    result, _ = run("drift")
    assert (result.exit_code, "no report" in result.output) == (1, True)


class States:
    """Step Functions with one machine, whose execution goes through steps and comes to an end."""

    def __init__(self, end="SUCCEEDED", output='{"run": "r_1"}', machine=retrain.MACHINE):
        self.steps, self.end, self.output, self.machine = ["Collect", "Learn", "Learn", "Shadow"], end, output, machine
        self.started, self.entered = [], []

    def get_paginator(self, name):
        assert name == "list_state_machines"
        pages = [{"stateMachines": []}, {"stateMachines": [{"name": self.machine, "stateMachineArn": "arn:machine"}]}]
        return type("Pages", (), {"paginate": lambda _: pages})()

    def start_execution(self, **asked):
        self.started.append(asked)
        return {"executionArn": EXECUTION}

    def describe_execution(self, executionArn):
        if not self.steps:
            failed = {"error": "Boom", "cause": "out of memory"} if self.end != "SUCCEEDED" else {}
            return {"status": self.end, "output": self.output, **failed}
        self.entered.append(self.steps.pop(0))
        return {"status": "RUNNING"}

    def get_execution_history(self, executionArn, maxResults):
        events = [{"stateEnteredEventDetails": {"name": step}} for step in self.entered]
        return {"events": [{"type": "ExecutionStarted"}, *events, {"type": "TaskScheduled"}]}


@pytest.fixture
def states(monkeypatch):
    monkeypatch.setattr(retrain.time, "sleep", lambda _: None)

    def behind(**changes):
        found = States(**changes)
        monkeypatch.setattr(fraud_model_commands, "_states", lambda *_: found)
        return found

    return behind


def test_training_is_started_and_its_report_is_shown(run, states):
    found = states()
    result, _ = run("retrain", answers=((200, {**MODELS, "data": [report("r_2"), report("r_1", drift={"hour": 1})]}),))

    assert result.exit_code == 0, result.output
    assert found.started[0]["stateMachineArn"] == "arn:machine" and found.started[0]["input"] == "{}"
    assert [line for line in result.output.splitlines() if line in ("Collect", "Learn", "Shadow")] == [
        "Collect",
        "Learn",
        "Shadow",
    ], "each step once"
    assert '"hour"' in result.output and '"r_1"' in result.output


def test_a_run_without_a_report_shows_what_it_answered(run, states):
    states(output='{"run": "r_9", "result": "nothing_to_learn"}')
    assert "nothing_to_learn" in run("retrain")[0].output


def test_who_does_not_wait_is_told_which_execution_it_is(run, states):
    found = states(end="FAILED")
    result, asked = run("retrain", "--no-wait")
    assert (result.exit_code, EXECUTION in result.output, found.entered, asked) == (0, True, [], [])


def test_a_run_that_failed_says_why(run, states):
    states(end="FAILED")
    result, _ = run("retrain")
    assert (result.exit_code, "FAILED Boom out of memory" in result.output) == (1, True)


def test_where_nothing_trains_that_is_said(run, states):
    states(machine="payments-charge")
    result, _ = run("retrain")
    assert (result.exit_code, "another one" in result.output) == (1, True)


def test_two_runs_started_by_hand_have_different_names():
    found = States()
    Training(found).start()
    Training(found).start()
    assert len({asked["name"] for asked in found.started}) == 2
