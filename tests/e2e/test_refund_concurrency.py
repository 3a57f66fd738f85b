"""However many refunds of a payment are asked for at once, in both regions: never a cent more than was captured."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx

from local.client import TEST_CARD, TimedOut, new_card_number
from payments import projection
from payments.records import StoredJournal
from tests.e2e.cloud import FIRST, SECOND, names_of, new_key, until

REQUESTS, THREADS, KEYS = 100, 50, 70
CAPTURED, REFUND = 4200, 100
"""42 refunds of the 70 that are asked for, some of them more than once, is what there is."""

PATIENCE_S = 300


def test_a_hundred_refunds_at_once_never_exceed_what_was_captured(cloud):
    merchant = cloud.merchant()
    payment_id = merchant.charge(amount=CAPTURED, card={**TEST_CARD, "number": new_card_number()}).body["id"]
    assert merchant.settled(payment_id)["status"] == "succeeded"
    keys = [new_key() for _ in range(KEYS)]
    clients = [cloud.merchant(region) for region in (FIRST, SECOND, None)]

    def ask(number):
        """The answer to one request, sent again for as long as it is not one."""
        client, key, deadline = clients[number % len(clients)], keys[number % KEYS], time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(httpx.TimeoutException):
                answer = client.refund(payment_id, REFUND, key)
                code = answer.body.get("error", {}).get("code")
                if answer.status < 500 and code not in ("payment_busy", "rate_limited"):
                    return key, answer
            time.sleep(0.3)
        raise TimedOut(f"refund {number}")

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(ask, range(REQUESTS)))

    refunds = {key: answer.body["id"] for key, answer in answers if answer.status == 201}
    refused = {(a.status, a.body["error"]["code"]) for _, a in answers if a.status != 201}
    assert refused <= {(400, "amount_too_large"), (409, "payment_state_invalid")}, refused
    assert len(refunds) == len(set(refunds.values())) == CAPTURED // REFUND
    assert_refunded(cloud, payment_id, set(refunds.values()))
    moves = [item for item in cloud.items("shards") if "action" in item]
    assert moves == [], "no region that is only busy is failed over"


def assert_refunded(cloud, payment_id, refunds):
    """Payment, journals, network, balances and the merchant's events all say that these refunds succeeded, once."""
    stored = cloud.finished(payment_id)
    assert (stored["status"], stored["amount_refunded"]) == ("refunded", CAPTURED)
    operations = cloud.operations(stored["network_ref"])
    assert operations == [("refund", REFUND, "accepted")] * len(refunds)
    wanted = {"authorization", "capture", *refunds, *(f"{refund}#succeeded" for refund in refunds)}
    for region in (FIRST, SECOND):
        until(lambda region=region: names(cloud, payment_id, region) == wanted, 30, f"the journals in {region}")
    journals = [StoredJournal.of(item).journal() for item in cloud.journals(payment_id)]
    (merchants,) = [
        counters for (account, _), counters in projection.sums(journals).items() if account.startswith("merchant:")
    ]
    assert (merchants["credits_posted"], merchants["credits_pending"], merchants["debits_pending"]) == (CAPTURED, 0, 0)
    told = until(lambda: len(found := succeeded(cloud, payment_id)) >= len(refunds) and found, 60, "the webhooks")
    assert {event["data"]["id"] for event in told} == refunds
    assert len({event["sequence"] for event in told}) == len(told) == len(refunds)


def names(cloud, payment_id, region):
    return set(names_of(cloud.journals(payment_id, region)))


def succeeded(cloud, payment_id):
    return [event for event in cloud.told(payment_id) if event["type"] == "refund.succeeded"]
