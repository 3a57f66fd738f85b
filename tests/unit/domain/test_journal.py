"""The books balance: a journal that does not cannot be built, and counters say what entries did."""

from collections import defaultdict
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.journal import (
    EFFECTS,
    Balance,
    Entry,
    IrreversibleJournal,
    Journal,
    Kind,
    Phase,
    Side,
    UnbalancedJournal,
    reversal,
    totals,
    transfer,
    undone,
)

amounts = st.integers(min_value=1, max_value=10**12)
phases = st.sampled_from(list(Phase))
currencies = st.sampled_from(["USD", "JPY", "KWD"])
accounts = st.sampled_from(["a", "b", "c"])
transfers = st.builds(transfer, accounts, accounts, amounts, currencies, phases)
entries = st.builds(Entry, accounts, st.sampled_from(list(Side)), phases, st.integers(1, 3), currencies)


def journal(lines, kind=Kind.CHARGE, **changes):
    return Journal("pay_x", "j", kind, "2026-11-23T00:00:00.000Z", tuple(lines), **changes)


@given(st.lists(transfers, min_size=1, max_size=6))
def test_transfers_always_balance(pairs):
    built = journal(line for pair in pairs for line in pair)

    assert set(totals(built.entries).values()) == {0}


@given(st.lists(entries, min_size=1, max_size=6))
def test_a_journal_exists_only_if_debits_equal_credits_in_every_currency_and_phase(lines):
    balance = defaultdict(int)
    for line in lines:
        balance[line.currency, line.phase] += line.amount if line.side is Side.DEBIT else -line.amount

    if any(balance.values()):
        with pytest.raises(UnbalancedJournal):
            journal(lines)
    else:
        assert journal(lines).entries == tuple(lines)


@pytest.mark.parametrize(
    "lines",
    [
        (Entry("a", Side.DEBIT, Phase.POSTED, 100, "USD"), Entry("b", Side.CREDIT, Phase.POSTED, 100, "EUR")),
        (Entry("a", Side.DEBIT, Phase.PENDING, 100, "USD"), Entry("b", Side.CREDIT, Phase.POSTED, 100, "USD")),
        (Entry("a", Side.DEBIT, Phase.POSTED, 100, "USD"), Entry("b", Side.CREDIT, Phase.POSTED, 99, "USD")),
        (Entry("a", Side.DEBIT, Phase.POSTED, 100, "USD"),),
        (),
    ],
    ids=["two currencies", "two phases", "a cent less", "one side", "nothing"],
)
def test_what_does_not_balance_is_refused(lines):
    with pytest.raises(UnbalancedJournal):
        journal(lines)


@pytest.mark.parametrize("amount", [0, -1, 1.0, True, "1", None])
def test_an_entry_is_a_positive_integer(amount):
    with pytest.raises(UnbalancedJournal):
        journal(Entry("a", side, Phase.POSTED, amount, "USD") for side in Side)


def test_an_amount_of_zero_is_no_transfer():
    assert transfer("a", "b", 0, "USD") == ()


def test_a_journal_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        journal(transfer("a", "b", 1, "USD")).entries = ()


class TestBalance:
    @pytest.mark.parametrize(
        ("phase", "pending", "posted"),
        [
            (Phase.PENDING, 7, 0),
            (Phase.POST_PENDING, -7, 7),
            (Phase.VOID_PENDING, -7, 0),
            (Phase.POSTED, 0, 7),
        ],
    )
    def test_an_entry_moves_the_counters_of_its_own_side_only(self, phase, pending, posted):
        debit = Balance().after(Entry("a", Side.DEBIT, phase, 7, "USD"))
        credit = Balance().after(Entry("a", Side.CREDIT, phase, 7, "USD"))

        assert debit == Balance(debits_pending=pending, debits_posted=posted)
        assert credit == Balance(credits_pending=pending, credits_posted=posted)

    @given(st.lists(transfers, max_size=8))
    def test_the_sum_over_all_accounts_balances(self, pairs):
        total = Balance()
        for pair in pairs:
            for line in pair:
                total = total.after(line)

        assert total.balanced

    @pytest.mark.parametrize(
        "balance", [Balance(1, 0, 0, 0), Balance(0, 1, 0, 0), Balance(1, 0, 0, 1), Balance(0, 0, 1, 0)]
    )
    def test_counters_of_unequal_sides_do_not_balance(self, balance):
        assert not balance.balanced

    def test_what_is_reserved_to_leave_is_not_available_and_what_may_come_is_not_yet(self):
        balance = Balance(debits_pending=5, debits_posted=10, credits_pending=1000, credits_posted=100)

        assert balance.available == 100 - 10 - 5

    def test_an_asset_is_debits_less_credits(self):
        assert Balance(debits_posted=100, credits_posted=30, debits_pending=7).debit == 70


class TestReversal:
    @given(st.lists(st.builds(transfer, accounts, accounts, amounts, currencies), min_size=1, max_size=5))
    def test_a_journal_and_its_reversal_come_to_nothing_on_every_account(self, pairs):
        original = journal([line for pair in pairs for line in pair], Kind.ADJUSTMENT)
        correction = reversal(original, "later", "a mistake")

        net = defaultdict(int)
        for line in (*original.entries, *correction.entries):
            net[line.account, line.currency] += line.signed
        assert set(net.values()) == {0}

    @given(st.lists(transfers, min_size=1, max_size=6))
    def test_what_is_undone_comes_to_nothing_in_every_account_pending_and_posted(self, pairs):
        lines = tuple(line for pair in pairs for line in pair)
        net = defaultdict(int)
        for line in (*lines, *undone(lines)):
            for phase, factor in zip(("pending", "posted"), EFFECTS[line.phase], strict=True):
                net[line.account, line.currency, phase] += factor * line.signed

        assert set(net.values()) == {0}
        assert set(totals(undone(lines)).values()) == {0}

    def test_it_names_what_it_reverses_and_why(self):
        original = journal(transfer("a", "b", 5, "USD"), Kind.PAYOUT, sequence=4)

        correction = reversal(original, "later", "sent twice")

        assert correction.kind is Kind.REVERSAL
        assert (correction.payment_id, correction.journal_id) == ("pay_x", "reversal#j")
        assert (correction.reverses, correction.reason, correction.created_at) == ("j", "sent twice", "later")

    def test_a_reversal_cannot_be_reversed(self):
        with pytest.raises(IrreversibleJournal):
            reversal(reversal(journal(transfer("a", "b", 5, "USD")), "later", "why"), "later", "why")

    @pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.POSTED])
    def test_a_journal_that_reserves_or_ends_a_reservation_cannot_be_reversed(self, phase):
        lines = (*transfer("a", "b", 5, "USD"), *transfer("a", "b", 5, "USD", phase))

        with pytest.raises(IrreversibleJournal):
            reversal(journal(lines), "later", "why")

    def test_only_a_reversal_names_what_it_reverses_and_it_must(self):
        original = journal(transfer("a", "b", 5, "USD"))

        for change in ({"reverses": "other"}, {"kind": Kind.REVERSAL}, {"kind": Kind.REVERSAL, "reverses": ""}):
            with pytest.raises(UnbalancedJournal):
                replace(original, **change)
