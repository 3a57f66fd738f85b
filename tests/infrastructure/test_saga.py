"""The charge saga as deployed: what it logs. Of every state machine: that its graph is whole."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cdk.stacks.charge import DEFINITION, TASKS
from tests.infrastructure.synthesis import ROOT, Synthesized

MACHINES = sorted((ROOT / "statemachines").glob("*.asl.json"))


def test_the_saga_is_express_and_logs_errors_without_data(deployment: Synthesized) -> None:
    machines = [
        machine["Properties"]
        for path, machine in deployment.of_type("AWS::StepFunctions::StateMachine")
        if path.split("/")[1] == "charge"
    ]

    assert len(machines) == 2
    for machine in machines:
        assert machine["StateMachineType"] == "EXPRESS"
        assert machine["LoggingConfiguration"]["Level"] == "ERROR"
        assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
        assert machine["TracingConfiguration"] == {"Enabled": True}


def test_every_substitution_is_used_and_every_use_is_substituted() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", DEFINITION.read_text()))

    assert used == {*TASKS, "EventBusName"}


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.name)
def test_every_transition_leads_somewhere(path: Any) -> None:
    machine = json.loads(path.read_text())
    for states, start in _machines(machine):
        assert start in states
        for name, state in states.items():
            assert set(_targets(state)) <= set(states), f"{name} leads to a state that is not there"
            ends = state.get("End") or state["Type"] in ("Succeed", "Fail", "Choice")
            assert bool(ends) != ("Next" in state), f"{name} neither ends nor goes on, or does both"


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.name)
def test_every_state_can_be_reached(path: Any) -> None:
    machine = json.loads(path.read_text())
    for states, start in _machines(machine):
        seen, waiting = set(), [start]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += _targets(states[name])
        assert seen == set(states)


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.name)
def test_every_choice_has_a_default_and_every_task_a_time_out_and_a_way_out(path: Any) -> None:
    """The saga's way out is a compensation. The balance check's is to try again and then to fail, which raises an
    alarm: a fault that was caught there would be a segment that nobody has checked."""
    wanted, other = ("Catch", "") if path == DEFINITION else ("Retry", "Catch")
    machine = json.loads(path.read_text())
    for states, _ in _machines(machine):
        for name, state in states.items():
            if state["Type"] == "Choice":
                assert "Default" in state, name
            if state["Type"] == "Task":
                assert "TimeoutSeconds" in state, name
                assert any("States.ALL" in one["ErrorEquals"] for one in state.get(wanted, ())), name
                assert other not in state, name


def _machines(machine: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """The machine and those inside its Map and Parallel states."""
    yield machine["States"], machine["StartAt"]
    for state in machine["States"].values():
        inner = [*state.get("Branches", ()), *(state[key] for key in ("ItemProcessor", "Iterator") if key in state)]
        for branch in inner:
            yield from _machines(branch)


def _targets(state: dict[str, Any]) -> list[str]:
    found = [state[key] for key in ("Next", "Default") if key in state]
    found += [rule["Next"] for key in ("Choices", "Catch") for rule in state.get(key, ())]
    return found
