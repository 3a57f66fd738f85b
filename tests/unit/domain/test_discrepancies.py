"""What accepting a discrepancy books: afterwards clearing is empty, and the bank has what the network moved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments import accounts, discrepancies, transfers
from payments.discrepancies import NotBookable
from payments.journal import Side
from payments.transfers import Settled

PAYS = {"capture": 1, "representment": 1, "refund": -1, "chargeback": -1}
HELD = ("missing_at_network", "amount_mismatch")
NOT_HELD = ("duplicate_at_network", "missing_in_ledger", "currency_mismatch")
AT = "2026-11-24T10:00:00.000Z"

amounts = st.integers(1, 10**9)
fees = st.integers(-(10**6), 10**6)


def record(kind, **changes):
    return {"line": "L1~1", "class": kind, "type": "capture", "movement": "", "currency": "USD", **changes}


def effects(settled):
    """What the booking adds to each account, debits less credits."""
    if settled is None:
        return {}
    found = {}
    for entry in transfers.settlement(17, "r", "visa", "USD", settled, AT).entries:
        signed = entry.amount if entry.side is Side.DEBIT else -entry.amount
        found[entry.account] = found.get(entry.account, 0) + signed
    return found


@given(st.sampled_from(HELD), st.sampled_from([*PAYS]), amounts, st.integers(0, 10**9), fees)
def test_a_movement_that_is_open_is_taken_off_clearing_and_the_bank_has_what_came(kind, way, expected, paid, fee):
    told = record(kind, type=way, expected=expected, settled=paid, fee_settled=fee)

    after = effects(discrepancies.settled([told]))

    assert PAYS[way] * expected + after.get("network:visa", 0) == 0
    assert after.get(accounts.BANK, 0) == PAYS[way] * paid - fee
    assert after.get(accounts.NETWORK_FEES, 0) == fee
    assert after.get(accounts.ADJUSTMENTS, 0) == PAYS[way] * (expected - paid), "a loss is an expense"


@given(st.sampled_from(NOT_HELD), st.sampled_from([*PAYS]), st.integers(0, 10**9), amounts, fees)
def test_a_line_that_settles_nothing_of_ours_leaves_clearing_alone(kind, way, expected, paid, fee):
    told = record(kind, type=way, expected=expected, settled=paid, fee_settled=fee)

    after = effects(discrepancies.settled([told]))

    assert "network:visa" not in after
    assert after.get(accounts.BANK, 0) == PAYS[way] * paid - fee
    assert after.get(accounts.ADJUSTMENTS, 0) == -PAYS[way] * paid


@given(amounts, st.integers(-(10**9), 10**9))
def test_of_a_batch_only_what_its_members_do_not_explain_is_booked(members, difference):
    told = record("batch_mismatch", type="batch", expected=members, settled=members + difference, difference=difference)

    after = effects(discrepancies.settled([told]))

    assert after.get(accounts.BANK, 0) == difference
    assert "network:visa" not in after


@given(st.sampled_from([*PAYS]), amounts, st.lists(st.integers(1, 10**6), min_size=1, max_size=5), fees)
def test_the_lines_of_a_split_are_one_movement(way, expected, parts, fee):
    lines = [
        record("amount_mismatch", type=way, expected=0, settled=part, fee_settled=0, split=True, line=f"L{number}~1")
        for number, part in enumerate(parts)
    ]
    lines[0] |= {"expected": expected, "fee_settled": fee}

    whole = record("amount_mismatch", type=way, expected=expected, settled=sum(parts), fee_settled=fee)

    assert discrepancies.settled(lines) == discrepancies.settled([whole])


@pytest.mark.parametrize("kind", ["fee_mismatch", "orphan"])
def test_what_is_booked_already_or_was_never_captured_is_only_closed(kind):
    assert discrepancies.settled([record(kind, expected=100, settled=100, fee_settled=7)]) is None


def test_a_written_off_capture_of_which_nothing_came_is_a_loss():
    assert discrepancies.settled([record("missing_at_network", expected=4200)]) == Settled(4200, written_off=4200)


def test_a_refund_that_the_network_never_took_is_a_gain():
    told = record("missing_at_network", type="refund", expected=500)

    assert discrepancies.settled([told]) == Settled(returned=500, written_off=-500)


@pytest.mark.parametrize("changes", [{"type": "fee"}, {"type": "batch"}, {"settled": 10**15}, {"settled": 1.5}])
def test_what_cannot_be_booked_is_refused(changes):
    with pytest.raises(NotBookable):
        discrepancies.settled([record("missing_in_ledger", **{"settled": 5, **changes})])


def test_lines_of_another_movement_class_or_currency_and_decided_ones_are_not_decided_with_it():
    first = record("amount_mismatch", split=True)
    same = record("amount_mismatch", split=True, line="L2~1")
    others = [
        record("amount_mismatch", split=True, line="L3~1", movement="cap_2"),
        record("duplicate_at_network", split=True, line="L4~1"),
        record("amount_mismatch", split=True, line="L5~1", currency="EUR"),
        record("amount_mismatch", split=True, line="L6~1", resolution="{}"),
        record("amount_mismatch", split=False, line="L7~1"),
        record("amount_mismatch", split=True, line="L8~1", type="refund"),
    ]

    assert discrepancies.decided_with(first, [first, same, *others]) == [first, same]
    assert discrepancies.decided_with(others[4], [first, same, *others]) == [others[4]]


def test_open_is_what_somebody_must_look_at_and_nobody_has_decided():
    assert all(discrepancies.is_open(record(kind)) for kind in discrepancies.OPEN)
    assert not discrepancies.is_open(record("matched"))
    assert not discrepancies.is_open(record("orphan", resolution="{}"))
