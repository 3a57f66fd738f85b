"""Training of fraud models, as an operator starts it by hand."""

import json
import time
from collections.abc import Callable
from typing import Any

from local.client import new_key
from local.ledger import Refused

MACHINE = "payments-fraud-training"
_POLL_SECONDS = 1.0
_MOST_EVENTS = 1_000
"""What one answer may have; a run has a few dozen."""


class Training:
    """A region's state machine; `states` is its client of Step Functions."""

    def __init__(self, states: Any):
        self._states = states

    def start(self) -> str:
        """Begin a run; the ARN of its execution. Raises `Refused` where nothing trains."""
        name = f"by-hand-{new_key()}"
        return str(self._states.start_execution(stateMachineArn=self._machine(), name=name, input="{}")["executionArn"])

    def finished(self, execution: str, told: Callable[[str], None], pause: float = _POLL_SECONDS) -> dict[str, Any]:
        """What a run answered, once it is over; `told` is given the name of each step that it comes to.

        Raises `Refused` when it failed. It may take as long as the machine waits for the challenger in shadow.
        """
        at = ""
        while (found := self._states.describe_execution(executionArn=execution))["status"] == "RUNNING":
            if (step := self._step(execution)) not in ("", at):
                at = step
                told(step)
            time.sleep(pause)
        if found["status"] != "SUCCEEDED":
            raise Refused(f"{execution}: {found['status']} {found.get('error', '')} {found.get('cause', '')}".rstrip())
        answer = json.loads(found.get("output") or "{}")
        return answer if isinstance(answer, dict) else {}

    def _step(self, execution: str) -> str:
        history = self._states.get_execution_history(executionArn=execution, maxResults=_MOST_EVENTS)["events"]
        entered = [
            event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event
        ]
        return str(entered[-1]) if entered else ""

    def _machine(self) -> str:
        pages = self._states.get_paginator("list_state_machines").paginate()
        for machine in (found for page in pages for found in page["stateMachines"]):
            if machine["name"] == MACHINE:
                return str(machine["stateMachineArn"])
        raise Refused(f"there is no {MACHINE} in this region: models are trained in another one")
