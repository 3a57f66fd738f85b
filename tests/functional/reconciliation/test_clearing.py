"""The drift: what the ledger's clearing accounts have, less what reconciliation holds open and what came after it."""

import gzip
import json
import time
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from functions.reconciliation import clearing
from functions.reconciliation.clearing import Clearing, ledger
from payments import clients, settlement
from tests.functional.reconciliation.world import stored

USD = ("visa", "USD")


@pytest.fixture
def patient(monkeypatch):
    """The report waits, and what happens meanwhile is up to the test."""
    monkeypatch.setenv("DRIFT_SECONDS", "60")
    meanwhile = []

    def sleep(seconds):
        meanwhile.pop(0)() if meanwhile else pytest.fail("waits for nothing")

    # Not for threads that other tests have left: time itself stays as it is.
    monkeypatch.setattr(clearing, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    return meanwhile


def compared(held, taken=(), disputes=()):
    return {(row["network"], row["currency"]): row for row in Clearing(held, taken, disputes).agree()}


def drift(*asked):
    return {place: row["drift"] for place, row in compared(*asked).items() if row["drift"]}


def test_a_ledger_without_journals_has_no_drift(world):
    assert compared({}) == {}
    assert drift({USD: 0}) == {}


def test_what_is_held_open_is_on_the_clearing_account(world):
    world.payment("a", 4200)
    world.payment("b", 1000, network="amex", currency="JPY")
    world.project()

    taken = world.feed()
    assert ledger() == {USD: 4200, ("amex", "JPY"): 1000}
    assert drift({USD: 4200, ("amex", "JPY"): 1000}, taken) == {}
    assert drift({USD: 4201}, taken) == {USD: -1, ("amex", "JPY"): 1000}


def test_lanes_and_days_are_summed(world):
    world.payment("a", 4200)
    world.project()
    world.now = "2026-11-24T00:00:00.000Z"
    world.payment("b", 300)
    world.project()
    (item,) = [found for found in stored("balances") if "network:visa" in str(found) and "4200" in str(found)]
    clients.client("dynamodb").put_item(TableName="balances", Item={**item, "period": {"S": "USD#2026-11-23#7"}})

    assert ledger() == {USD: 8700}


def test_what_was_fed_after_the_run_had_taken_its_feed_is_no_drift(world):
    world.payment("a", 4200)
    world.project()
    taken = world.feed()
    world.payment("b", 300)
    world.project()

    assert drift({USD: 4200}, taken) == {}


def test_what_is_fed_twice_counts_once(world):
    world.payment("a", 4200)
    world.project()
    (key,) = world.feed()
    world.put(key.replace(".jsonl", "-more.jsonl"), world.objects()[key])

    assert drift({}) == {}


def test_a_dispute_that_the_run_has_opened_is_held_by_it_already(world):
    world.payment("a", 4200)
    world.project()
    taken = world.feed()
    named = "net_x", "pay_x", "mer_x", 1, "dsp_x", settlement.FactKind.CHARGEBACK, "dsp_x"
    fact = settlement.Fact(*named, "visa", "USD", 4200, 0, world.now)
    world.put("feed/2026-11-23/dispute.jsonl.gz", gzip.compress(json.dumps(asdict(fact)).encode() + b"\n"))

    assert drift({USD: 4200}, taken, {"dsp_x"}) == {}
    assert drift({USD: 4200}, taken) == {USD: 4200}


def test_a_settlement_is_taken_off_only_once(world):
    """What earlier runs have settled they hold open no longer: their journals in the feed add nothing."""
    world.payment("a", 4200)
    world.settle(4200)
    world.project()

    assert ledger() == {USD: 0}
    assert drift({USD: 0}, world.feed()) == {}
    assert drift({USD: -4200}) == {}, "the capture is what came later"


def test_a_journal_that_was_not_counted_is_drift(world):
    payment = world.payment("a", 4200)
    world.lost = {payment.payment_id}
    world.project()

    assert drift({USD: 4200}, world.feed()) == {USD: -4200}


def test_a_reversed_settlement_is_drift(world):
    world.payment("a", 4200)
    journal = world.settle(4200)
    world.book(kind="reversal", payment_id=journal["payment_id"], journal_id=journal["journal_id"], reason="wrong")
    world.project()

    assert drift({USD: 0}, world.feed()) == {USD: 4200}


def test_a_damaged_object_stops_nothing(world):
    world.put("feed/2026-11-23/damaged.jsonl.gz", b"no gzip")
    world.put("feed/2026-11-23/worse.jsonl.gz", gzip.compress(b'{"kind": 1}\n'))

    assert drift({}) == {}


def test_the_report_waits_for_the_projector(world, patient):
    world.payment("a", 4200)
    world.project()
    taken = world.feed()
    world.settle(4200)
    patient += [lambda: None, world.project]

    assert drift({USD: 0}, taken) == {}
    assert not patient


def test_the_report_does_not_wait_for_ever(world, patient, monkeypatch):
    world.payment("a", 4200)
    world.project()
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(clearing.time, "monotonic", lambda: next(clock))
    patient += [lambda: None] * 5

    assert drift({USD: 1}, world.feed()) == {USD: 4199}
