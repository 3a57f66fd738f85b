"""What a valid card is: number, brand, expiry and security code. Pure functions; the only clock is an argument.

Number ranges and lengths: at each brand stands the network's own document. Those are moved and withdrawn, so they were
compared, in November 2026, with two lists that quote them:
https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN) and
https://docs.oracle.com/cd/E66669_01/doc.28/e66799/r_payments_sample_cc_preambles.htm.

How much of a number may be shown: PCI SSC FAQ 1091. The first six and last four of any; the first eight and four others
of 16 digits, for Discover (with Diners Club), JCB, Mastercard, UnionPay and Visa. Longer numbers hide more, and Visa's
Cybersource gives eight digits of them too (field `includeCardPrefix`). American Express allows six, and as its numbers
have 15 digits, length alone decides. Of 14 digits four stay hidden; shorter numbers (old 13-digit Visa) are refused,
because six and four in the clear would hide fewer.

Maestro is not charged. On-line it must be authenticated with 3-D Secure, which this platform does not do, and many of
its cards have no security code. It may have 12 or 13 digits, too few to truncate. Its ranges (50, 56–69) run through
those of Discover, UnionPay and domestic schemes. And it is ending: since July 2023 Europe's banks issue Debit
Mastercard instead, whose numbers are Mastercard's own.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

BIN_LENGTH = 6
LONG_BIN_LENGTH = 8  # issuers have eight digits since ISO/IEC 7812-1:2017
SHORTEST_WITH_LONG_BIN = 16  # PCI SSC FAQ 1091
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
    # ISO/IEC 7812-1: all of 4.
    Brand("visa", "visa", frozenset({16, 19}), ((400000, 499999),)),
    # Mastercard Rules, account ranges; the 2-series since 2017.
    # https://www.mastercard.us/content/dam/mccom/global/documents/mastercard-rules.pdf
    Brand("mastercard", "mastercard", frozenset({16}), ((222100, 272099), (510000, 559999))),
    # American Express, "Guide to Checking Card Faces".
    Brand("amex", "amex", frozenset({15}), ((340000, 349999), (370000, 379999)), cvc_length=4),
    # Discover Global Network, "IPP VAR Compliance", for this and the next three.
    # https://www.discoverglobalnetwork.com/downloads/IPP_VAR_Compliance.pdf
    # 622126–622925 are co-branded with UnionPay and travel on Discover's rails. A few blocks of 6011 are not issued,
    # but the best-known test number is in one.
    Brand("discover", "discover", _16_TO_19, ((601100, 601199), (622126, 622925), (644000, 659999))),
    # 36 from 14 digits on, the others from 16; but Carte Blanche (300–305, 38) once had 14, as test numbers still have.
    Brand("diners", "discover", _14_TO_19, ((300000, 305999), (309500, 309599), (360000, 369999), (380000, 399999))),
    Brand("jcb", "jcb", _16_TO_19, ((352800, 358999),)),
    # All of 62 but what it shares with Discover; 81 as far as it is given out.
    Brand("unionpay", "unionpay", _16_TO_19, ((620000, 622125), (622926, 629999), (810000, 817199))),
)
_RANGES = sorted(((low, high, brand) for brand in BRANDS for low, high in brand.ranges), key=lambda found: found[0])
_STARTS = [low for low, _, _ in _RANGES]


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
    def bin8(self) -> str | None:
        """The first eight digits, where they may be shown beside the last four; else None."""
        return self.pan[:LONG_BIN_LENGTH] if len(self.pan) >= SHORTEST_WITH_LONG_BIN else None

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
    place = bisect_right(_STARTS, prefix) - 1
    if place < 0:
        return None
    _, high, brand = _RANGES[place]
    return brand if prefix <= high else None


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
