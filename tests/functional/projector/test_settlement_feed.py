"""The feed of settlement: an object per chunk and day, named by what is in it, and nothing where there are no facts."""

import gzip
import os

import pytest
from botocore.exceptions import ClientError

from functions.projector import app, chunks, settlement_feed
from payments import accounts, clients, identifiers, lifecycle
from payments.journal import Kind, Phase, transfer
from payments.lifecycle import Authorization
from tests.functional.audit.conftest import payment
from tests.functional.projector import stream
from tests.functional.projector.stream import DAYS, THERE, deliver, item, journal, merchant, record

BUCKET = os.environ["RECONCILIATION_BUCKET"]


def captured(n, at=DAYS[1], region="us-east-1"):
    """The journal of a capture at once."""
    begun = payment(f"key-{n}", merchant(n), 100 + n, at)
    return item(lifecycle.decide(begun, Authorization(), at)[1], region)


def test_a_capture_is_told_with_all_that_reconciliation_needs(tables):
    deliver([record(7, captured(1))])

    reference = identifiers.payment_id(merchant(1), "key-1")
    assert stream.settlement_feed() == {
        f"feed/2026-11-23/{7:040d}-{7:040d}.jsonl.gz": [
            {
                "network_ref": identifiers.network_reference(reference),
                "payment_id": reference,
                "merchant_id": merchant(1),
                "shard": identifiers.merchant_shard(merchant(1)),
                "journal_id": "capture",
                "kind": "capture",
                "movement": "",
                "network": "visa",
                "currency": "USD",
                "amount": 101,
                "fee": 33,
                "at": DAYS[1],
            }
        ]
    }


def test_a_day_has_an_object_of_its_own(tables):
    deliver([record(1, captured(1, DAYS[0])), record(2, captured(2, DAYS[1])), record(3, captured(3, DAYS[0]))])

    name = f"{1:040d}-{3:040d}.jsonl.gz"
    told = {key: [fact["amount"] for fact in facts] for key, facts in stream.settlement_feed().items()}
    assert told == {f"feed/2026-11-22/{name}": [101, 103], f"feed/2026-11-23/{name}": [102]}


def test_what_the_other_region_wrote_is_told_here_too(tables):
    deliver([record(1, captured(1, region=THERE))])
    assert len(stream.settlement_feed()) == 1


def test_nothing_is_put_where_nothing_concerns_a_network(tables):
    deliver([record(1, item(journal(1))), record(2, {"payment_id": "no journal at all", "journal_id": "x"})])
    assert stream.settlement_feed() == {}


def test_an_unbalanced_journal_is_told_as_it_is_counted(tables):
    wrong = captured(1)
    deliver([record(1, {**wrong, "entries": [line for line in wrong["entries"] if "network" in line["account"]]})])

    ((fact,),) = stream.settlement_feed().values()
    assert (fact["kind"], fact["amount"], fact["merchant_id"]) == ("capture", 101, None)


def test_a_batch_that_is_repeated_puts_the_same_bytes_under_the_same_keys(tables, monkeypatch):
    monkeypatch.setattr(chunks, "MOST_BALANCES", 6)
    batch = [record(n, captured(n)) for n in range(1, 10)]
    deliver(batch)
    s3 = clients.client("s3", read_timeout=10)
    before = {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in stream.settlement_feed()}

    deliver(batch)

    after = {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in stream.settlement_feed()}
    assert after == before
    assert len(after) > 1, "one chunk would prove little"
    assert gzip.decompress(next(iter(after.values()))).endswith(b"\n")


def test_a_shorter_delivery_that_comes_late_takes_nothing_away(tables):
    """The one before it has counted more records from the same one on, and nobody will deliver those again."""
    batch = [record(n, captured(n)) for n in range(1, 10)]
    deliver(batch)
    deliver(batch[:3])

    told = {fact["payment_id"] for facts in stream.settlement_feed().values() for fact in facts}
    assert len(told) == 9


def test_what_is_counted_and_not_told_is_told_by_the_next_delivery(tables):
    batch = [record(n, captured(n)) for n in range(1, 4)]
    clients.client("s3", read_timeout=10).delete_bucket(Bucket=BUCKET)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        deliver(batch)
    counted = stream.balances()
    clients.client("s3", read_timeout=10).create_bucket(Bucket=BUCKET)

    deliver(batch)

    assert stream.balances() == counted != {}
    assert sum(map(len, stream.settlement_feed().values())) == 3


def test_no_client_of_s3_is_made_before_there_is_something_to_tell(tables, monkeypatch):
    asked = []
    monkeypatch.setattr(settlement_feed, "client", lambda *names, **_: asked.append(names))
    deliver([record(1, item(journal(1)))])
    assert asked == []


def test_settlements_are_told_without_a_payment(tables):
    entries = transfer(accounts.BANK, accounts.network("visa"), 5000, "USD", Phase.POSTED)
    made = journal(1)
    settled = {
        **item(made),
        "payment_id": identifiers.settlement_id(17, "run#3"),
        "kind": str(Kind.SETTLEMENT),
        "entries": [
            {name: getattr(line, name) for name in ("account", "side", "phase", "amount", "currency")}
            for line in entries
        ],
    }
    app.handler({"Records": [record(1, settled)]}, None)

    ((fact,),) = stream.settlement_feed().values()
    assert (fact["kind"], fact["network_ref"], fact["shard"], fact["amount"]) == ("settlement", "", 17, 5000)
