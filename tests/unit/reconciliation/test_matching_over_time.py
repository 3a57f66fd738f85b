"""What comes early, late, twice or after it was forgotten; and every mistake that the matching has made, once each."""

from datetime import timedelta
from random import Random

import pytest

from functions.reconciliation import loading, pairs
from functions.reconciliation.disputes import dispute_of
from tests.unit.reconciliation.oracle import compare
from tests.unit.reconciliation.strategies import AS_OF, TERMS, fact, line, payment, world
from tests.unit.reconciliation.test_classes import captured, settled, told
from tests.unit.reconciliation.test_matching import agrees

PAID = payment("p1")
PLACE = PAID["shard"], "visa", "USD"
TAKEN = line("C1", "chargeback", 400, PAID, case_ref="case-1")


def after(days):
    return AS_OF + timedelta(days=days)


def test_a_line_may_be_there_before_its_fact(begin):
    runs = begin()
    runs.run(AS_OF, [], [[settled()]])
    assert told(runs) == {"L1": ("missing_in_ledger", 1000)}
    runs.run(after(1), [[captured()]])
    assert told(runs) == {"L1": ("matched", 0)}
    assert runs.booked == {(*PLACE, "captured"): 1000, (*PLACE, "fees"): 28}


def test_a_late_line_settles_what_was_missing(begin):
    runs = begin()
    runs.run(AS_OF, [[captured()]])
    runs.run(after(30))
    assert told(runs) == {"capture#": ("missing_at_network", 1000)}
    assert runs.claims == {("visa", "USD"): 1000}
    runs.run(after(31), [], [[settled()]])
    assert told(runs) == {"L1": ("matched", 0)}
    assert not runs.claims


def test_the_second_half_of_a_split_may_come_a_run_later(begin):
    runs = begin()
    runs.run(AS_OF, [[captured()]], [[settled("L1", 400, sequence=1, count=2)]])
    assert told(runs) == {"L1": ("partially_settled", 0)}
    assert runs.claims == {("visa", "USD"): 1000}
    runs.run(after(1), [], [[settled("L2", 600, fee=0, sequence=2, count=2)]])
    assert told(runs) == {"L1": ("matched", 0), "L2": ("matched", 0)}
    assert runs.booked[(*PLACE, "captured")] == 1000


def test_a_better_line_is_booked_instead_of_the_one_before(begin):
    runs = begin()
    runs.run(AS_OF, [[captured()]], [[settled("L1", fee=30)]])
    runs.run(after(1), [], [[settled("L0", settled_on=AS_OF - timedelta(days=5))]])
    assert told(runs) == {"L0": ("matched", 0), "L1": ("duplicate_at_network", 1000)}
    assert runs.booked == {(*PLACE, "captured"): 1000, (*PLACE, "fees"): 28}, "the difference of the fees is booked"


@pytest.mark.parametrize("days", [0, 1, 13])
def test_a_line_that_comes_again_changes_nothing_while_it_is_remembered(begin, days):
    runs = begin()
    fee = line("F1", "fee", 250)
    runs.run(AS_OF, [[captured()]], [[settled(), fee]])
    booked = runs.booked
    runs.run(after(days), [[captured()]], [[settled(file="file-2"), {**fee, "file": "file-2"}]])
    assert not [row for row in runs.results if row["changed"]]
    assert runs.booked == booked


@pytest.mark.parametrize("days", [14, 15, 60])
def test_a_line_that_comes_again_after_that_is_known_from_the_table(begin, days):
    runs = begin()
    runs.run(AS_OF, [[captured()]], [[settled()]])
    booked = runs.booked
    runs.run(after(days))
    runs.run(after(days), [], [[settled(file="file-2"), settled("L2")]], introduced=True)
    assert told(runs) == {"L1": ("matched", 0), "L2": ("duplicate_at_network", 1000)}
    assert [row["note"] for row in runs.open()] == ["settled_before"]
    assert runs.booked == booked


def test_a_line_for_what_was_decided_long_ago_is_a_duplicate(begin):
    runs = begin()
    runs.run(after(10), [[captured()]])
    runs.decide(runs.open()[0])
    runs.run(after(11))
    runs.run(after(40))
    runs.run(after(41), [], [[settled()]], introduced=True)
    assert told(runs) == {"capture#": ("resolved", 0), "L1": ("duplicate_at_network", 1000)}
    assert not runs.booked


CAPTURED = captured(movement="cap_1")
FAILED = fact(PAID, "failed_capture", 1000, AS_OF, "cap_1")
"""The network has taken the capture back, or never had it."""


@pytest.mark.parametrize("files", [[[CAPTURED, FAILED]], [[CAPTURED], [FAILED]], [[FAILED], [CAPTURED]]])
@pytest.mark.parametrize("days", [0, 13])
def test_a_capture_that_failed_is_nothing_that_is_missing(begin, files, days):
    runs = begin()
    for facts in files:
        runs.run(AS_OF, [facts])
    runs.run(after(days))
    assert not runs.told and not runs.claims and not runs.booked


def test_a_capture_that_failed_after_it_was_missed_is_missed_no_more(begin):
    runs = begin()
    runs.run(after(10), [[CAPTURED]])
    assert told(runs) == {"capture#cap_1": ("missing_at_network", 1000)}
    runs.run(after(11), [[FAILED]])
    assert not runs.told and not runs.claims


def test_a_line_for_a_capture_that_failed_is_at_risk_and_says_so(begin):
    runs = begin()
    runs.run(AS_OF, [[CAPTURED], [FAILED]])
    runs.run(after(1), [], [[settled(movement="cap_1")]])
    assert told(runs) == {"L1": ("missing_in_ledger", 1000)}
    assert [row["note"] for row in runs.open()] == ["capture_failed"]
    assert not runs.booked


@pytest.mark.parametrize("introduced", [False, True])
def test_what_was_settled_of_a_capture_that_failed_is_taken_out_of_the_books(begin, introduced):
    runs = begin()
    runs.run(AS_OF, [[CAPTURED]], [[settled(movement="cap_1")]])
    assert runs.booked
    again = settled("L2", movement="cap_1")
    runs.run(after(1), [[FAILED]], [[again]] if introduced else [], introduced=introduced)
    assert told(runs)["L1"] == ("missing_in_ledger", 1000)
    assert {row["note"] for row in runs.open()} == {"capture_failed"}
    assert not runs.booked and not runs.claims


@pytest.mark.parametrize("days", [[17], [13, 16, 17, 18]])
def test_a_capture_that_failed_and_is_fed_again_settles_no_line_however_late(begin, days):
    """Once the failure was forgotten its line was matched, and what the network had refused was booked."""
    runs = begin()
    runs.run(AS_OF, [[CAPTURED]], [[settled(movement="cap_1")]])
    runs.run(after(1), [[FAILED]])
    for day in days:
        runs.run(after(day))
    runs.run(after(days[-1]), [[CAPTURED]])
    assert told(runs) == {"L1": ("missing_in_ledger", 1000)}
    assert not runs.booked


def test_a_line_for_a_capture_that_was_decided_before_it_failed_stays_what_it_is(begin):
    runs = begin()
    runs.run(after(10), [[CAPTURED]])
    runs.decide(runs.open()[0])
    runs.run(after(11))
    runs.run(after(20), [[FAILED]])
    runs.run(after(27), [], [[settled(movement="cap_1")]], introduced=True)
    first = told(runs)
    assert first["L1"] == ("duplicate_at_network", 1000)
    runs.run(after(28))
    assert told(runs) == first


def test_what_was_decided_about_a_capture_before_it_failed_stays_decided(begin):
    runs = begin()
    runs.run(after(10), [[CAPTURED]])
    runs.decide(runs.open()[0])
    runs.run(after(11), [[FAILED]])
    assert told(runs) == {"capture#cap_1": ("resolved", 0)}
    assert not runs.claims


def test_only_the_capture_that_failed_is_taken_back(begin):
    runs = begin()
    others = [captured(movement="cap_2"), fact(PAID, "refund", 1000, AS_OF, "ref_1"), captured(movement="")]
    runs.run(AS_OF, [[CAPTURED, *others]])
    runs.run(after(1), [[FAILED]])
    assert sorted(told(runs)) == ["capture#", "capture#cap_2", "refund#ref_1"]


@pytest.mark.parametrize("captured_before", [True, False])
def test_what_is_reserved_again_and_then_forgotten_is_an_orphan(begin, captured_before):
    runs = begin()
    reserved, again = (fact(PAID, "authorization", 5000, day) for day in (AS_OF - timedelta(days=1), AS_OF))
    if captured_before:
        runs.run(AS_OF, [[reserved, CAPTURED]])
        runs.run(AS_OF, [[again, FAILED]])
    else:
        runs.run(AS_OF, [[reserved, CAPTURED, again, FAILED]])
    runs.run(after(8))
    assert told(runs) == ({} if captured_before else {"authorization#": ("orphan", 5000)})
    runs.run(after(9))
    assert told(runs) == {"authorization#": ("orphan", 5000)}


def test_an_orphan_that_was_captured_after_all_is_taken_back(begin):
    runs = begin()
    runs.run(AS_OF, [[fact(PAID, "authorization", 5000, AS_OF - timedelta(days=20))]])
    assert told(runs) == {"authorization#": ("orphan", 5000)}
    runs.run(after(1), [[captured()]])
    assert told(runs) == {"capture#": ("expected", 0)}


def test_once_the_payment_is_known_the_note_says_so(begin):
    """The table was not told, because the class was the same."""
    runs = begin()
    runs.run(AS_OF, [], [[settled(movement="cap_9")]])
    runs.run(AS_OF, [[captured()]])
    assert [row["note"] for row in runs.open()] == ["payment_known"]


def test_a_chargeback_whose_payment_becomes_known_is_kept_once(begin):
    """It was kept under the movement that it had before as well, for ever."""
    runs = begin()
    runs.run(AS_OF, [], [[TAKEN]])
    runs.run(AS_OF, [[captured()]])
    runs.run(AS_OF, [[fact(PAID, "chargeback", 400, AS_OF, dispute_of(PAID["merchant_id"], "case-1"))]])
    assert told(runs)["C1"] == ("matched", 0)
    for _ in range(2):
        runs.run(AS_OF)
        assert runs.results == [] or [row["record"] for row in runs.results] == ["capture#"]


def test_when_a_lesser_line_of_a_split_comes_the_expected_amount_stands_once(begin):
    """The line that was the least kept it in the table, because its class was the same."""
    runs = begin()
    runs.run(AS_OF, [[captured()]], [[settled("L2", 300, sequence=2, count=3)]])
    first = settled("L1", 300, sequence=1, count=3, settled_on=AS_OF - timedelta(days=5))
    runs.run(AS_OF, [], [[first]])
    assert {row["line_ref"]: row["expected"] for row in runs.told.values()} == {"L1": 1000, "L2": 0}


def test_a_batch_is_told_again_when_members_come_and_it_is_still_wrong(begin):
    """The table kept the difference that there was first."""
    runs = begin()
    batch = line("T1", "batch", 3000, {**PAID, "network_ref": ""}, batch_ref="B1")
    runs.run(AS_OF, [], [[batch]])
    runs.run(AS_OF, [[captured()]], [[settled(batch_ref="B1")]])
    assert told(runs)["T1"] == ("batch_mismatch", 2000)


@pytest.mark.parametrize("key", ["0::UBIGINT", "hash(network_ref) % 2", "hash(type)"])
@pytest.mark.parametrize("payments", [2, 25])
def test_texts_decide_where_hashes_collide(begin, monkeypatch, key, payments):
    for name in ("_ODD", "_ODD_LINES", "_ODD_FACTS", "_DECIDED"):
        assert loading.KEY in getattr(loading, name)
        monkeypatch.setattr(loading, name, getattr(loading, name).replace(loading.KEY, f"({key})"))
    monkeypatch.setattr(pairs, "KEY", f"({key})")
    for seed in range(2):
        made = world(Random(seed), payments)
        runs = begin()
        half = len(made.lines) // 2
        runs.run(AS_OF, [made.facts], [made.lines[:half]])
        runs.run(AS_OF, [], [made.lines[half:]])
        agrees(runs, compare(made.facts, made.lines, TERMS, AS_OF))


def test_a_line_and_a_fact_of_the_same_hash_are_not_taken_for_each_other(begin, monkeypatch):
    for name in ("_ODD", "_ODD_LINES", "_ODD_FACTS", "_DECIDED"):
        monkeypatch.setattr(loading, name, getattr(loading, name).replace(loading.KEY, "0::UBIGINT"))
    monkeypatch.setattr(pairs, "KEY", "0::UBIGINT")
    runs = begin()
    runs.run(AS_OF, [[captured()]], [[settled(paid=payment("p2"))]])
    assert told(runs) == {"capture#": ("expected", 0), "L1": ("missing_in_ledger", 1000)}
    runs.run(AS_OF, [], [[settled("L2")]])
    assert told(runs) == {"L1": ("missing_in_ledger", 1000), "L2": ("matched", 0)}
