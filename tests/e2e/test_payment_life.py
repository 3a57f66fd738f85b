"""What merchants do with payments after they are authorized reaches the books, the network and the merchant, once."""

from datetime import UTC, datetime, timedelta

import pytest

from payments import clock
from tests.e2e.cloud import FIRST, SECOND, new_key, until


def authorized(cloud, amount=5000, capture=False, **fields):
    """A payment the network has approved, as it is stored."""
    merchant = cloud.merchant()
    payment_id = merchant.charge(amount=amount, capture=capture, **fields).body["id"]
    assert merchant.settled(payment_id)["status"] in ("requires_capture", "succeeded")
    return cloud.stored_payment(payment_id, cloud.primary())


def told(cloud, payment_id, types):
    """The merchant's events about a payment, once they are as many."""
    return until(lambda: len(found := cloud.told(payment_id)) >= len(types) and found, 60, f"{types} of {payment_id}")


def test_authorized_captured_in_parts_and_refunded(cloud):
    merchant, payment = cloud.merchant(), authorized(cloud)
    payment_id = payment["payment_id"]

    first, second = merchant.capture(payment_id, 1000), merchant.capture(payment_id, 1500)
    final = merchant.capture(payment_id, 500, final=True)
    refund = merchant.refund(payment_id, 300, reason="damaged")

    assert [answer.status for answer in (first, second, final, refund)] == [200, 200, 200, 201]
    assert [answer.body["amount_captured"] for answer in (first, second, final)] == [1000, 2500, 3000]
    stored = cloud.finished(payment_id)
    assert (stored["status"], stored["amount_released"], stored["amount_refunded"]) == ("partially_refunded", 2000, 300)
    operations = cloud.operations(payment["network_ref"])
    assert sorted(operations) == [(kind, amount, "accepted") for kind, amount in EVERYTHING_THE_NETWORK_DID]
    types = ["payment.requires_capture", *["payment.captured"] * 3, "refund.succeeded"]
    events = told(cloud, payment_id, types)
    assert [event["type"] for event in events] == types
    assert len({event["sequence"] for event in events}) == len(types)
    assert events[-1]["data"]["id"] == refund.body["id"]
    cloud.assert_books_balance()


EVERYTHING_THE_NETWORK_DID = [("capture", 500), ("capture", 1000), ("capture", 1500), ("refund", 300), ("void", 2000)]


def test_a_command_sent_again_through_the_other_region_is_replayed(cloud):
    payment_id, key = authorized(cloud)["payment_id"], new_key()
    here, there = cloud.merchant(FIRST), cloud.merchant(SECOND)

    first = here.capture(payment_id, 1000, key)
    again, other = there.capture(payment_id, 1000, key), there.capture(payment_id, 2000, key)

    assert (first.status, again.status, again.replayed) == (200, 200, True)
    assert again.body | {"request_id": ""} == first.body | {"request_id": ""}
    assert (other.status, other.body["error"]["code"]) == (422, "idempotency_key_reused")
    assert cloud.finished(payment_id)["amount_captured"] == 1000


def test_a_void_gives_everything_back_and_ends_the_payment(cloud):
    merchant, payment = cloud.merchant(), authorized(cloud, amount=2600)
    payment_id = payment["payment_id"]

    assert merchant.void(payment_id).body["status"] == "canceled"
    refused = merchant.capture(payment_id, 100)

    assert (refused.status, refused.body["error"]["code"]) == (409, "payment_state_invalid")
    cloud.finished(payment_id)
    assert cloud.operations(payment["network_ref"]) == [("void", 2600, "accepted")]
    types = ["payment.requires_capture", "payment.canceled"]
    assert [event["type"] for event in told(cloud, payment_id, types)] == types


def test_a_refund_that_the_network_declines_can_be_tried_again(cloud):
    merchant, payment = cloud.merchant(), authorized(cloud, amount=4000, capture=True)
    payment_id = payment["payment_id"]

    declined = merchant.refund(payment_id, 1007).body["id"]
    cloud.finished(payment_id)
    merchant.refund(payment_id)

    assert cloud.finished(payment_id)["status"] == "refunded"
    assert cloud.operations(payment["network_ref"]) == [("refund", 1007, "declined"), ("refund", 4000, "accepted")]
    refunds = {refund["id"]: refund["status"] for refund in merchant.refunds(payment_id).body["data"]}
    assert (refunds[declined], sorted(refunds.values())) == ("failed", ["failed", "succeeded"])


@pytest.mark.parametrize(
    ("end", "outcome", "status"), [("win_dispute", "won", "succeeded"), ("lose_dispute", "lost", "charged_back")]
)
def test_a_dispute_is_opened_and_ended_and_the_merchant_hears_of_both(cloud, end, outcome, status):
    payment, case = authorized(cloud, amount=3000, capture=True), new_key()
    payment_id = payment["payment_id"]

    opened = cloud.command(payment, "open_dispute", case, reason="fraudulent")
    assert opened["result"] == "done", opened
    assert cloud.merchant(cloud.primary()).payment(payment_id).body["status"] == "disputed"
    assert cloud.merchant().refund(payment_id).status == 409
    assert cloud.command(payment, end, f"{case}-end")["answer"]["status"] == outcome

    assert cloud.finished(payment_id)["status"] == status
    types = ["payment.succeeded", "dispute.opened", f"dispute.{outcome}"]
    assert [event["type"] for event in told(cloud, payment_id, types)] == types
    assert cloud.operations(payment["network_ref"]) == [], "the network told us, not we the network"
    cloud.assert_books_balance()


def test_a_refund_whose_message_was_lost_is_finished_by_the_sweeper(cloud):
    payment, region = authorized(cloud, amount=2100, capture=True), cloud.primary()
    payment_id = payment["payment_id"]
    with cloud.messages_lost("payments-network", region):
        assert cloud.merchant(region).refund(payment_id, 600).status == 201
    assert cloud.stored_payment(payment_id, region)["outstanding"], "nobody told the network"
    assert cloud.operations(payment["network_ref"]) == []

    cloud.waiting_since(payment_id, clock.timestamp(datetime.now(UTC) - timedelta(minutes=2)), region)
    cloud.ask("payments-sweeper", {}, region)

    assert cloud.finished(payment_id)["status"] == "partially_refunded"
    assert cloud.operations(payment["network_ref"]) == [("refund", 600, "accepted")]
    types = ["payment.succeeded", "refund.succeeded"]
    assert [event["type"] for event in told(cloud, payment_id, types)] == types
