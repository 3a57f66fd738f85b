"""The sweeper: no accepted charge is lost."""

import pytest

from functions.sweeper import app
from payments import events, regions
from payments.identifiers import merchant_shard

FRAUD = {"score": 3, "reasons": [], "model": "test", "degraded": False}
MERCHANT = "mer_" + "a" * 24


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
    from functions.ledger import app as ledger

    posted = ledger.handler({"operation": "post", "charge": new_charge(), "fraud": FRAUD}, None)

    app.handler({}, None)

    assert published == [("charge_authorized", posted["event"])]


def test_a_fresh_charge_is_left_to_its_saga(tables, new_charge, published):
    from functions.ledger import app as ledger
    from payments import clock

    ledger.handler({"operation": "post", "charge": new_charge(created_at=clock.now()), "fraud": FRAUD}, None)

    assert app.handler({}, None) == {"published": 0}


def test_a_decided_payment_is_no_orphan(pending, published):
    from payments import books, lifecycle

    after, journal = lifecycle.decide(pending, lifecycle.Authorization(), "2026-11-23T10:00:01.000Z")
    books.decide(pending, after, journal)

    assert app.handler({}, None) == {"published": 0}


def test_another_regions_shards_are_left_to_it(pending, published, monkeypatch):
    own = merchant_shard(MERCHANT)
    monkeypatch.setattr(regions, "primary", lambda shard: "us-west-2" if shard == own else "us-east-1")

    assert app.handler({}, None) == {"published": 0}
