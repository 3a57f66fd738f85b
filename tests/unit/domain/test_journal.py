"""Promise 1: the books balance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.journal import Entry, Journal, Parties, Phase, Side, UnbalancedJournal, totals

amounts = st.integers(min_value=1, max_value=10**12)
phases = st.sampled_from(list(Phase))
currencies = st.sampled_from(["USD", "JPY", "KWD"])


@given(amounts, phases, currencies)
def test_a_pair_of_parties_always_balances(amount, phase, currency):
    entries = Parties.of("mer_a", None).entries(phase, amount, currency)

    journal = Journal("pay_x", "capture", "2026-11-23T00:00:00.000Z", entries)

    assert set(totals(journal.entries).values()) == {0}


@given(amounts, amounts, phases, currencies)
def test_a_journal_whose_sides_differ_cannot_be_built(debit, credit, phase, currency):
    entries = (Entry("a", Side.DEBIT, phase, debit, currency), Entry("b", Side.CREDIT, phase, credit, currency))

    if debit == credit:
        Journal("pay_x", "capture", "now", entries)
    else:
        with pytest.raises(UnbalancedJournal):
            Journal("pay_x", "capture", "now", entries)


def test_currencies_do_not_balance_each_other():
    entries = (
        Entry("a", Side.DEBIT, Phase.POSTED, 100, "USD"),
        Entry("b", Side.CREDIT, Phase.POSTED, 100, "EUR"),
    )

    with pytest.raises(UnbalancedJournal):
        Journal("pay_x", "capture", "now", entries)


def test_pending_and_posted_amounts_do_not_balance_each_other():
    entries = (
        Entry("a", Side.DEBIT, Phase.PENDING, 100, "USD"),
        Entry("b", Side.CREDIT, Phase.POSTED, 100, "USD"),
    )

    with pytest.raises(UnbalancedJournal):
        Journal("pay_x", "capture", "now", entries)


@pytest.mark.parametrize("amount", [0, -1])
def test_an_entry_has_a_positive_amount(amount):
    entries = Parties("a", "b").entries(Phase.POSTED, amount, "USD")

    with pytest.raises(UnbalancedJournal):
        Journal("pay_x", "capture", "now", entries)


def test_an_empty_journal_cannot_be_built():
    with pytest.raises(UnbalancedJournal):
        Journal("pay_x", "capture", "now", ())
