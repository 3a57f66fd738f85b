"""Interprets statemachines/charge.asl.json: as much of the Amazon States Language as it uses, and nothing else.

States: Task, Choice, Pass. JSONPath without filters. What it does not know, it refuses to load.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.simulation.hub import NotSimulated

FILE = Path(__file__).parents[2] / "statemachines" / "charge.asl.json"

_KNOWN = {
    "Task": {"Resource", "Parameters", "TimeoutSeconds", "Retry", "Catch", "ResultPath", "Next"},
    "Choice": {"Choices", "Default"},
    "Pass": {"Parameters", "Result", "ResultPath", "Next", "End"},
}
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "StringEquals": lambda found, wanted: found == wanted,
    "NumericGreaterThan": lambda found, wanted: found > wanted,
}
_ABSENT = object()

State = dict[str, Any]
Perform = Callable[[str, Any, float], Any]
"""Performs a task: its resource, its input, and its time-out in seconds. Raises `TaskFailed`."""


class TaskFailed(Exception):
    """A task's error, by the name that Retry and Catch know."""

    def __init__(self, error: str):
        super().__init__(error)
        self.error = error


@cache
def definition() -> dict[str, Any]:
    """The state machine of the charge."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


class Machine:
    """A state machine. `sleep` waits between retries."""

    def __init__(self, definition: dict[str, Any], perform: Perform, sleep: Callable[[float], None], random: Random):
        for name, state in definition["States"].items():
            unknown = set(state) - _KNOWN.get(state["Type"], set()) - {"Type", "Comment"}
            if state["Type"] not in _KNOWN or unknown:
                raise NotSimulated(f"{name}: {state['Type']} {unknown}")
        self._states, self._start = definition["States"], definition["StartAt"]
        self._perform, self._sleep, self._random = perform, sleep, random

    def run(self, data: Any) -> Any:
        """The output of an execution with this input."""
        name: str | None = self._start
        while name:
            state = self._states[name]
            match state["Type"]:
                case "Task":
                    data, name = self._task(state, data)
                case "Choice":
                    name = _chosen(state, data)
                case _:
                    result = _filled(state["Parameters"], data) if "Parameters" in state else state.get("Result", data)
                    data, name = _placed(state, data, result), state.get("Next")
        return data

    def _task(self, state: State, data: Any) -> tuple[Any, str]:
        asked, tries = _filled(state["Parameters"], data), [0] * len(state.get("Retry", ()))
        while True:
            try:
                result = self._perform(state["Resource"], asked, state["TimeoutSeconds"])
            except TaskFailed as failed:
                wait = self._retried(state, failed.error, tries)
                if wait is not None:
                    self._sleep(wait)
                    continue
                caught = next((found for found in state.get("Catch", ()) if _names(found, failed.error)), None)
                if caught is None:
                    raise
                return _placed(caught, data, {"Error": failed.error, "Cause": ""}), caught["Next"]
            return _placed(state, data, result), state["Next"]

    def _retried(self, state: State, error: str, tries: list[int]) -> float | None:
        """How long to wait before the next try, or None when there is none."""
        for number, retry in enumerate(state.get("Retry", ())):
            if _names(retry, error):
                if tries[number] >= retry["MaxAttempts"]:
                    return None
                wait = retry["IntervalSeconds"] * float(retry.get("BackoffRate", 2)) ** tries[number]
                tries[number] += 1
                return self._random.uniform(0, wait) if retry.get("JitterStrategy") == "FULL" else wait
        return None


def _names(rule: dict[str, Any], error: str) -> bool:
    return "States.ALL" in rule["ErrorEquals"] or error in rule["ErrorEquals"]


def _chosen(state: State, data: Any) -> str:
    for choice in state["Choices"]:
        found = _at(choice["Variable"], data)
        if "IsPresent" in choice:
            if (found is not _ABSENT) is choice["IsPresent"]:
                return str(choice["Next"])
            continue
        ((kind, wanted),) = ((name, value) for name, value in choice.items() if name not in ("Variable", "Next"))
        if kind not in _TESTS:
            raise NotSimulated(kind)
        if found is _ABSENT:
            raise TaskFailed("States.Runtime")
        if _TESTS[kind](found, wanted):
            return str(choice["Next"])
    return str(state["Default"])


def _filled(template: Any, data: Any) -> Any:
    """The template with what its paths find. A path that finds nothing is a fault."""
    if isinstance(template, list):
        return [_filled(part, data) for part in template]
    if not isinstance(template, dict):
        return template
    filled = {}
    for name, part in template.items():
        if name.endswith(".$"):
            filled[name[:-2]] = _at(part, data)
            if filled[name[:-2]] is _ABSENT:
                raise TaskFailed("States.ParameterPathFailure")
        else:
            filled[name] = _filled(part, data)
    return filled


def _placed(state: State, data: Any, result: Any) -> Any:
    path = state.get("ResultPath", "$")
    if path == "$":
        return result
    name = path.removeprefix("$.")
    if "." in name or not name.isidentifier():
        raise NotSimulated(path)
    return {**data, name: result}


def _at(path: str, data: Any) -> Any:
    first, *names = path.split(".")
    if first != "$" or not all(name.isidentifier() for name in names):
        raise NotSimulated(path)
    for name in names:
        if not isinstance(data, dict) or name not in data:
            return _ABSENT
        data = data[name]
    return data
