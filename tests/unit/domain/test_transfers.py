"""Bookings beside payments: the same reference is the same booking, and bad amounts are refused."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from payments import identifiers, transfers
from payments.journal import Kind, reversal, totals
from payments.money import InvalidMoney
from payments.transfers import Settled
from tests.unit.domain.samples import AT, MERCHANT

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


def settle(captured=0, returned=0, fees=0, written_off=0, network="visa", currency="USD", reference="run_1/5"):
    return transfers.settlement(
        17, reference, network, currency, Settled(captured, returned, fees, written_off), AT, "reconciled"
    )


def balance(journal, account):
    return sum(entry.signed for entry in journal.entries if entry.account == account)


class TestSettlement:
    @given(*[st.integers(-(10**12), 10**12)] * 4)
    def test_clearing_comes_down_by_what_was_owed_and_the_bank_has_the_rest(self, captured, returned, fees, lost):
        assume(captured or returned or fees or lost)

        journal = settle(captured, returned, fees, lost)

        assert balance(journal, "network:visa") == returned - captured
        assert balance(journal, "fees:network") == fees
        assert balance(journal, "adjustments:platform") == lost
        assert balance(journal, "bank:platform") == captured - returned - fees - lost
        assert set(totals(journal.entries).values()) == {0}

    def test_captures_and_returns_are_not_netted(self):
        sides = {entry.side: entry.amount for entry in settle(100, 40).entries if entry.account == "network:visa"}

        assert sides == {"credit": 100, "debit": 40}

    def test_its_id_follows_from_shard_and_reference(self):
        journal = settle(100)

        assert identifiers.is_identifier(journal.payment_id, "set")
        assert identifiers.shard_of(journal.payment_id) == 17
        assert (journal.journal_id, journal.kind, journal.reason) == ("settlement", Kind.SETTLEMENT, "reconciled")
        assert settle(999, currency="EUR").payment_id == journal.payment_id
        assert settle(100, reference="run_1/6").payment_id != journal.payment_id

    def test_it_can_be_reversed(self):
        assert balance(reversal(settle(100, 0, 2), AT, "wrong file"), "network:visa") == 100

    @pytest.mark.parametrize(
        "wrong",
        [
            {},
            {"captured": 1.0},
            {"fees": True},
            {"returned": "1"},
            {"captured": transfers.MAXIMUM_TRANSFER + 1},
            {"captured": 1, "network": "nobody"},
            {"captured": 1, "currency": "usd"},
        ],
    )
    def test_nothing_and_what_is_wrong_are_refused(self, wrong):
        with pytest.raises(InvalidMoney):
            settle(**wrong)
