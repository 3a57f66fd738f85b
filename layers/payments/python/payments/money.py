"""Amounts of money as integers in the currency's minor unit (ISO 4217). There are no floats here."""

from dataclasses import dataclass

from iso4217 import Currency

MAXIMUM_AMOUNT = 99_999_999
"""Largest amount of one charge in minor units: eight digits, the limit that card-network message fields share
(ISO 8583 field 4 holds twelve digits; Stripe documents eight)."""


class InvalidMoney(ValueError):
    """The amount is not a positive integer within the limit, or the currency is not one that can be charged."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents of USD, yen of JPY, fils of KWD) of an ISO 4217 currency.

    Raises `InvalidMoney` when the amount is not an integer between 1 and `MAXIMUM_AMOUNT`, or the currency is unknown
    or has no minor unit (ISO 4217 lists metals and test codes without an exponent: they cannot be charged).
    """

    amount: int
    currency: str

    def __post_init__(self) -> None:
        if isinstance(self.amount, bool) or not isinstance(self.amount, int):
            raise InvalidMoney("amount must be an integer in the currency's minor unit")
        if not 1 <= self.amount <= MAXIMUM_AMOUNT:
            raise InvalidMoney(f"amount must be between 1 and {MAXIMUM_AMOUNT}")
        exponent(self.currency)


def exponent(currency: str) -> int:
    """Decimals of the currency's minor unit by ISO 4217 table A.1: 2 for USD, 0 for JPY, 3 for KWD."""
    try:
        decimals = Currency(currency).exponent
    except ValueError:
        raise InvalidMoney("currency must be an ISO 4217 code in capitals") from None
    if decimals is None:
        raise InvalidMoney("currency has no minor unit and cannot be charged")
    return int(decimals)
