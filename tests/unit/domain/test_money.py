"""Amounts are integers in minor units of a currency that exists."""

import pytest

from payments.money import MAXIMUM_AMOUNT, InvalidMoney, Money, exponent


@pytest.mark.parametrize(("currency", "decimals"), [("USD", 2), ("JPY", 0), ("KWD", 3), ("EUR", 2), ("CLF", 4)])
def test_the_exponent_is_that_of_iso_4217(currency, decimals):
    assert exponent(currency) == decimals


@pytest.mark.parametrize("currency", ["usd", "ZZZ", "", "XXX", "XAU", "US"])
def test_a_currency_that_cannot_be_charged_is_refused(currency):
    with pytest.raises(InvalidMoney):
        Money(100, currency)


@pytest.mark.parametrize("amount", [0, -5, MAXIMUM_AMOUNT + 1, 1.5, True, "100", None])
def test_an_amount_that_is_not_a_positive_integer_within_the_limit_is_refused(amount):
    with pytest.raises(InvalidMoney):
        Money(amount, "USD")


@pytest.mark.parametrize("amount", [1, MAXIMUM_AMOUNT])
def test_the_limits_themselves_are_allowed(amount):
    assert Money(amount, "USD").amount == amount
