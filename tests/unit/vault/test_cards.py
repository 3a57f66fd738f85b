"""Card numbers, brands, expiry and security codes."""

import calendar
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.vault.cards import (
    EXPIRED_CARD,
    INCORRECT_NUMBER,
    INVALID_CVC,
    INVALID_EXPIRY,
    UNSUPPORTED_BRAND,
    Card,
    brand_of,
    luhn_valid,
    normalize,
    read_card,
)

NOW = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp())
VALID = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2031, "cvc": "123"}

# The test numbers Stripe, Adyen and PayPal publish.
TEST_CARDS = {
    "4242424242424242": ("visa", "visa"),
    "4111111111111111": ("visa", "visa"),
    "5555555555554444": ("mastercard", "mastercard"),
    "2223003122003222": ("mastercard", "mastercard"),
    "5105105105105100": ("mastercard", "mastercard"),
    "378282246310005": ("amex", "amex"),
    "371449635398431": ("amex", "amex"),
    "6011111111111117": ("discover", "discover"),
    "6011000990139424": ("discover", "discover"),
    "3056930009020004": ("diners", "discover"),
    "36227206271667": ("diners", "discover"),
    "3566002020360505": ("jcb", "jcb"),
    "6200000000000005": ("unionpay", "unionpay"),
    "6205500000000000004": ("unionpay", "unionpay"),
}


def check_digit(body: str) -> str:
    return next(digit for digit in "0123456789" if luhn_valid(body + digit))


@pytest.mark.parametrize(("number", "expected"), TEST_CARDS.items())
def test_well_known_test_card_has_its_brand_and_network(number, expected):
    card = read_card({**VALID, "number": number, "cvc": None}, NOW)

    assert isinstance(card, Card)
    assert (card.brand.name, card.brand.network) == expected
    assert (card.bin, card.last4) == (number[:6], number[-4:])


@pytest.mark.parametrize(
    ("prefix", "brand"),
    [
        ("222099", None), ("222100", "mastercard"), ("272099", "mastercard"), ("272100", None),
        ("509999", None), ("510000", "mastercard"), ("559999", "mastercard"), ("560000", None),
        ("352799", None), ("352800", "jcb"), ("358999", "jcb"), ("359000", None),
        ("643999", None), ("644000", "discover"), ("659999", "discover"), ("660000", None),
        ("305999", "diners"), ("306000", None), ("309500", "diners"), ("309600", None),
        ("399999", "diners"), ("400000", "visa"), ("499999", "visa"), ("500000", None),
    ],
)  # fmt: skip
def test_brand_ranges_end_where_they_are_published_to_end(prefix, brand):
    found = brand_of(prefix + "0" * 10)

    assert (found and found.name) == brand


@given(st.text("0123456789", min_size=13, max_size=18))
def test_exactly_one_check_digit_is_luhn_valid(body):
    assert sum(luhn_valid(body + digit) for digit in "0123456789") == 1


@given(st.text("0123456789", min_size=12, max_size=18), st.data())
def test_any_single_wrong_digit_is_caught(body, data):
    pan = body + check_digit(body)
    place = data.draw(st.integers(0, len(pan) - 1))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != pan[place]]))

    assert luhn_valid(pan)
    assert not luhn_valid(pan[:place] + wrong + pan[place + 1 :])


@pytest.mark.parametrize(
    "number",
    [
        None, 4242424242424242, "", "4242", "4242424242424241", "4242 4242 4242 424x", "４２４２424242424242", "4" * 65,
        "4222222222222",  # a 13-digit Visa: no longer issued, and six and four in the clear would hide only three
        "424242424242424242",  # Luhn-valid, but no Visa has 18 digits
        "-" * 40 + "4242424242424242" + " " * 40,
    ],
)  # fmt: skip
def test_what_is_no_card_number_is_refused(number):
    assert read_card({**VALID, "number": number}, NOW) == INCORRECT_NUMBER


def test_luhn_valid_number_of_no_brand_is_unsupported():
    assert read_card({**VALID, "number": "9" * 15 + check_digit("9" * 15)}, NOW) == UNSUPPORTED_BRAND


@pytest.mark.parametrize("month", [0, 13, -1, "12", 12.0, True, None])
def test_expiry_month_is_an_integer_from_1_to_12(month):
    assert read_card({**VALID, "exp_month": month}, NOW) == INVALID_EXPIRY


@pytest.mark.parametrize("year", [31, 1999, 2077, "2031", None, 2031.0])
def test_expiry_year_has_four_digits_and_is_near(year):
    assert read_card({**VALID, "exp_year": year}, NOW) == INVALID_EXPIRY


@given(st.integers(1, 12), st.integers(2020, 2040))
def test_card_is_good_until_its_month_is_over_everywhere_on_earth(month, year):
    fields = {**VALID, "exp_month": month, "exp_year": year}
    first_of_next = (year + month // 12, month % 12 + 1, 1)
    over_at_utc_minus_12 = calendar.timegm((*first_of_next, 12, 0, 0))

    assert isinstance(read_card(fields, over_at_utc_minus_12 - 1), Card)
    assert read_card(fields, over_at_utc_minus_12) == EXPIRED_CARD


@pytest.mark.parametrize(
    ("number", "cvc", "good"),
    [
        ("4242424242424242", "123", True), ("4242424242424242", "1234", False), ("378282246310005", "1234", True),
        ("378282246310005", "123", False), ("4242424242424242", 123, False), ("4242424242424242", "12a", False),
        ("4242424242424242", "١٢٣", False), ("4242424242424242", "", False), ("4242424242424242", None, True),
        ("4242424242424242", "123\n", False),
    ],
)  # fmt: skip
def test_security_code_has_the_brands_form_if_given(number, cvc, good):
    outcome = read_card({**VALID, "number": number, "cvc": cvc}, NOW)

    assert isinstance(outcome, Card) if good else outcome == INVALID_CVC


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists), st.data())
def test_no_json_value_in_any_field_is_a_fault(value, data):
    field = data.draw(st.sampled_from(list(VALID)))

    read_card({**VALID, field: value}, NOW)


def test_number_is_in_no_representation_of_a_card():
    card = read_card(VALID, NOW)

    assert "4242424242" not in f"{card!r} {card}"


def test_normalizing_keeps_the_digits_alone():
    assert normalize(" 4242-4242 4242 4242 ") == "4242424242424242"
