"""Every role has the rights its function uses: the whole path of a charge, with IAM enforced."""

import json

import pytest

from local.client import TEST_CARD
from tests.e2e.cloud import FIRST, SECOND, until

OTHER_CARD = {**TEST_CARD, "number": "5555555555554444"}


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_a_charge_travels_the_whole_path_with_the_rights_the_roles_have(enforcing_cloud, region):
    merchant = enforcing_cloud.merchant(region)

    succeeded, declined = merchant.charge(amount=4200), merchant.charge(amount=1005)

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
def test_blocking_and_sweeping_have_their_rights_too(enforcing_cloud, region):
    blocked = enforcing_cloud.merchant(region).charge(
        amount=950_000, card=OTHER_CARD, customer={"id": f"new-{region}"}, device={"fingerprint": f"new-{region}"}
    )
    swept = enforcing_cloud.aws("lambda", region).invoke(FunctionName="payments-sweeper", Payload=b"{}")

    assert blocked.status in (201, 402)
    assert "FunctionError" not in swept
    assert json.loads(swept["Payload"].read()) == {"published": 0}


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
