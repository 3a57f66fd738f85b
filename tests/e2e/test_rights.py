"""Every role has the rights its function uses: the whole path of a charge, with IAM enforced."""

import json
import time
from datetime import UTC, datetime

import pytest

from local.client import TEST_CARD
from tests.e2e.cloud import FIRST, SECOND, until

CARDS = {FIRST: "5555555555554444", SECOND: "6011111111111117"}
"""A card per region that nothing else charges."""


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_a_charge_travels_the_whole_path_with_the_rights_the_roles_have(enforcing_cloud, region):
    merchant = enforcing_cloud.merchant(region)

    succeeded, declined = merchant.charge(amount=4200), merchant.charge(amount=1005)

    assert succeeded.body["review"] is False, "the fraud function could read and write its profiles"
    assert merchant.settled(succeeded.body["id"])["status"] == "succeeded"
    assert merchant.settled(declined.body["id"])["status"] == "failed"
    assert enforcing_cloud.webhook(succeeded.body["id"])["verified"]
    enforcing_cloud.journals_everywhere(succeeded.body["id"], ["authorization", "capture"])
    merchant_account = f"merchant:{enforcing_cloud.endpoints['merchant']['id']}"
    until(
        lambda: any(item["account"] == merchant_account for item in enforcing_cloud.items("balances", region)),
        20,
        "the projector",
    )


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_blocking_has_its_rights_too(enforcing_cloud, region):
    new = f"new-{region}"
    card = {**TEST_CARD, "number": CARDS[region]}

    blocked = enforcing_cloud.merchant(region).charge(
        amount=950_000, card=card, customer={"id": new}, device={"fingerprint": new}
    )

    assert (blocked.status, blocked.body["error"]["code"]) == (402, "fraud_blocked")
    (holding,) = enforcing_cloud.holdings(card["number"][-4:], region)
    assert "released_at" in holding
    assert "holders" not in holding


def test_sweeping_has_its_rights_too(enforcing_cloud):
    region = enforcing_cloud.primary()
    with enforcing_cloud.unable_to_publish(region):
        orphan = enforcing_cloud.merchant(region).charge(amount=1300).body["id"]
    made = enforcing_cloud.stored_payment(orphan, region)["created_at"]
    age = datetime.now(UTC) - datetime.fromisoformat(made)

    time.sleep(max(0.0, 61 - age.total_seconds()))
    swept = enforcing_cloud.aws("lambda", region).invoke(FunctionName="payments-sweeper", Payload=b"{}")

    assert "FunctionError" not in swept
    assert enforcing_cloud.merchant(region).settled(orphan)["status"] == "succeeded"


def test_a_function_without_its_right_is_refused(enforcing_cloud):
    region = enforcing_cloud.primary()
    iam, functions = enforcing_cloud.aws("iam", region), enforcing_cloud.aws("lambda", region)
    role = functions.get_function_configuration(FunctionName="payments-ledger")["Role"].rsplit("/", 1)[-1]
    policies = {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    for name in policies:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    try:
        assert enforcing_cloud.merchant(region).charge().status == 503
    finally:
        for name, document in policies.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    assert enforcing_cloud.merchant(region).charge().status == 201
