"""One example of each class, and of each rule (docs/reconciliation.md, "Classes")."""

from datetime import timedelta

import pytest

from functions.reconciliation.disputes import dispute_of
from functions.reconciliation.exchange import OpenedDispute
from tests.unit.reconciliation.strategies import AS_OF, fact, line, payment

PAID = payment("p1")
LENIENT = payment("p2", "mastercard")
"""Two units less or more are tolerated, after two days it is due."""

REF = PAID["network_ref"]
EARLIER, DUE, LATE = (AS_OF - timedelta(days=days) for days in (1, 3, 4))
"""The last is the day of a movement that is due and has no line."""


def captured(amount=1000, day=EARLIER, movement="", paid=PAID):
    return fact(paid, "capture", amount, day, movement)


def settled(name="L1", amount=1000, paid=PAID, fee=28, **more):
    return line(name, "capture", amount, paid, fee=fee, **more)


def told(runs):
    """Class and amount at risk by the line's reference, or by the record that has no line."""
    return {row["line_ref"] or row["record"]: (row["class"], row["at_risk"]) for row in runs.told.values()}


def of_run(begin, facts, lines, as_of=AS_OF):
    runs = begin()
    runs.run(as_of, [facts], [lines])
    return runs


def test_matched_a_line_settles_its_movement(begin):
    runs = of_run(begin, [captured()], [settled()])
    assert told(runs) == {"L1": ("matched", 0)}
    place = PAID["shard"], "visa", "USD"
    assert runs.booked == {(*place, "captured"): 1000, (*place, "fees"): 28}
    assert not runs.claims


def test_matched_within_the_tolerance_and_told_so(begin):
    runs = of_run(begin, [captured(paid=LENIENT)], [settled(amount=998, paid=LENIENT, fee=23)])
    (row,) = runs.told.values()
    assert (row["class"], row["tolerated"], row["difference"], row["at_risk"]) == ("matched", True, -2, 0)
    assert runs.booked[LENIENT["shard"], "mastercard", "USD", "written_off"] == 2


@pytest.mark.parametrize(("amount", "name"), [(997, "amount_mismatch"), (998, "matched"), (1003, "amount_mismatch")])
def test_amount_mismatch_from_the_first_unit_over_the_tolerance(begin, amount, name):
    runs = of_run(begin, [captured(paid=LENIENT)], [settled(amount=amount, paid=LENIENT, fee=23)])
    assert told(runs) == {"L1": (name, 0 if name == "matched" else 3)}


def test_expected_until_it_is_due_and_then_missing_at_network(begin):
    assert told(of_run(begin, [captured(day=DUE)], [])) == {"capture#": ("expected", 0)}
    runs = of_run(begin, [captured(day=LATE)], [])
    assert told(runs) == {"capture#": ("missing_at_network", 1000)}
    assert runs.claims == {("visa", "USD"): 1000}


def test_a_journal_without_a_readable_day_is_due_at_once(begin):
    assert told(of_run(begin, [captured(day="soon")], [])) == {"capture#": ("missing_at_network", 1000)}


def test_partially_settled_until_it_is_due_and_then_missing_at_network(begin):
    half = settled(amount=400, sequence=1, count=2)
    assert told(of_run(begin, [captured(day=DUE)], [half])) == {"L1": ("partially_settled", 0)}
    assert told(of_run(begin, [captured(day=LATE)], [half])) == {"L1": ("missing_at_network", 600)}


def test_matched_when_all_of_a_split_is_there(begin):
    halves = [settled("L1", 400, sequence=1, count=2), settled("L2", 600, fee=0, sequence=2, count=2)]
    runs = of_run(begin, [captured()], halves)
    assert told(runs) == {"L1": ("matched", 0), "L2": ("matched", 0)}
    assert sum(row["expected"] for row in runs.told.values()) == 1000, "it stands on the least line only"


def test_missing_in_ledger_says_whether_the_payment_is_known(begin):
    stranger = {**PAID, "network_ref": "net_stranger"}
    runs = of_run(begin, [captured()], [settled("L1", movement="cap_9"), settled("L2", paid=stranger)])
    notes = {row["line_ref"]: row["note"] for row in runs.told.values() if row["class"] == "missing_in_ledger"}
    assert notes == {"L1": "payment_known", "L2": "payment_unknown"}
    assert told(runs)["L1"] == ("missing_in_ledger", 1000)


def test_currency_mismatch_settles_nothing(begin):
    runs = of_run(begin, [captured()], [settled(currency="EUR")])
    assert told(runs) == {"L1": ("currency_mismatch", 1000), "capture#": ("expected", 0)}
    assert not runs.booked


def test_duplicate_at_network_is_what_fits_no_better(begin):
    wrong_but_earlier = settled("L1", 900, settled_on=EARLIER - timedelta(days=1))
    runs = of_run(begin, [captured()], [wrong_but_earlier, settled("L2"), settled("L3", settled_on=AS_OF)])
    assert told(runs) == {
        "L1": ("duplicate_at_network", 900),
        "L2": ("matched", 0),
        "L3": ("duplicate_at_network", 1000),
    }


def test_a_whole_line_comes_before_a_split_one(begin):
    runs = of_run(begin, [captured()], [settled("L1", 400, sequence=1, count=2), settled("L2")])
    assert told(runs) == {"L1": ("duplicate_at_network", 400), "L2": ("matched", 0)}


def test_fee_mismatch_is_booked_as_it_came(begin):
    runs = of_run(begin, [captured()], [settled(fee=30)])
    assert told(runs) == {"L1": ("fee_mismatch", 2)}
    assert runs.booked[PAID["shard"], "visa", "USD", "fees"] == 30
    assert told(of_run(begin, [captured()], [settled(fee=29)])) == {"L1": ("matched", 0)}, "one unit is tolerated"


def test_network_fee_is_booked_and_compared_with_nothing(begin):
    runs = of_run(begin, [], [line("F1", "fee", 250, fee=-3)])
    assert told(runs) == {"F1": ("network_fee", 0)}
    assert runs.booked == {(7, "visa", "USD", "fees"): 247}


def batch_of(amount):
    return line("T1", "batch", amount, {**PAID, "network_ref": ""}, batch_ref="B1")


@pytest.mark.parametrize(("amount", "name", "at_risk"), [(700, "batch", 0), (705, "batch_mismatch", 5)])
def test_batch_is_the_sum_of_its_members(begin, amount, name, at_risk):
    refund = fact(PAID, "refund", 300, EARLIER, "ref_1")
    members = [settled(batch_ref="B1"), line("L2", "refund", 300, PAID, movement="ref_1", batch_ref="B1")]
    runs = of_run(begin, [captured(), refund], [*members, batch_of(amount)])
    assert told(runs) == {"L1": ("matched", 0), "L2": ("matched", 0), "T1": (name, at_risk)}
    assert runs.booked[PAID["shard"], "visa", "USD", "captured"] == 1000, "money is counted by the members"


def test_orphan_is_neither_captured_nor_released_after_eight_days(begin):
    authorized = fact(PAID, "authorization", 5000, AS_OF - timedelta(days=9))
    assert told(of_run(begin, [authorized], [])) == {"authorization#": ("orphan", 5000)}
    assert told(of_run(begin, [authorized], [], AS_OF - timedelta(days=1))) == {}
    assert told(of_run(begin, [authorized, fact(PAID, "release", 5000, AS_OF)], [])) == {}


def test_resolved_is_what_an_operator_has_decided(begin):
    runs = of_run(begin, [captured(day=LATE)], [])
    runs.decide(runs.open()[0])
    runs.run(AS_OF)
    assert told(runs) == {"capture#": ("resolved", 0)}
    assert not runs.claims, "the decision has booked it"


def test_a_line_for_what_was_decided_is_a_duplicate(begin):
    runs = of_run(begin, [captured(day=LATE)], [])
    runs.decide(runs.open()[0])
    runs.run(AS_OF, [], [[settled()]])
    assert told(runs) == {"capture#": ("resolved", 0), "L1": ("duplicate_at_network", 1000)}
    assert [row["note"] for row in runs.open()] == ["decided"]
    assert not runs.booked


def test_a_better_line_does_not_settle_what_was_decided_by_another(begin):
    runs = of_run(begin, [captured()], [settled("L1", 900)])
    runs.decide(runs.open()[0])
    runs.run(AS_OF, [], [[settled("L2")]])
    assert told(runs) == {"L1": ("resolved", 0), "L2": ("duplicate_at_network", 1000)}
    assert not runs.booked
    assert not runs.claims


def test_a_decided_fee_stays_booked_as_it_came(begin):
    runs = of_run(begin, [captured()], [settled(fee=100)])
    runs.decide(runs.open()[0])
    booked = runs.booked
    runs.run(AS_OF, [], [[settled("L0", settled_on=EARLIER - timedelta(days=1))]])
    assert told(runs) == {"L1": ("resolved", 0), "L0": ("duplicate_at_network", 1000)}
    assert runs.booked == booked


def test_no_dispute_is_opened_for_a_chargeback_that_was_decided(begin):
    taken = line("L1", "chargeback", 400, PAID, case_ref="case-1")
    runs = of_run(begin, [captured()], [taken])
    runs.decide(next(row for row in runs.open() if row["line_ref"] == "L1"))
    runs.run(AS_OF, answer=lambda wanted: None)
    assert runs.wanted == []


def test_a_chargeback_opens_its_dispute_and_settles_it(begin):
    taken = line("L1", "chargeback", 400, PAID, case_ref="case-1", reason="fraud")
    dispute = dispute_of(PAID["merchant_id"], "case-1")
    runs = begin()

    def opened(wanted):
        assert (wanted.network_ref, wanted.case_ref, wanted.reason) == (REF, "case-1", "fraud")
        return OpenedDispute(wanted.line_id, dispute, 400, "USD", f"{AS_OF}T10:00:00Z")

    runs.run(AS_OF, [[captured()]], [[settled("L2"), taken]], opened)
    assert told(runs) == {"L1": ("matched", 0), "L2": ("matched", 0)}
    assert runs.booked[PAID["shard"], "visa", "USD", "returned"] == 400
    runs.run(AS_OF, [[fact(PAID, "chargeback", 400, AS_OF, dispute)]])
    assert runs.booked[PAID["shard"], "visa", "USD", "returned"] == 400, "its fact is no further movement"


def test_a_refused_dispute_stays_missing_in_the_ledger_with_the_refusal(begin):
    taken = line("L1", "chargeback", 400, PAID, case_ref="case-1")
    runs = begin()
    runs.run(AS_OF, [[captured()]], [[taken]], lambda wanted: OpenedDispute(wanted.line_id, refusal="amount_too_large"))
    row = next(row for row in runs.open() if row["line_ref"] == "L1")
    assert (row["class"], row["note"]) == ("missing_in_ledger", "amount_too_large")
    runs.run(AS_OF)
    assert runs.told[REF, row["record"]]["note"] == "amount_too_large", "nobody was asked again"
