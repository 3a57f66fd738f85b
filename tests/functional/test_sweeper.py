"""The sweeper: no accepted charge is lost."""

from datetime import UTC, datetime, timedelta

import pytest

from functions.ledger import app as ledger
from functions.sweeper import app, orphans
from payments import books, clock, events, lifecycle, regions
from payments.identifiers import merchant_shard

FRAUD = {"score": 3, "reasons": [], "model": "test", "degraded": False}
MERCHANT = "mer_" + "a" * 24


def post(charge):
    ledger.handler({"operation": "post", "charge": charge, "fraud": FRAUD}, None)
    return charge


@pytest.fixture
def published(monkeypatch):
    sent = []
    monkeypatch.setattr(events, "publish", lambda detail_type, *found: sent.extend((detail_type, e) for e in found))
    monkeypatch.setattr(regions, "primary", lambda shard: "us-east-1")
    return sent


def test_a_charge_pending_for_too_long_is_published_again(pending, published):
    assert app.handler({}, None) == {"published": 1}
    assert [(kind, event["payment_id"], event["sequence"]) for kind, event in published] == [
        ("charge_authorized", pending.payment_id, 1)
    ]


def test_the_event_is_the_one_the_saga_published(tables, new_charge, published):
    charge = new_charge()
    posted = ledger.handler({"operation": "post", "charge": charge, "fraud": FRAUD}, None)

    app.handler({}, None)

    assert published == [("charge_authorized", posted["event"])]


def test_a_fresh_charge_is_left_to_its_saga(tables, new_charge, published):
    post(new_charge(created_at=clock.now()))

    assert app.handler({}, None) == {"published": 0}


def test_a_decided_payment_is_no_orphan(pending, published):
    after, journal = lifecycle.decide(pending, lifecycle.Authorization(), "2026-11-23T10:00:01.000Z")
    books.decide(pending, after, journal)

    assert app.handler({}, None) == {"published": 0}


def test_an_orphan_is_published_often_at_first_and_ever_more_rarely():
    start = datetime(2026, 11, 20, tzinfo=UTC)

    published = [minute for minute in range(200) if orphans.due(start, start + timedelta(minutes=minute))]

    assert published == [0, 1, 2, 3, 4, 8, 16, 32, 64, 128]


def test_orphans_that_can_never_be_finished_do_not_hide_the_others(tables, new_charge, published, monkeypatch):
    monkeypatch.setattr(orphans, "_AT_ONCE", 3)
    monkeypatch.setattr(orphans, "due", lambda *_: True)
    ids = {post(new_charge(key=f"key-{number}"))["payment_id"] for number in range(6)}

    for _ in range(30):
        orphans._sweep(merchant_shard(MERCHANT), datetime.now(UTC))

    assert {event["payment_id"] for _, event in published} == ids


def test_another_regions_shards_are_left_to_it(pending, published, monkeypatch):
    own = merchant_shard(MERCHANT)
    monkeypatch.setattr(regions, "primary", lambda shard: "us-west-2" if shard == own else "us-east-1")

    assert app.handler({}, None) == {"published": 0}
