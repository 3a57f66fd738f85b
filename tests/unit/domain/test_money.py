"""Amounts are integers in minor units of a currency that exists."""

import pytest
from iso4217 import Currency

from payments.money import MAXIMUM_AMOUNT, InvalidMoney, Money, exponent

BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""ISO 4217, table A.1: all but these have two decimals."""

WITHOUT_MINOR_UNIT = "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX"
"""Metals, funds, the codes for testing and for no currency."""

EXPONENTS = {currency: number for number, currencies in BY_EXPONENT.items() for currency in currencies.split()}


@pytest.mark.parametrize("currency", sorted(code.value for code in Currency))
def test_every_currency_of_iso_4217_has_its_exponent_or_is_refused(currency):
    if currency in WITHOUT_MINOR_UNIT.split():
        with pytest.raises(InvalidMoney):
            Money(100, currency)
    else:
        assert exponent(currency) == EXPONENTS.get(currency, 2)
        assert Money(100, currency).amount == 100


def test_the_library_knows_the_currencies_that_are_not_like_the_others():
    known = {code.value for code in Currency}

    assert {"JPY", "KRW", "VND", "KWD", "BHD", "CLF", "UYW", "USD", "EUR"} <= known
    assert len(known) > 150


@pytest.mark.parametrize("currency", ["usd", "Usd", "ZZZ", "", "US", "USDX", "840", "USD ", None, 840, True, ["USD"]])
def test_what_is_no_currency_is_refused(currency):
    with pytest.raises(InvalidMoney):
        Money(100, currency)


@pytest.mark.parametrize("amount", [0, -5, MAXIMUM_AMOUNT + 1, 1.5, 100.0, True, "100", None, float("nan")])
def test_an_amount_that_is_not_a_positive_integer_within_the_limit_is_refused(amount):
    with pytest.raises(InvalidMoney):
        Money(amount, "USD")


@pytest.mark.parametrize("amount", [1, MAXIMUM_AMOUNT])
@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD", "CLF"])
def test_the_limits_themselves_are_allowed(amount, currency):
    assert Money(amount, currency).amount == amount
