"""Promise 3: a card number never leaves the vault. One goes everywhere it can; then everything is searched."""

import json

import httpx
import pytest

from local.client import TEST_CARD, TimedOut
from local.hunt import Places, disguises, dump
from tests.e2e.cloud import FIRST, SECOND, new_key

PAN = "4000056655665556"
CARD = {**TEST_CARD, "number": PAN, "cvc": "737"}
TAP = "canary-tap"
RAISES = "def handler(event, context):\n    raise RuntimeError(f'crashed with {event}')\n"


NEEDLES = disguises(PAN)


def found_in(content):
    return any(needle in content for needle in NEEDLES)


def places(cloud):
    return Places(cloud.aws, cloud.home, cloud.endpoints)


@pytest.fixture(scope="module")
def tapped(cloud):
    """A queue in each region that gets a copy of every event of the bus."""
    for region in (FIRST, SECOND):
        url = cloud.aws("sqs", region).create_queue(QueueName=TAP)["QueueUrl"]
        arn = cloud.aws("sqs", region).get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        events = cloud.aws("events", region)
        events.put_rule(Name=TAP, EventBusName="payments", EventPattern=json.dumps({"source": [{"exists": True}]}))
        events.put_targets(Rule=TAP, EventBusName="payments", Targets=[{"Id": TAP, "Arn": arn}])
    return cloud


@pytest.fixture(scope="module")
def driven(tapped):
    """The card has been through success, decline, block, crash and bad input, in both regions."""
    for region in (FIRST, SECOND):
        drive(tapped, region)
    return tapped


def drive(cloud, region):
    merchant, writes = cloud.merchant(region), cloud.primary()
    succeeded = merchant.charge(amount=1900, card=CARD).body["id"]
    declined = merchant.charge(amount=1905, card=CARD).body["id"]
    assert merchant.settled(succeeded)["status"] == "succeeded"
    assert merchant.settled(declined)["status"] == "failed"
    cloud.webhook(succeeded)
    blocks = (
        "def handler(event, context):\n    return {**real(event, context), 'decision': 'block', 'reasons': ['test']}\n"
    )
    with cloud.broken("payments-fraud", blocks, writes):
        assert merchant.charge(amount=1901, card=CARD).status == 402
    for function in ("payments-vault-tokenize", "payments-fraud", "payments-ledger", "payments-vault-release"):
        with cloud.broken(function, RAISES, writes):
            merchant.charge(amount=1902, card=CARD)
    with cloud.broken("payments-network", RAISES, writes):
        crashed = merchant.charge(amount=1903, card=CARD).body["id"]
        with pytest.raises(TimedOut):
            merchant.settled(crashed, 3)
    bad_inputs(cloud, region)


def bad_inputs(cloud, region):
    merchant = cloud.merchant(region)
    spaced = " ".join(PAN[start : start + 4] for start in range(0, 16, 4))
    for change in (
        {"description": PAN},
        {"metadata": {"note": spaced}},
        {"metadata": {PAN: "x"}},
        {"customer": {"id": PAN}},
        {"device": {"fingerprint": PAN}},
        {"unknown": PAN},
        {"amount": int(PAN)},
        {"currency": PAN},
        {"token": PAN, "card": None},
        {"sealed_card": PAN, "card": None},
        {"card": {**CARD, "number": int(PAN)}},
        {"card": {**CARD, "exp_month": "13"}},
        {"card": {**CARD, "holder": PAN}},
        {"card": {**CARD, "exp_year": 2020}},
        {"card": {**CARD, "cvc": PAN}},
        {"card": {**CARD, "number": spaced, "exp_month": 13}},
        {"card": PAN},
        {"card": [PAN]},
    ):
        answer = merchant.charge(**{"card": CARD, **change})
        assert answer.status in (400, 402), (change, answer)
        assert not found_in(dump(answer.body)), change
    stored = merchant.store_card(card=CARD)
    assert stored.status == 201
    assert not found_in(dump(stored.body))
    for body in (
        {"card": CARD, "description": PAN},
        {"sealed_card": PAN},
        {"token": PAN},
        {"card": {**CARD, "cvc": PAN}},
    ):
        refused = merchant.store_card(**body)
        assert refused.status in (400, 402), body
        assert not found_in(dump(refused.body)), body
    deleted = merchant.delete_card(PAN)
    assert deleted.status == 404
    assert not found_in(dump(deleted.body))
    assert merchant.charge(key=PAN, card=CARD).status == 400
    assert merchant.payment(PAN).status == 404
    url, key = cloud.endpoints["regions"][region]["api"], cloud.endpoints["merchant"]["api_key"]
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": new_key()}
    broken = f'{{"amount": 1, "card": {{"number": "{PAN}"'
    for content in (broken, f'"{PAN}"', PAN, f"[{PAN}]", f"card={PAN}"):
        answer = httpx.post(
            f"{url}/api/v1/payments/charge", content=content, headers=headers, timeout=60, trust_env=False
        )
        assert answer.status_code == 400
        assert not found_in(answer.content)


def test_the_number_is_nowhere_outside_the_vaults_ciphertext(driven):
    stored = [
        region
        for region in (FIRST, SECOND)
        if any(item.get("last4") == "5556" for item in driven.items("vault-tokens", region))
    ]

    assert stored == [FIRST, SECOND], "the card is in the vault of both regions"
    assert places(driven).hits([PAN], (FIRST, SECOND)) == []


def test_the_hunt_finds_what_is_there(driven):
    dynamodb = driven.aws("dynamodb", SECOND)
    key = {"account": {"S": "planted"}, "period": {"S": "-"}}
    planted = [needle.decode() for needle in NEEDLES]
    for needle in planted:
        dynamodb.put_item(TableName="balances", Item={**key, "note": {"S": f"xx{needle}yy"}})
        assert f"{SECOND} table balances" in {
            name for name, content in places(driven).tables(SECOND) if found_in(content)
        }
    dynamodb.delete_item(TableName="balances", Key=key)
    url = driven.aws("sqs", FIRST).get_queue_url(QueueName=TAP)["QueueUrl"]
    driven.aws("sqs", FIRST).send_message(QueueUrl=url, MessageBody=PAN)
    assert any(found_in(content) for _, content in places(driven).queues(FIRST))
    names = {name for name, _ in places(driven).everywhere((FIRST, SECOND))}
    kinds = {name.split()[1] if name.startswith("us-") else name.split()[0] for name in names}
    assert {"table", "log", "execution", "object", "file", "card_network", "webhook_inbox"} <= kinds
