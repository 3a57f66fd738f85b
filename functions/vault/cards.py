"""What a valid card is: number, brand, expiry and security code. Pure functions; the only clock is an argument.

Number ranges and lengths: ISO/IEC 7812-1 issuer identification numbers, as published by the networks and collected in
https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN). Numbers shorter than 14 digits
(old 13-digit Visa, short Maestro) are refused: with six and four digits in the clear too few would stay hidden
(PCI SSC FAQ 1091 on truncation).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

BIN_LENGTH = 6  # PCI SSC FAQ 1091 would allow 8 from 16 digits on; 6 is safe for every length
MAX_NUMBER_FIELD = 64  # a number with generous separators
MAX_YEARS_AHEAD = 50  # further is a typing error: issuers stay under 20

_SEPARATORS = re.compile(r"[ \-]")
_DIGITS = re.compile(r"[0-9]{12,19}")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)  # digit sum of twice the digit


@dataclass(frozen=True)
class Brand:
    """A card brand: `ranges` are inclusive six-digit IIN bounds, `network` is whose rails its charges travel on."""

    name: str
    network: str
    lengths: frozenset[int]
    ranges: tuple[tuple[int, int], ...]
    cvc_length: int = 3


_16_TO_19 = frozenset(range(16, 20))
_14_TO_19 = frozenset(range(14, 20))
BRANDS = (
    Brand("visa", "visa", frozenset({16, 19}), ((400000, 499999),)),
    Brand("mastercard", "mastercard", frozenset({16}), ((510000, 559999), (222100, 272099))),
    Brand("amex", "amex", frozenset({15}), ((340000, 349999), (370000, 379999)), cvc_length=4),
    Brand("discover", "discover", _16_TO_19, ((601100, 601199), (644000, 659999))),
    Brand("diners", "discover", _14_TO_19, ((300000, 305999), (309500, 309599), (360000, 369999), (380000, 399999))),
    Brand("jcb", "jcb", _16_TO_19, ((352800, 358999),)),
    Brand("unionpay", "unionpay", _16_TO_19, ((620000, 629999), (810000, 817199))),
)


@dataclass(frozen=True)
class Rejection:
    """A card that cannot be charged: a code of docs/interfaces.md and a fixed text without card data."""

    code: str
    message: str


INCORRECT_NUMBER = Rejection("incorrect_number", "The card number is not a valid card number.")
UNSUPPORTED_BRAND = Rejection("unsupported_brand", "The card's brand is not supported.")
INVALID_EXPIRY = Rejection("invalid_expiry", "The card's expiry month or year is invalid.")
EXPIRED_CARD = Rejection("expired_card", "The card has expired.")
INVALID_CVC = Rejection("invalid_cvc", "The card's security code is invalid.")


@dataclass(frozen=True)
class Card:
    """A valid card. Holds the PAN, which no representation of it shows; the security code is checked and forgotten."""

    pan: str = field(repr=False)
    brand: Brand
    exp_month: int
    exp_year: int

    @property
    def bin(self) -> str:
        """The first six digits."""
        return self.pan[:BIN_LENGTH]

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.pan[-4:]


def read_card(fields: Mapping[str, Any], now: int) -> Card | Rejection:
    """The card in `fields` (`number`, `exp_month`, `exp_year`, optionally `cvc`) at Unix second `now`, or why not."""
    pan = normalize(fields.get("number"))
    if pan is None or not luhn_valid(pan):
        return INCORRECT_NUMBER
    brand = brand_of(pan)
    if brand is None:
        return UNSUPPORTED_BRAND
    if len(pan) not in brand.lengths:
        return INCORRECT_NUMBER
    expiry = _read_expiry(fields.get("exp_month"), fields.get("exp_year"), now)
    if isinstance(expiry, Rejection):
        return expiry
    return Card(pan, brand, *expiry) if _cvc_valid(fields.get("cvc"), brand) else INVALID_CVC


def normalize(number: object) -> str | None:
    """The 12 to 19 digits of a card number without spaces and hyphens; None if it is anything else."""
    if not isinstance(number, str) or len(number) > MAX_NUMBER_FIELD:
        return None
    digits = _SEPARATORS.sub("", number)
    return digits if _DIGITS.fullmatch(digits) else None


def luhn_valid(pan: str) -> bool:
    """Whether the check digit is right: ISO/IEC 7812-1, annex B. `pan` is ASCII digits."""
    digits = [ord(character) - 48 for character in reversed(pan)]
    return (sum(digits[::2]) + sum(_DOUBLED[digit] for digit in digits[1::2])) % 10 == 0


def brand_of(pan: str) -> Brand | None:
    """The brand whose published range the number falls in, whatever its length; None outside all of them."""
    prefix = int(pan[:6])
    return next((brand for brand in BRANDS if any(low <= prefix <= high for low, high in brand.ranges)), None)


def _read_expiry(month: object, year: object, now: int) -> tuple[int, int] | Rejection:
    """A card is good through the last day of its month, anywhere on Earth: the last place is at UTC-12."""
    today = datetime.fromtimestamp(now, UTC) - timedelta(hours=12)
    if type(month) is not int or type(year) is not int:  # a bool is an int too
        return INVALID_EXPIRY
    if not (1 <= month <= 12 and 2000 <= year <= today.year + MAX_YEARS_AHEAD):
        return INVALID_EXPIRY
    return EXPIRED_CARD if (year, month) < (today.year, today.month) else (month, year)


def _cvc_valid(cvc: object, brand: Brand) -> bool:
    """Its form only, and only if given: whether a charge needs one is the network's decision."""
    if cvc is None:
        return True
    return isinstance(cvc, str) and len(cvc) == brand.cvc_length and cvc.isascii() and cvc.isdigit()
