"""Balances: every journal counted once, however often its batch is delivered."""

import random

from boto3.dynamodb.types import TypeSerializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdk.stacks.workers import STREAM_BATCH
from functions.projector import app
from payments import clients
from payments.journal import Parties, Phase


def record(sequence, phase, amount, merchant="mer_a", currency="USD"):
    entries = [
        {
            "account": entry.account,
            "side": str(entry.side),
            "phase": str(entry.phase),
            "amount": entry.amount,
            "currency": entry.currency,
        }
        for entry in Parties.of(merchant, None).entries(phase, amount, currency)
    ]
    image = {"payment_id": f"pay_{sequence}", "journal_id": str(phase), "entries": entries}
    serialized = {name: TypeSerializer().serialize(value) for name, value in image.items()}
    return {"eventName": "INSERT", "dynamodb": {"SequenceNumber": str(sequence), "NewImage": serialized}}


def balances():
    items = clients.client("dynamodb").scan(TableName="balances")["Items"]
    return {
        (item["account"]["S"], item["currency"]["S"]): {
            name: int(value["N"]) for name, value in item.items() if name.startswith(("debits", "credits"))
        }
        for item in items
        if not item["account"]["S"].startswith("batch#")
    }


def test_pending_amounts_become_posted_or_voided(tables):
    app.handler(
        {
            "Records": [
                record(1, Phase.PENDING, 100),
                record(2, Phase.PENDING, 50),
                record(3, Phase.POSTED, 100),
                record(4, Phase.VOIDED, 50),
            ]
        },
        None,
    )

    assert balances()["merchant:mer_a", "USD"] == {"credits_pending": 0, "credits_posted": 100, "credits_voided": 50}
    assert balances()["customer:mer_a:guest", "USD"] == {"debits_pending": 0, "debits_posted": 100, "debits_voided": 50}


def test_a_batch_delivered_again_counts_once(tables):
    batch = {"Records": [record(10, Phase.PENDING, 100), record(11, Phase.POSTED, 100)]}

    app.handler(batch, None)
    before = balances()
    app.handler(batch, None)

    assert balances() == before


def test_a_batch_delivered_again_with_more_counts_only_what_is_new(tables):
    first, second = record(10, Phase.PENDING, 100), record(11, Phase.PENDING, 7)

    app.handler({"Records": [first]}, None)
    app.handler({"Records": [first, second]}, None)
    app.handler({"Records": [first, second]}, None)

    assert balances()["merchant:mer_a", "USD"] == {"credits_pending": 107}


def test_the_other_regions_copy_of_a_journal_is_not_counted_again(tables):
    first, copy = record(1, Phase.PENDING, 100), {**record(2, Phase.PENDING, 100), "eventName": "MODIFY"}

    app.handler({"Records": [first]}, None)
    app.handler({"Records": [copy]}, None)

    assert balances()["merchant:mer_a", "USD"] == {"credits_pending": 100}


def test_the_largest_batch_the_stream_delivers_fits_one_transaction(tables):
    records = [record(sequence, Phase.PENDING, 1, f"mer_{sequence}") for sequence in range(1, STREAM_BATCH + 1)]

    app.handler({"Records": records}, None)

    assert len(balances()) == 2 * STREAM_BATCH


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(min_value=0, max_value=2**32))
def test_any_delivery_of_any_batches_adds_up(tables, seed):
    chance = random.Random(seed)
    clear()
    amounts = [chance.randint(1, 1000) for _ in range(30)]
    records = [record(100 + n, Phase.PENDING, amount, chance.choice("xyz")) for n, amount in enumerate(amounts)]
    start = 0
    while start < len(records):
        size = chance.randint(1, 8)
        for _ in range(chance.randint(1, 3)):
            app.handler({"Records": records[start : start + size]}, None)
        start += size

    counted = balances()
    assert sum(counter.get("credits_pending", 0) for counter in counted.values()) == sum(amounts)
    assert sum(counter.get("debits_pending", 0) for counter in counted.values()) == sum(amounts)


def clear():
    dynamodb = clients.client("dynamodb")
    for item in dynamodb.scan(TableName="balances")["Items"]:
        dynamodb.delete_item(TableName="balances", Key={name: item[name] for name in ("account", "currency")})
