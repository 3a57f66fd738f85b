"""Fraud models end to end: a challenger is trained, shadowed and promoted, charges are scored by it, and an operator
rolls back; and what becomes of a charge is a label for the next one."""

import json
from contextlib import contextmanager
from datetime import datetime

import pytest
from boto3.dynamodb.types import TypeDeserializer

from local.client import TEST_CARD, new_card_number
from local.operations import Operations
from local.retrain import MACHINE, Training
from tests.e2e import fraud_traffic
from tests.e2e.cloud import FIRST, SECOND, until
from tests.e2e.test_fraud_review import decide, in_review, merchant, operations

__all__ = ["merchant"]

RELEASE = "payments-training-release"
SHADOW_SECONDS = "300"
"""Of which an emulator waits a tenth. Rules are read every five seconds, and then a model is fetched."""

SEEN_IN = 15
"""Seconds after which charges are scored by another champion."""

POINTERS = ("model#champion", "model#shadow")


@pytest.fixture(scope="module")
def region(cloud):
    """A region that can train."""
    for name in (FIRST, SECOND):
        if any(
            found["name"] == MACHINE
            for found in cloud.aws("stepfunctions", name).list_state_machines()["stateMachines"]
        ):
            return name
    raise AssertionError(f"no region has {MACHINE}")


@pytest.fixture
def api(cloud, region):
    """The operators' API of that region."""
    return Operations(cloud.endpoints["regions"][region]["operations"], region)


@pytest.fixture
def shipped_again(cloud):
    """Whatever a test promotes, after it the shipped model is asked, as before."""
    yield
    for name in (FIRST, SECOND):
        for entry in POINTERS:
            key = {"scope": {"S": "global"}, "entry": {"S": entry}}
            cloud.aws("dynamodb", name).delete_item(TableName="fraud-rules", Key=key)


@contextmanager
def patient(cloud, region):
    """The machine lets a challenger be in shadow long enough for real charges to be scored by it."""
    functions = cloud.aws("lambda", region)
    before = functions.get_function_configuration(FunctionName=RELEASE)["Environment"]["Variables"]
    changed = {"Variables": {**before, "SHADOW_SECONDS": SHADOW_SECONDS}}
    functions.update_function_configuration(FunctionName=RELEASE, Environment=changed)
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=RELEASE, Environment={"Variables": before})


def charged(cloud):
    """A charge through the edge, accepted or blocked; its id."""
    answer = cloud.merchant().charge(card={**TEST_CARD, "number": new_card_number()})
    assert answer.status in (201, 402), answer.body
    return answer.body["id"] if answer.status == 201 else answer.body["error"]["payment_id"]


def model_of(cloud, payment_id):
    """Which model scored a charge, as operators see it."""
    return operations(cloud, payment_id)[0].review(payment_id)["model"]


def score_of(cloud, payment_id):
    """What is kept of a charge's scoring, in the region that scored it; None when nothing is yet."""
    for name in (FIRST, SECOND):
        stored = cloud.stored_payment(payment_id, name)
        if stored and stored["region"] == name:
            at = int(datetime.fromisoformat(stored["created_at"]).timestamp())
            key = fraud_traffic.key(payment_id, at)
            return item(cloud, fraud_traffic.TABLE, key, name)
    return None


def item(cloud, table, key, region):
    found = cloud.aws("dynamodb", region).get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})
    return {name: TypeDeserializer().deserialize(value) for name, value in found.items()} or None


def shadow_answered(cloud, challenger):
    """Whether a charge of now is scored by the challenger, too, without consequences."""
    payment_id = charged(cloud)
    kept = until(lambda: score_of(cloud, payment_id), 5, f"the score of {payment_id}")
    if kept.get("shadow_model") != challenger:
        return None
    assert kept["model"] != challenger, "its word does not count yet"
    assert 0 <= kept["shadow_score"] <= 100
    return kept


def test_a_challenger_is_trained_judged_promoted_asked_and_rolled_back(cloud, cli, region, api, shipped_again):
    dynamodb, training = cloud.aws("dynamodb", region), Training(cloud.aws("stepfunctions", region))
    kept, shipped = fraud_traffic.traffic(), api.models(1)["shipped"]
    fraud_traffic.seed(dynamodb, kept)
    assert model_of(cloud, charged(cloud)) == shipped

    with patient(cloud, region):
        execution = cli("fraud", "retrain", "--no-wait", "--region", region).stdout.strip().splitlines()[-1]
        shadow = until(lambda: api.models(1)["shadow"], 120, "a challenger that passed the gate")
        fraud_traffic.seed_shadow(dynamodb, kept[-400:], shadow["version"])
        until(lambda: shadow_answered(cloud, shadow["version"]), 20, "a charge that the challenger scored, too")
        answer = training.finished(execution, print)

    told = api.models(1)
    report = told["data"][0]
    assert (report["id"], report["result"], report["challenger"]) == (answer["run"], "promoted", shadow["version"]), (
        report
    )
    assert (told["champion"]["version"], told["champion"]["previous"]) == (shadow["version"], shipped)
    shown = json.loads(cli("fraud", "models", "show", shadow["version"], "--region", region).stdout)
    assert shown["champion"] and shown["model"]["sha256"] and shown["report"]["steps"]["learn"]["gate"]
    assert "shifted" in cli("fraud", "drift", "--region", region).stdout, "these charges are not what it learned from"
    until(lambda: model_of(cloud, charged(cloud)) == shadow["version"], SEEN_IN, "a charge scored by the new champion")

    back = json.loads(cli("fraud", "models", "rollback", "--reason", "a test", "--region", region).stdout)

    assert (back["version"], back["shipped"], back["previous"]) == (shipped, True, None)
    until(lambda: model_of(cloud, charged(cloud)) == shipped, SEEN_IN, "a charge scored by the shipped model again")
    assert [done["what"] for done in api.model(shadow["version"])["audit"]] == ["rollback"]
    again = cli("fraud", "models", "rollback", "--region", region, check=False)
    assert (again.returncode, "fraud_model_no_previous" in again.stdout) == (1, True), "the bad model stays away"


@pytest.mark.parametrize(("decision", "label", "frauds"), [("decline", "fraud", 1), ("approve", "good", 0)])
def test_what_a_reviewer_decides_is_a_label_for_training(cloud, cli, merchant, decision, label, frauds):
    payment_id = in_review(cloud, merchant)
    before = until(lambda: score_of(cloud, payment_id), 10, "what scoring keeps of a charge")
    assert "label" not in before

    decide(cli, cloud, payment_id, decision)

    found = until(lambda: (kept := score_of(cloud, payment_id)) and "label" in kept and kept, 20, f"the label {label}")
    assert (found["label"], found["label_source"]) == (label, "review")
    assert found["labelled_at"] >= found["at"]
    stored = cloud.finished(payment_id)
    card = {"entity": {"S": f"card#{stored['card']['token']}"}, "region": {"S": stored["region"]}}
    profile = item(cloud, "fraud-profiles", card, stored["region"])
    assert profile.get("frauds", 0) == frauds
