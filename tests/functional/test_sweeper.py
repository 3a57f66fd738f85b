"""The sweeper: no accepted charge is lost."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ledger import app as ledger
from functions.sweeper import app, orphans
from payments import books, clock, events, lifecycle, regions
from payments.identifiers import merchant_shard
from tests.functional.samples import FRAUD, MERCHANT


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

    assert published == [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128, 129]


@given(st.lists(st.floats(50, 70), min_size=200, max_size=200), st.floats(0, 60))
def test_runs_that_come_early_or_late_skip_no_doubling(intervals, offset):
    start = datetime(2026, 11, 20, tzinfo=UTC)
    ages = [offset + sum(intervals[:count]) for count in range(len(intervals))]

    published = [age / 60 for age in ages if orphans.due(start, start + timedelta(seconds=age))]

    assert all(any(power <= age < 2 * power for age in published) for power in (2, 4, 8, 16, 32, 64))


def test_orphans_that_can_never_be_finished_do_not_hide_one_that_is_due(tables, new_charge, published, monkeypatch):
    monkeypatch.setattr(orphans, "_AT_ONCE", 1)
    stuck = clock.timestamp(datetime.now(UTC) - timedelta(minutes=100))
    for number in range(12):
        post(new_charge(key=f"stuck-{number}", created_at=stuck))
    fresh = post(new_charge(key="fresh"))

    assert orphans._sweep(merchant_shard(MERCHANT), datetime.now(UTC)) == 1

    assert [event["payment_id"] for _, event in published] == [fresh["payment_id"]]


def test_many_orphans_are_published_in_batches_that_eventbridge_takes(tables, new_charge, monkeypatch):
    sizes = []
    monkeypatch.setattr(events, "publish", lambda _, *found: sizes.append(len(found)))
    for number in range(23):
        post(new_charge(key=f"key-{number}"))

    assert orphans._sweep(merchant_shard(MERCHANT), datetime.now(UTC)) == 23
    assert sizes == [10, 10, 3]


def test_another_regions_shards_are_left_to_it(pending, published, monkeypatch):
    own = merchant_shard(MERCHANT)
    monkeypatch.setattr(regions, "primary", lambda shard: "us-west-2" if shard == own else "us-east-1")

    assert app.handler({}, None) == {"published": 0}
