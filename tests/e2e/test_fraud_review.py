"""Fraud scoring end to end: a blocked charge says why, and operators approve or decline what is in review."""

import json
import secrets

import pytest
from boto3.dynamodb.types import TypeSerializer

from local.client import TEST_CARD, new_card_number
from local.operations import Operations
from payments import clock, identifiers
from payments.merchants import api_key_kind, new_api_key
from tests.e2e.cloud import FIRST, SECOND, new_key, until


@pytest.fixture(scope="module")
def merchant(cloud):
    """A merchant who wants every charge looked at; its client, at the region that writes for it."""
    merchant_id = identifiers.new_merchant_id()
    key = new_api_key(merchant_id, "local")
    for kind, more in (("profile", {"fraud_limits": {"review": 0}}), (api_key_kind(key), {})):
        item = {"merchant_id": merchant_id, "kind": kind, "status": "active", "created_at": clock.now(), **more}
        serialized = {name: TypeSerializer().serialize(value) for name, value in item.items()}
        cloud.aws("dynamodb", FIRST).put_item(TableName="merchants", Item=serialized)
    kinds = {"profile", api_key_kind(key)}
    until(
        lambda: kinds <= {item["kind"] for item in cloud.items("merchants", SECOND)}, 30, "the merchant in both regions"
    )
    return cloud.merchant((FIRST, SECOND)[identifiers.merchant_shard(merchant_id) % 2], key)


def operations(cloud, payment_id):
    """The operators' API of the region that wrote the payment."""
    region = (FIRST, SECOND)[identifiers.shard_of(payment_id) % 2]
    return Operations(cloud.endpoints["regions"][region]["operations"], region), region


def in_review(cloud, merchant, **fields):
    """A charge in review that the card network approved."""
    answer = merchant.charge(card={**TEST_CARD, "number": new_card_number()}, **fields)
    assert (answer.status, answer.body["review"]) == (201, True), answer.body
    payment_id = answer.body["id"]
    merchant.settled(payment_id)
    api, _ = operations(cloud, payment_id)
    assert payment_id in {review["id"] for review in api.reviews()}
    return payment_id


def decide(cli, cloud, payment_id, decision):
    """An operator's command; the answer."""
    _, region = operations(cloud, payment_id)
    return json.loads(cli("reviews", decision, payment_id, "--reason", "seen", "--region", region).stdout)


def test_a_blocked_charge_shows_its_reasons_to_operators(cloud, cli):
    payment_id = blocked_for_trying_cards(cloud)

    shown = json.loads(cli("reviews", "show", payment_id, "--region", cloud.primary()).stdout)

    assert (shown["decision"], shown["degraded"], shown["open"]) == ("block", False, False)
    assert shown["score"] > 80
    assert shown["reasons"] and all(reason["code"] and reason["text"] for reason in shown["reasons"])
    assert len({reason["code"] for reason in shown["reasons"]}) == len(shown["reasons"]) <= 5
    assert any("device" in reason["text"].lower() for reason in shown["reasons"]), "it is the device that gave it away"
    assert len(shown["features_hash"]) == 16
    assert shown["payment"]["status"] == "fraud_blocked"
    assert (shown["audit"][0]["by"], shown["audit"][0]["what"]) == (shown["model"], "block")
    api, _ = operations(cloud, payment_id)
    assert payment_id not in {review["id"] for review in api.reviews()}, "there is nothing left to decide"


def blocked_for_trying_cards(cloud):
    """Somebody tries one card after the other on one device, and is soon blocked; the first such charge."""
    device = {"fingerprint": f"dev_{secrets.token_hex(4)}"}
    for _ in range(12):
        card = {**TEST_CARD, "number": new_card_number()}
        answer = cloud.merchant(cloud.primary()).charge(100, key=new_key(), card=card, device=device)
        if answer.status == 402:
            assert answer.body["error"]["code"] == "fraud_blocked", answer.body
            return answer.body["error"]["payment_id"]
    raise AssertionError("twelve cards on one device, and none was blocked")


WITHOUT_PROFILES = """
import os
os.environ["FRAUD_PROFILES_TABLE"] = "not-there"


def handler(event, context):
    return real(event, context)
"""


def test_a_charge_without_profiles_is_taken_degraded_and_in_review(cloud):
    region = cloud.primary()
    client = cloud.merchant(region)

    with cloud.broken("payments-fraud", WITHOUT_PROFILES, region):
        answer = client.charge(1900, card={**TEST_CARD, "number": new_card_number()})

    assert (answer.status, answer.body["review"]) == (201, True), answer.body
    payment_id = answer.body["id"]
    assert client.settled(payment_id)["status"] == "succeeded"
    api, _ = operations(cloud, payment_id)
    shown = api.review(payment_id)
    assert (shown["degraded"], shown["decision"], shown["open"]) == (True, "review", True)
    assert "profiles_unavailable" in [reason["code"] for reason in shown["reasons"]]
    assert payment_id in {review["id"] for review in api.reviews(degraded="true")}
    decided = api.decide(payment_id, "approve", "a test", new_key())
    assert decided["decision"] == "approve"


def test_an_approved_charge_leaves_the_queue_and_keeps_its_money(cloud, cli, merchant):
    payment_id = in_review(cloud, merchant)
    assert cli("reviews", "list").returncode == 0

    assert decide(cli, cloud, payment_id, "approve")["operations"] == []

    api, _ = operations(cloud, payment_id)
    assert payment_id not in {review["id"] for review in api.reviews()}
    assert api.review(payment_id)["review_decision"]["decision"] == "approve"
    assert merchant.payment(payment_id).body["status"] == "succeeded"
    assert cloud.finished(payment_id)["review_decision"]["reason"] == "seen", "in both regions"


def test_a_declined_charge_is_refunded_and_the_merchant_sees_it(cloud, cli, merchant):
    payment_id = in_review(cloud, merchant)

    assert decide(cli, cloud, payment_id, "decline")["decision"] == "decline"

    stored = cloud.finished(payment_id)
    assert (stored["status"], "review" in stored) == ("refunded", False)
    (refund,) = merchant.refunds(payment_id).body["data"]
    assert (refund["status"], refund["reason"]) == ("succeeded", "review_declined")
    assert [done[0] for done in cloud.operations(stored["network_ref"])] == ["refund"]
    cloud.assert_books_balance()


def test_a_declined_authorization_is_canceled_and_the_merchant_sees_it(cloud, cli, merchant):
    payment_id = in_review(cloud, merchant, capture=False)

    decide(cli, cloud, payment_id, "decline")

    stored = cloud.finished(payment_id)
    assert merchant.payment(payment_id).body["status"] == "canceled"
    assert [done[0] for done in cloud.operations(stored["network_ref"])] == ["void"]
    cloud.assert_books_balance()
