"""A real charge travels the whole path, in two regions."""

import pytest

from local.client import TEST_CARD
from tests.e2e.cloud import FIRST, SECOND, names_of, new_key, until


def without_request_id(body):
    return {name: value for name, value in body.items() if name != "request_id"}


def test_a_charge_succeeds_is_posted_and_its_webhook_is_verified(cloud):
    merchant = cloud.merchant()

    answer = merchant.charge(amount=4200, customer={"id": "cus_1", "email": "a@example.com"}, metadata={"order": "1"})

    assert answer.status == 201, answer.body
    assert answer.body["status"] == "pending"
    payment = merchant.settled(answer.body["id"])
    assert (payment["status"], payment["amount"], payment["metadata"]) == ("succeeded", 4200, {"order": "1"})
    cloud.journals_everywhere(payment["id"], ["authorization", "capture"])
    delivery = cloud.webhook(payment["id"])
    assert delivery["verified"]
    stored = cloud.stored_payment(payment["id"])
    assert len(cloud.authorizations(stored["network_ref"])) == 1
    cloud.assert_books_balance()


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_a_charge_through_either_region_is_seen_in_both(cloud, region):
    answer = cloud.merchant(region).charge(amount=1500)

    assert answer.status == 201, answer.body
    for reader in (FIRST, SECOND):
        seen = until(
            lambda reader=reader: cloud.merchant(reader).payment(answer.body["id"]).body.get("status") == "succeeded",
            60,
            f"the payment in {reader}",
        )
        assert seen


def test_the_same_key_again_is_replayed_and_another_amount_refused(cloud):
    merchant, key = cloud.merchant(), new_key()
    first = merchant.charge(amount=4200, key=key)
    merchant.settled(first.body["id"])

    again, other = merchant.charge(amount=4200, key=key), merchant.charge(amount=4300, key=key)

    assert (again.status, again.replayed) == (201, True)
    assert without_request_id(again.body) == without_request_id(first.body)
    assert (other.status, other.body["error"]["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("cents", "code"),
    [
        (5, "card_declined"),
        (51, "insufficient_funds"),
        (91, "issuer_unavailable"),
    ],
)
def test_a_declined_charge_voids_its_amounts(cloud, cents, code):
    merchant = cloud.merchant()

    answer = merchant.charge(amount=1000 + cents)

    payment = merchant.settled(answer.body["id"])
    assert (payment["status"], payment["failure"]["code"]) == ("failed", code)
    cloud.journals_everywhere(payment["id"], ["authorization", "void"])
    assert cloud.webhook(payment["id"])["verified"]


def test_a_network_that_never_answers_is_asked_what_became_of_it(cloud):
    merchant = cloud.merchant()

    answer = merchant.charge(amount=1068)

    assert merchant.settled(answer.body["id"], 90)["status"] == "succeeded"
    stored = cloud.stored_payment(answer.body["id"])
    assert len(cloud.authorizations(stored["network_ref"])) == 1


def test_a_token_can_be_charged_by_the_merchant_it_was_made_for(cloud):
    merchant = cloud.merchant()
    token = merchant.charge(amount=2000).body["card"]["token"]

    again = merchant.charge(amount=2100, token=token)
    foreign = merchant.charge(amount=2100, token=token[:-1] + ("a" if token[-1] != "a" else "b"))

    assert (again.status, again.body["card"]["token"]) == (201, token)
    assert (foreign.status, foreign.body["error"]["code"]) == (402, "token_unknown")


def test_the_same_card_has_the_same_token_in_both_regions(cloud):
    tokens = {cloud.merchant(region).charge(amount=1200).body["card"]["token"] for region in (FIRST, SECOND)}

    assert len(tokens) == 1


@pytest.mark.parametrize("key", ["x", "sk_test_x", "sk_local_" + "a" * 24 + "_" + "b" * 43])
@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_an_unknown_key_is_401_in_the_platforms_form(cloud, region, key):
    answer = cloud.merchant(region, api_key=key).charge()

    assert answer.status == 401
    assert answer.body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"amount": 0}, 400, "invalid_amount"),
        ({"description": TEST_CARD["number"]}, 400, "card_data_in_field"),
        ({"card": {**TEST_CARD, "number": "4242424242424241"}}, 402, "incorrect_number"),
        ({"card": {**TEST_CARD, "exp_year": 2020}}, 402, "expired_card"),
        ({"sealed_card": "not.a.jwe"}, 400, "sealed_card_invalid"),
    ],
)
def test_a_bad_charge_is_refused_with_a_clear_error(cloud, change, status, code):
    answer = cloud.merchant().charge(**change)

    assert (answer.status, answer.body["error"]["code"]) == (status, code)


def test_both_regions_say_that_they_are_healthy(cloud):
    """Beside the edge's own question a second one may meet a process that has yet to start, and be told `slow`."""
    for region in (FIRST, SECOND):
        ask = cloud.merchant(region)._send
        answer = until(lambda ask=ask: (got := ask("GET", "/health")).status == 200 and got, 30, f"{region} is well")
        assert (answer.body["status"], answer.body["region"]) == ("ok", region)


def test_the_history_of_accounts_follows_the_journals(cloud):
    merchant = cloud.merchant()
    payment_id = merchant.charge(amount=700, customer={"id": new_key()}).body["id"]
    assert merchant.settled(payment_id)["status"] == "succeeded"

    for region in (FIRST, SECOND):
        history = until(lambda region=region: history_of(cloud, payment_id, region), 30, f"the history in {region}")
        assert sorted(names_of(history)) == ["authorization", "capture"]
        entries = cloud.merchant(region).entries(payment=payment_id).body["data"]
        assert len(entries) == 8, "two of the authorization; of the capture two to post, two to clear, two for the fee"


def history_of(cloud, payment_id, region):
    """The payment's journals in the history of its merchant's accounts, once there are two."""
    found = [item["journal"] for item in cloud.items("accounts", region) if f"#{payment_id}#" in item["position"]]
    return found if len(found) == 2 else None
