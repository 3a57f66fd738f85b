"""Runs a state machine's definition in process: of the Amazon States Language, what two of ours use."""

import json
import re
from pathlib import Path

DEFINITION = Path(__file__).resolve().parents[3] / "statemachines" / "reconciliation.asl.json"


class Failed(Exception):
    """The execution ended in a Fail state; the message is its error."""


class Machine:
    """`tasks` are handlers by what stands for their ARN in the definition; `wait` is called for every Wait state."""

    def __init__(self, tasks, wait=lambda: None, definition=DEFINITION):
        self._definition = json.loads(definition.read_text())
        self._tasks, self._wait = tasks, wait

    def run(self, name, given, started_at="2026-11-23T10:00:00.000Z"):
        """The output of an execution of this name with this input."""
        execution = {"Name": name, "Input": given, "StartTime": started_at}
        return self._states(self._definition, given, {"Execution": execution})

    def _states(self, machine, data, context):
        name = machine["StartAt"]
        while True:
            state = machine["States"][name]
            match state["Type"]:
                case "Choice":
                    name = next(
                        (rule["Next"] for rule in state["Choices"] if self._holds(rule, data)), state["Default"]
                    )
                    continue
                case "Succeed":
                    return data
                case "Fail":
                    raise Failed(state["Error"])
                case "Wait":
                    self._wait()
                case kind:
                    data = self._worked(kind, state, data, context)
            if state.get("End"):
                return data
            name = state["Next"]

    def _worked(self, kind, state, data, context):
        given = self._filled(state["Parameters"], data, context) if "Parameters" in state else data
        if kind == "Task":
            given = json.loads(json.dumps(self._tasks[re.fullmatch(r"\$\{(\w+)\}", state["Resource"])[1]](given)))
        if kind == "Map":
            given = [self._item(state, data, context, item) for item in found(state["ItemsPath"], data)]
        place = state.get("ResultPath", "$")
        data = {**data, place.removeprefix("$."): given} if place and place != "$" else given if place else data
        return found(state.get("OutputPath", "$"), data)

    def _item(self, state, data, context, item):
        inner = {**context, "Map": {"Item": {"Value": item}}}
        return self._states(state["ItemProcessor"], self._filled(state["ItemSelector"], data, inner), inner)

    def _filled(self, template, data, context):
        if not isinstance(template, dict):
            return template
        return {
            name.removesuffix(".$"): self._value(value, data, context)
            if name.endswith(".$")
            else self._filled(value, data, context)
            for name, value in template.items()
        }

    def _value(self, path, data, context):
        if merged := re.fullmatch(r"States\.JsonMerge\((\S+), (\S+), false\)", path):
            return {**found(merged[1], data), **found(merged[2], data)}
        return found(path[1:], context) if path.startswith("$$") else found(path, data)

    def _holds(self, rule, data):
        if "IsPresent" in rule:
            try:
                found(rule["Variable"], data)
            except KeyError:
                return not rule["IsPresent"]
            return rule["IsPresent"]
        value = found(rule["Variable"], data)
        if "IsNull" in rule:
            return (value is None) == rule["IsNull"]
        (wanted,) = (rule[name] for name in ("StringEquals", "BooleanEquals") if name in rule)
        return value == wanted and type(value) is type(wanted)


def found(path, data):
    """What a JSON path leads to. Raises `KeyError`, as a real machine fails."""
    for name in path.split(".")[1:]:
        if not isinstance(data, dict):
            raise KeyError(path)
        data = data[name]
    return data
