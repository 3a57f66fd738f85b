"""What the functions ask of AWS is what their roles allow, which the emulators do not look at."""

import json

import pytest

from functions.reconciliation import app
from tests.functional.reconciliation.machine import Machine
from tests.functional.reconciliation.test_run import event_of
from tests.functional.reconciliation.world import BUCKET
from tests.infrastructure.reconciliation_rights import RIGHTS, STEPS

IN_TRANSACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}

UNUSED = {
    "begin": set(),
    "ingest": {"s3:ListBucket bucket"},  # or S3 does not say that an object is not there
    "compact": set(),
    "match": {"dynamodb:GetItem table/shards"},  # the tests' world has one region
    "report": set(),
}
"""Rights that are needed nevertheless."""


@pytest.fixture
def used(world):
    """Step → the rights that its calls need, as `RIGHTS` has them; filled as the machine runs. A call to begin is
    repeated, as by Step Functions when an answer was lost."""
    found = {step: set() for step in STEPS}

    def noted(step):
        function = world.called(getattr(app, step))

        def call(event):
            before = len(world.calls.made)
            answer = [function(event) for _ in range(2 if step == "begin" else 1)][-1]
            found[step] |= {right for made in world.calls.made[before:] for right in needed(*made)}
            return answer

        return call

    world.machine = Machine({f"{step.title()}FunctionArn": noted(step) for step in STEPS})
    return found


def needed(operation, asked):
    """The rights of a call."""
    match operation:
        case "TransactWriteItems":
            for item in asked["TransactItems"]:
                for kind, write in item.items():
                    yield f"dynamodb:{IN_TRANSACTIONS[kind]} table/{write['TableName']}"
        case "Invoke":
            yield f"lambda:InvokeFunction function:{asked['FunctionName']}"
        case "ListObjectsV2":
            assert asked["Bucket"] == BUCKET
            yield "s3:ListBucket bucket"
        case "DeleteObjects":
            yield from (f"s3:DeleteObject {one['Key'].split('/')[0]}/*" for one in asked["Delete"]["Objects"])
        case "GetObject" | "PutObject":
            assert asked["Bucket"] == BUCKET
            yield f"s3:{operation} {asked['Key'].split('/')[0]}/*"
        case _:
            index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
            yield f"dynamodb:{operation} table/{asked['TableName']}{index}"


def test_functions_need_the_rights_of_their_roles_and_no_others(world, used):
    late, charged_back = world.payment("late"), world.payment("charged-back")
    world.put("config/terms.json", json.dumps({"default": {"due_days": 2}}).encode())
    world.project()

    world.run("missing", as_of="2026-12-10")
    assert world.classes() == {"missing_at_network": 2}
    world.decide(charged_back.network_ref, "capture#")
    dispute = world.line(charged_back, "chargeback", case_ref="case-1", reason="fraud")
    world.run("settled", **event_of(world.deliver(world.line(late), dispute)))
    world.payment("later")
    world.project()
    world.run("nothing-new")

    assert {step: RIGHTS[f"{step.title()}Role"] - used[step] for step in STEPS} == UNUSED
    assert {step: used[step] - RIGHTS[f"{step.title()}Role"] for step in STEPS} == {step: set() for step in STEPS}
