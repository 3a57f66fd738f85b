"""Every branch of the saga, with real functions of which one is broken on purpose."""

import time

import pytest

from local.client import TEST_CARD, new_card_number
from tests.e2e.cloud import names_of, new_key, until

AMEX = {**TEST_CARD, "number": "378282246310005", "cvc": "1234"}
RAISES = "def handler(event, context):\n    raise RuntimeError('broken on purpose')\n"


def fresh():
    """A card of this charge's own: what other tests charge shall not make it look like fraud."""
    return {**TEST_CARD, "number": new_card_number()}


@pytest.fixture
def region(cloud):
    """The region that writes for the demo merchant."""
    return cloud.primary()


@pytest.fixture(autouse=True)
def books_balance(cloud):
    """Whatever a test does to the platform, the books balance after it."""
    yield
    cloud.assert_books_balance()


def holders(cloud, region, card):
    """Which saga runs hold the card's token, and whether it was ever used."""
    (item,) = cloud.holdings(card["number"][-4:], region)
    return set(item.get("holders", ())), "used_at" in item


def payment_id(cloud, key):
    from payments.identifiers import payment_id

    return payment_id(cloud.endpoints["merchant"]["id"], key)


def test_an_invalid_card_leaves_nothing(cloud, region):
    key = new_key()
    tokens = len(cloud.items("vault-tokens", region))

    answer = cloud.merchant(region).charge(key=key, card={**TEST_CARD, "number": "4242424242424241"})

    assert (answer.status, answer.body["error"]["type"]) == (402, "card_error")
    assert cloud.stored_payment(payment_id(cloud, key), region) is None
    assert cloud.journals(payment_id(cloud, key), region) == []
    assert len(cloud.items("vault-tokens", region)) == tokens


def test_a_blocked_charge_releases_its_token_and_has_no_journal(cloud, region):
    key, card = new_key(), {**TEST_CARD, "number": "6011111111111117"}
    blocks = (
        "def handler(event, context):\n    return {**real(event, context), 'decision': 'block', 'reasons': ['test']}\n"
    )

    with cloud.broken("payments-fraud", blocks, region):
        answer = cloud.merchant(region).charge(key=key, card=card)

    assert (answer.status, answer.body["error"]["code"]) == (402, "fraud_blocked")
    assert cloud.stored_payment(payment_id(cloud, key), region)["status"] == "fraud_blocked"
    assert cloud.journals(payment_id(cloud, key), region) == []
    assert holders(cloud, region, card) == (set(), False)


def test_the_decision_counts_and_not_the_score(cloud, region):
    """A merchant's own limits, or a rule, may let a charge pass that others would lose."""
    scores = "def handler(event, context):\n    return {**real(event, context), 'score': 99, 'decision': 'allow'}\n"

    with cloud.broken("payments-fraud", scores, region):
        assert cloud.merchant(region).charge(amount=1300, card=fresh()).status == 201


def test_a_failing_fraud_function_lets_the_charge_through_for_review(cloud, region):
    merchant = cloud.merchant(region)

    with cloud.broken("payments-fraud", RAISES, region):
        answer = merchant.charge(amount=1400, card=fresh())

    assert (answer.status, answer.body["review"]) == (201, True)
    assert merchant.settled(answer.body["id"])["status"] == "succeeded"


def test_a_failing_ledger_releases_the_token_and_a_retry_finishes_the_payment(cloud, region):
    merchant, key, card = cloud.merchant(region), new_key(), {**TEST_CARD, "number": "30569309025904"}
    fails = (
        "def handler(event, context):\n    if event['operation'] == 'post':\n        raise RuntimeError('broken')\n"
        "    return real(event, context)\n"
    )

    with cloud.broken("payments-ledger", fails, region):
        answer = merchant.charge(key=key, card=card)

    assert (answer.status, answer.body["error"]["type"]) == (503, "api_error")
    assert cloud.journals(payment_id(cloud, key), region) == []
    assert merchant.payment(payment_id(cloud, key)).status == 404
    assert holders(cloud, region, card) == (set(), False)
    retried = merchant.charge(key=key, card=card)
    assert (retried.status, retried.body["id"]) == (201, payment_id(cloud, key))
    assert merchant.settled(retried.body["id"])["status"] == "succeeded"


def test_a_ledger_that_fails_after_its_write_goes_forward(cloud, region):
    merchant, card = cloud.merchant(region), AMEX
    fails_after = (
        "def handler(event, context):\n    answer = real(event, context)\n"
        "    if event['operation'] == 'post':\n        raise RuntimeError('after the write')\n    return answer\n"
    )

    with cloud.broken("payments-ledger", fails_after, region):
        answer = merchant.charge(card=card)

    assert answer.status == 201, answer.body
    assert "AbandonCharge" in cloud.saga_states(answer.body["id"], region)
    assert merchant.settled(answer.body["id"])["status"] == "succeeded"
    assert names_of(cloud.journals(answer.body["id"], region)) == ["authorization", "capture"]
    assert holders(cloud, region, card)[1], "the token was used, so it is kept"


def test_a_ledger_that_times_out_after_its_write_goes_forward(cloud, region):
    merchant = cloud.merchant(region)
    hangs = (
        "import time\ndef handler(event, context):\n    answer = real(event, context)\n"
        "    if event['operation'] == 'post':\n        time.sleep(14)\n    return answer\n"
    )

    with cloud.broken("payments-ledger", hangs, region):
        answer = merchant.charge(amount=1600, card=fresh())

    assert answer.status == 201, answer.body
    assert "AbandonCharge" in cloud.saga_states(answer.body["id"], region)
    assert merchant.settled(answer.body["id"])["status"] == "succeeded"
    assert names_of(cloud.journals(answer.body["id"], region)) == ["authorization", "capture"]


def test_a_ledger_that_is_down_for_good_loses_nothing(cloud, region):
    merchant, key, card = cloud.merchant(region), new_key(), fresh()

    with cloud.broken("payments-ledger", RAISES, region):
        answer = merchant.charge(key=key, card=card)

    assert answer.status == 503
    assert merchant.charge(key=key, card=card).status == 201


def test_a_charge_that_could_not_be_published_stays_pending_until_the_sweeper_finds_it(cloud, region):
    merchant = cloud.merchant(region)

    with cloud.unable_to_publish(region):
        answer = merchant.charge(amount=1700, card=fresh())

    assert (answer.status, answer.body["status"]) == (201, "pending")
    time.sleep(5)
    assert merchant.payment(answer.body["id"]).body["status"] == "pending", "nobody took it to the network"
    until(lambda: merchant.payment(answer.body["id"]).body["status"] == "succeeded", 180, "the sweeper")
    assert names_of(cloud.journals(answer.body["id"], region)) == ["authorization", "capture"]
