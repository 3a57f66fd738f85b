"""Bookings beside payments: the same reference is the same booking, and bad amounts are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments import identifiers, transfers
from payments.journal import Kind, reversal, totals
from payments.money import InvalidMoney
from tests.unit.domain.samples import AT, MERCHANT, approved

BUILDERS = {
    "out": (transfers.payout, Kind.PAYOUT),
    "fee": (transfers.fee, Kind.FEE),
    "adj": (transfers.adjustment, Kind.ADJUSTMENT),
}


@pytest.mark.parametrize("prefix", list(BUILDERS))
class TestTransfers:
    def test_its_id_follows_from_merchant_and_reference_and_routes_to_the_merchants_shard(self, prefix):
        build, kind = BUILDERS[prefix]
        journal = build(MERCHANT, "2026-47", 100, "USD", AT, "weekly")

        assert identifiers.is_identifier(journal.payment_id, prefix)
        assert identifiers.shard_of(journal.payment_id) == identifiers.merchant_shard(MERCHANT)
        assert (journal.journal_id, journal.kind, journal.reason, journal.sequence) == (kind, kind, "weekly", 1)
        assert build(MERCHANT, "2026-47", 999, "EUR", AT).payment_id == journal.payment_id
        assert build(MERCHANT, "2026-48", 100, "USD", AT).payment_id != journal.payment_id
        assert build("mer_b", "2026-47", 100, "USD", AT).payment_id != journal.payment_id

    @pytest.mark.parametrize("amount", [0, 1.0, True, "1", None, transfers.MAXIMUM_TRANSFER + 1])
    def test_a_bad_amount_is_refused(self, prefix, amount):
        with pytest.raises(InvalidMoney):
            BUILDERS[prefix][0](MERCHANT, "r", amount, "USD", AT)

    @pytest.mark.parametrize("currency", ["usd", "XAU", "", None])
    def test_a_bad_currency_is_refused(self, prefix, currency):
        with pytest.raises(InvalidMoney):
            BUILDERS[prefix][0](MERCHANT, "r", 1, currency, AT)

    @pytest.mark.parametrize("amount", [1, transfers.MAXIMUM_TRANSFER])
    def test_the_limits_themselves_are_allowed_and_can_be_reversed(self, prefix, amount):
        journal = BUILDERS[prefix][0](MERCHANT, "r", amount, "JPY", AT)

        assert {entry.amount for entry in journal.entries} == {amount}
        assert reversal(journal, AT, "wrong").reverses == prefix_kind(prefix)


def prefix_kind(prefix):
    return str(BUILDERS[prefix][1])


@pytest.mark.parametrize("build", [transfers.payout, transfers.fee])
def test_only_an_adjustment_may_be_negative(build):
    with pytest.raises(InvalidMoney):
        build(MERCHANT, "r", -1, "USD", AT)


@pytest.mark.parametrize("amount", [-1 - transfers.MAXIMUM_TRANSFER, -1.0])
def test_a_negative_adjustment_has_the_same_limits(amount):
    with pytest.raises(InvalidMoney):
        transfers.adjustment(MERCHANT, "r", amount, "USD", AT)


def test_a_negative_adjustment_takes_what_a_positive_one_gives():
    given_, taken = (transfers.adjustment(MERCHANT, "r", amount, "USD", AT).entries for amount in (7, -7))

    assert [(entry.account, entry.signed) for entry in given_] == [
        (entry.account, -entry.signed) for entry in reversed(taken)
    ]


class TestSettlement:
    @given(st.integers(1, 10**8), st.data())
    def test_it_clears_the_amount_whatever_the_network_keeps(self, amount, data):
        kept = data.draw(st.integers(0, amount))

        journal = transfers.settlement(approved(), amount, kept, "file-1/7", AT)

        sums = {entry.account: entry.signed for entry in journal.entries if entry.account != "network:visa"}
        assert sums == {
            name: value for name, value in (("bank:platform", amount - kept), ("fees:network", kept)) if value
        }
        assert -amount == sum(entry.signed for entry in journal.entries if entry.account == "network:visa")
        assert set(totals(journal.entries).values()) == {0}

    def test_it_is_a_journal_of_the_payment_named_by_its_line(self):
        payment = approved()
        journal = transfers.settlement(payment, 4200, 80, "file-1/7", AT)

        assert (journal.payment_id, journal.journal_id) == (payment.payment_id, "settlement#file-1/7")
        assert (journal.kind, journal.sequence) == (Kind.SETTLEMENT, payment.sequence)

    @pytest.mark.parametrize(
        ("amount", "fee"), [(0, 0), (-1, 0), (100, 101), (100, -1), (100, 1.0), (1.0, 0), (100, True), (True, 0)]
    )
    def test_a_bad_amount_or_fee_is_refused(self, amount, fee):
        with pytest.raises(InvalidMoney):
            transfers.settlement(approved(), amount, fee, "line", AT)
