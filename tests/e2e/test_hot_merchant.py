"""A thousand concurrent charges of one merchant: the projector's balances are the sum of the ledger, to the cent."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from local.client import TEST_CARD, new_card_number
from payments import clock, events, identifiers, projection
from payments.journal import Balance
from payments.records import StoredJournal
from tests.e2e.cloud import FIRST, SECOND, new_key, until

CHARGES, THREADS = 1000, 24
THROUGH_THE_API = 50
"""So many take the whole way. On one machine that is the vault, fraud scoring and a saga each; the others begin where
these write: at the ledger, whose stream is what the projector lives on."""

FEES = {"basis_points": 290, "fixed": 30, "dispute": 1500}


@pytest.fixture
def stored_card(cloud):
    """What the vault knows of a card of the merchant's."""
    stored = cloud.merchant().store_card(card={**TEST_CARD, "number": new_card_number()})
    assert stored.status == 201, stored.body
    facts = {name: stored.body[name] for name in ("brand", "network", "bin", "last4", "exp_month", "exp_year")}
    return {"token": stored.body["id"], "bin8": None, **facts}


def test_a_thousand_concurrent_charges_leave_balances_that_are_exact(cloud, stored_card):
    region, clients = cloud.primary(), [cloud.merchant(name) for name in (FIRST, SECOND)]
    before = cloud.merchant(region).balance().body["available"]

    def charge(number):
        amount = 1000 + number % 5  # …05 and others would be declined
        if number % (CHARGES // THROUGH_THE_API):
            return post(cloud, region, stored_card, amount)
        return through_the_api(clients[number % len(clients)], amount)

    with ThreadPoolExecutor(THREADS) as pool:
        payments = list(pool.map(charge, range(CHARGES)))

    assert len(set(payments)) == CHARGES
    ledgers = {name: until(lambda name=name: settled(cloud, name, payments), 300, name) for name in (FIRST, SECOND)}
    assert ledgers[FIRST].keys() == ledgers[SECOND].keys()
    for name in (FIRST, SECOND):
        until(lambda name=name: balances(cloud, name) == sums(cloud, name), 60, f"exact balances in {name}")
        assert all(balanced(counters) for (account, _), counters in balances(cloud, name).items() if "shard" in account)
    earned = sum(1000 + number % 5 for number in range(CHARGES)) - sum(
        30 + ((1000 + number % 5) * 290 + 5000) // 10_000 for number in range(CHARGES)
    )
    after = cloud.merchant(region).balance().body["available"]
    assert usd(after) - usd(before) == earned


def post(cloud, region, card, amount):
    """Has the ledger post a charge and publishes its event, as the saga does; the payment's id."""
    merchant_id, key = cloud.endpoints["merchant"]["id"], new_key()
    payment_id = identifiers.payment_id(merchant_id, key)
    charge = {
        "payment_id": payment_id,
        "attempt": identifiers.new_attempt(),
        "merchant_id": merchant_id,
        "shard": identifiers.merchant_shard(merchant_id),
        "epoch": 0,
        "mapped_at": clock.now(),
        "fingerprint": "f" * 64,
        "amount": amount,
        "currency": "USD",
        "capture": True,
        "created_at": clock.timestamp(datetime.now(UTC)),
        "network_ref": identifiers.network_reference(payment_id),
        "fees": FEES,
        "card": card,
        "customer": {"id": f"cus_{random.randrange(20)}"},
        "description": None,
        "metadata": {},
    }
    fraud = {"score": 0, "reasons": [], "model": "none", "degraded": False, "decision": "allow"}
    answer = cloud.ask("payments-ledger", {"operation": "post", "charge": charge, "fraud": fraud}, region)
    assert answer["result"] == "posted", answer
    entry = {"EventBusName": "payments", "Source": events.SOURCE, "DetailType": events.CHARGE_AUTHORIZED}
    cloud.aws("events", region).put_events(Entries=[{**entry, "Detail": json.dumps(answer["event"])}])
    return payment_id


def through_the_api(merchant, amount):
    """Charges a card like a merchant, who sends a request again that was not answered; the payment's id."""
    request = {"amount": amount, "key": new_key(), "card": {**TEST_CARD, "number": new_card_number()}}

    def answered():
        answer = merchant.charge(**request)
        assert answer.status == 201 or answer.status in (409, 429) or answer.status >= 500, answer
        return answer.body["id"] if answer.status == 201 else None

    return until(answered, 300, "an answer to a charge")


def settled(cloud, region, payments):
    """The journals of these payments by their ids, once every one has both of its own."""
    wanted = set(payments)
    found = {
        (item["payment_id"], item["journal_id"]): item
        for item in cloud.items("ledger", region)
        if item["payment_id"] in wanted
    }
    captured = {payment_id for payment_id, journal_id in found if journal_id == "capture"}
    return found if captured == wanted and len(found) == 2 * len(wanted) else None


def sums(cloud, region):
    """What the whole ledger of a region adds up to."""
    journals = [StoredJournal.of(item).journal() for item in cloud.items("ledger", region)]
    return {key: nonzero(counters) for key, counters in projection.sums(journals).items()}


def balances(cloud, region):
    """What the projector of a region has summed up, over the lanes of each period."""
    found = {}
    for item in cloud.items("balances", region):
        if item["period"] != "-":  # the marks of how far it has come
            counters = found.setdefault((item.pop("account"), projection.without_lane(item.pop("period"))), Counter())
            counters.update({name: int(value) for name, value in item.items()})
    return {key: nonzero(counters) for key, counters in found.items()}


def nonzero(counters):
    return {name: int(value) for name, value in counters.items() if value}


def balanced(counters):
    return sum(projection.trial_balance(counters).values(), Balance()).balanced


def usd(amounts):
    return next(sum_["amount"] for sum_ in amounts if sum_["currency"] == "USD")
