"""Every role has the rights its function uses: the whole path of a charge, with IAM enforced."""

import json
import time
from datetime import UTC, datetime

import pytest

from local.client import TEST_CARD, new_card_number
from tests.e2e.cloud import FIRST, SECOND, until

CARDS = {FIRST: "5555555555554444", SECOND: "6011111111111117"}
"""A card per region that nothing else charges."""


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_a_charge_travels_the_whole_path_with_the_rights_the_roles_have(enforcing_cloud, region):
    merchant = enforcing_cloud.merchant(region)

    succeeded, declined = merchant.charge(amount=4200), merchant.charge(amount=1005)

    scored = enforcing_cloud.stored_payment(succeeded.body["id"], region)["fraud"]
    assert scored["degraded"] is False, "the fraud function could read profiles, lists and its model"
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


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_stored_cards_have_their_rights_too(enforcing_cloud, region):
    merchant = enforcing_cloud.merchant(region)
    stored = merchant.store_card(card={**TEST_CARD, "number": new_card_number()})
    assert stored.status == 201, stored.body
    token = stored.body["id"]

    charged = merchant.charge(amount=1300, token=token)
    assert charged.status == 201
    assert merchant.settled(charged.body["id"])["status"] == "succeeded"
    assert merchant.delete_card(token).body["deleted"] is True
    assert merchant.charge(amount=1300, token=token).body["error"]["code"] == "token_unknown"
    until(
        lambda: not [key for r in (FIRST, SECOND) for key in card_keys(enforcing_cloud, r, token)],
        20,
        "the card's keys to be gone in both regions",
    )


def card_keys(cloud, region, token):
    return [item for item in cloud.items("vault-card-keys", region) if item["token"] == token]


def test_the_operators_functions_have_their_rights_too(enforcing_cloud, enforcing_cli):
    enforcing_cloud.merchant().charge(amount=1300)
    merchant_id = enforcing_cloud.endpoints["merchant"]["id"]

    assert '"version": 2' in enforcing_cli("vault", "rotate", "sealing-key", "--lead", "30").stdout
    assert '"key stores"' in enforcing_cli("vault", "status").stdout
    assert "unused" in enforcing_cli("vault", "census").stdout
    assert SECOND in enforcing_cli("vault", "shred", "--merchant", merchant_id).stdout
    until(lambda: not merchants_keys(enforcing_cloud, merchant_id), 20, "the merchant's card keys to be gone")


def merchants_keys(cloud, merchant_id):
    keys = [key for region in (FIRST, SECOND) for key in cloud.items("vault-card-keys", region)]
    return [key for key in keys if key["holding"].startswith(merchant_id)]


def test_captures_refunds_and_the_books_have_their_rights_too(enforcing_cloud):
    merchant = enforcing_cloud.merchant(enforcing_cloud.primary())
    payment_id = merchant.charge(amount=2000, capture=False).body["id"]
    assert merchant.settled(payment_id)["status"] == "requires_capture"

    answers = [merchant.capture(payment_id, 1500, final=True), merchant.refund(payment_id, 500)]
    refunded = enforcing_cloud.finished(payment_id)
    dispute = enforcing_cloud.command(refunded, "open_dispute", payment_id)

    assert [answer.status for answer in answers] == [200, 201]
    assert (refunded["status"], dispute["result"]) == ("partially_refunded", "done")
    enforcing_cloud.finished(payment_id)
    reads = [
        merchant.payments(),
        merchant.refunds(payment_id),
        merchant.balance(),
        merchant.entries(payment=payment_id),
    ]
    assert [answer.status for answer in reads] == [200] * 4


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


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_health_has_its_rights_too(enforcing_cloud, region):
    """But for the bus: the emulator takes its name for a rule's when it looks for the right. The infrastructure tests
    hold that one against AWS's names."""
    ask = enforcing_cloud.merchant(region)._send
    answer = until(lambda: (got := ask("GET", "/health")).status == 200 and got, 30, f"{region} is well")

    assert {name for name, check in answer.body["checks"].items() if check["result"] != "ok"} <= {"bus"}
