"""The interpreter does what Step Functions does with the charge's state machine, and refuses what it does not know."""

from copy import deepcopy
from random import Random

import pytest

from tests.simulation import machine
from tests.simulation.hub import NotSimulated
from tests.simulation.machine import Machine, TaskFailed

CHARGE = {
    **dict.fromkeys(("payment_id", "attempt", "merchant_id", "fingerprint", "created_at", "network_ref"), "x"),
    **dict.fromkeys(("currency", "card", "customer", "device", "description", "metadata", "fees", "capture"), "x"),
    "amount": 1,
    "shard": 1,
    "epoch": 0,
    "mapped_at": "x",
    "fraud_limits": None,
}
TOKENIZED = {"result": "tokenized", "card": {"token": "tok_x"}}
POSTED = {"result": "posted", "payment": "p", "event": "e"}


class Functions:
    """Answers each resource, or each operation of the ledger, with the next answer of its list; the last one stays."""

    def __init__(self, **answers):
        known = {
            "Tokenize": [TOKENIZED],
            "Fraud": [{"decision": "allow"}],
            "post": [POSTED],
            "putEvents": [{}],
            "Release": [{}],
        }
        self.answers, self.asked, self.slept = {**known, **answers}, [], []

    def perform(self, resource, asked, seconds):
        name = asked.get("operation") or next(name for name in self.answers if name in resource)
        self.asked.append(name)
        found = self.answers[name]
        answer = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(answer, str):
            raise TaskFailed(answer)
        return answer

    def run(self):
        return Machine(machine.definition(), self.perform, self.slept.append, Random(1)).run(CHARGE)


def test_a_charge_goes_through_every_step():
    functions = Functions()

    assert functions.run() == {"outcome": "accepted", "payment": "p"}
    assert functions.asked == ["Tokenize", "Fraud", "post", "putEvents"]


def test_what_is_retried_is_retried_so_often_and_then_caught():
    functions = Functions(Tokenize=["Lambda.TooManyRequestsException"])

    assert functions.run() == {"outcome": "failed"}
    assert functions.asked == ["Tokenize"] * 3
    assert len(functions.slept) == 2
    assert 0 <= functions.slept[0] <= 1
    assert 0 <= functions.slept[1] <= 2


def test_what_is_not_retried_is_caught_at_once():
    functions = Functions(Tokenize=["States.Timeout"])

    assert functions.run() == {"outcome": "failed"}
    assert functions.asked == ["Tokenize"]


def test_an_ambiguous_fault_is_settled_before_anything_is_undone():
    functions = Functions(post=["States.Timeout"], abandon=["States.Timeout", POSTED])

    assert functions.run() == {"outcome": "accepted", "payment": "p"}
    assert functions.asked == ["Tokenize", "Fraud", "post", "abandon", "abandon", "putEvents"]


def test_a_fault_of_scoring_and_of_publishing_stops_nothing():
    functions = Functions(Fraud=["States.TaskFailed"], putEvents=["EventBridge.Fault"])

    assert functions.run()["outcome"] == "accepted"
    assert functions.asked == ["Tokenize", "Fraud", "post", "putEvents", "putEvents"]


def test_a_blocked_charge_is_recorded_after_its_token_is_released():
    functions = Functions(Fraud=[{"decision": "block"}], record_blocked=[{"result": "blocked", "payment": "p"}])

    assert functions.run() == {"outcome": "blocked", "payment": "p"}
    assert functions.asked == ["Tokenize", "Fraud", "Release", "record_blocked"]


def test_a_charge_that_the_ledger_does_not_write_lets_go_of_its_token_and_fails():
    functions = Functions(post=[{"result": "fenced"}])

    assert functions.run() == {"outcome": "failed"}
    assert functions.asked == ["Tokenize", "Fraud", "post", "Release"]


def test_a_block_that_the_ledger_does_not_write_fails():
    functions = Functions(Fraud=[{"decision": "block"}], record_blocked=[{"result": "fenced"}])

    assert functions.run() == {"outcome": "failed"}
    assert functions.asked == ["Tokenize", "Fraud", "Release", "record_blocked"]


def test_the_ledger_is_told_the_lease_of_the_charge():
    functions = Functions(Fraud=[{"decision": "block"}], record_blocked=[{"result": "fenced"}])
    told = []
    perform = functions.perform
    functions.perform = lambda resource, asked, seconds: told.append(asked) or perform(resource, asked, seconds)

    functions.run()

    (asked,) = (asked for asked in told if asked.get("operation") == "record_blocked")
    assert (asked["charge"]["epoch"], asked["charge"]["mapped_at"]) == (CHARGE["epoch"], CHARGE["mapped_at"])


def test_a_path_that_finds_nothing_is_a_fault():
    functions = Functions(Tokenize=[{"result": "tokenized"}])

    with pytest.raises(TaskFailed, match="ParameterPathFailure"):
        functions.run()


@pytest.mark.parametrize(
    "change",
    [
        {"Type": "Wait", "Seconds": 1},
        {"Type": "Task", "Resource": "r", "Parameters": {}, "ResultSelector": {}, "Next": "Failed"},
        {"Type": "Pass", "OutputPath": "$.x", "End": True},
    ],
)
def test_a_state_that_is_not_known_is_not_run(change):
    changed = deepcopy(machine.definition())
    changed["States"]["Failed"] = change

    with pytest.raises(NotSimulated):
        Machine(changed, None, None, Random(1))
