"""Card numbers, brands, expiry and security codes."""

import calendar
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.vault.cards import (
    BRANDS,
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

ROOT = Path(__file__).parents[3]

# The published ranges, written down a second time: first and last six digits, brand, network, lengths.
PUBLISHED = [
    ("222100", "272099", "mastercard", "mastercard", {16}),
    ("300000", "305999", "diners", "discover", {14, 15, 16, 17, 18, 19}),
    ("309500", "309599", "diners", "discover", {14, 15, 16, 17, 18, 19}),
    ("340000", "349999", "amex", "amex", {15}),
    ("352800", "358999", "jcb", "jcb", {16, 17, 18, 19}),
    ("360000", "369999", "diners", "discover", {14, 15, 16, 17, 18, 19}),
    ("370000", "379999", "amex", "amex", {15}),
    ("380000", "399999", "diners", "discover", {14, 15, 16, 17, 18, 19}),
    ("400000", "499999", "visa", "visa", {16, 19}),
    ("510000", "559999", "mastercard", "mastercard", {16}),
    ("601100", "601199", "discover", "discover", {16, 17, 18, 19}),
    ("620000", "622125", "unionpay", "unionpay", {16, 17, 18, 19}),
    ("622126", "622925", "discover", "discover", {16, 17, 18, 19}),
    ("622926", "629999", "unionpay", "unionpay", {16, 17, 18, 19}),
    ("644000", "659999", "discover", "discover", {16, 17, 18, 19}),
    ("810000", "817199", "unionpay", "unionpay", {16, 17, 18, 19}),
]
RANGES = pytest.mark.parametrize(
    ("first", "last", "brand", "network", "lengths"), PUBLISHED, ids=[f"{low}-{high}" for low, high, *_ in PUBLISHED]
)
MAESTRO = ["5018", "5020", "5038", "5612", "5893", "6304", "6390", "6759", "6761", "6799"]


def rows(*heading: str) -> list[tuple[str, ...]]:
    """The table under this heading in docs/test_cards.md, without its last column."""
    cells = [tuple(cell.strip(" `") for cell in line.strip("|\n").split("|")) for line in PAGE if line.startswith("|")]
    start = next(place for place, row in enumerate(cells) if row[: len(heading)] == heading) + 2
    table = takewhile(lambda row: row[0].isdigit(), cells[start:])
    return [row[: len(heading)] for row in table]


PAGE = (ROOT / "docs" / "test_cards.md").read_text().splitlines()
TEST_CARDS = rows("number", "brand", "CVC", "bin8")
REFUSED_CARDS = rows("number", "code")


def check_digit(body: str) -> str:
    return next(digit for digit in "0123456789" if luhn_valid(body + digit))


def pan_of(prefix: str, length: int) -> str:
    body = prefix.ljust(length - 1, "0")
    return body + check_digit(body)


def published(prefix: str) -> str | None:
    return next((brand for first, last, brand, _, _ in PUBLISHED if first <= prefix <= last), None)


@st.composite
def valid_pans(draw):
    """A number of a published range, and its brand."""
    first, last, brand, _, lengths = draw(st.sampled_from(PUBLISHED))
    length = draw(st.sampled_from(sorted(lengths)))
    prefix = str(draw(st.integers(int(first), int(last))))
    body = prefix + draw(st.text("0123456789", min_size=length - 7, max_size=length - 7))
    return body + check_digit(body), brand


@pytest.mark.parametrize(("number", "brand", "cvc", "bin8"), TEST_CARDS)
def test_documented_test_card_is_what_the_page_says(number, brand, cvc, bin8):
    card = read_card({**VALID, "number": number, "cvc": "1" * int(cvc)}, NOW)

    assert isinstance(card, Card)
    assert (card.brand.name, card.bin8) == (brand, None if bin8 == "none" else bin8)
    assert (card.bin, card.last4) == (number[:6], number[-4:])


@pytest.mark.parametrize(("number", "code"), REFUSED_CARDS)
def test_documented_refusal_is_what_the_page_says(number, code):
    assert read_card({**VALID, "number": number}, NOW).code == code


def test_page_of_test_cards_has_every_brand():
    assert {brand for _, brand, _, _ in TEST_CARDS} == {brand.name for brand in BRANDS}
    assert (len(TEST_CARDS), len(REFUSED_CARDS)) == (24, 5)


@RANGES
def test_brand_range_ends_where_it_is_published_to_end(first, last, brand, network, lengths):
    found = {edge: brand_of(pan_of(edge, 16)) for edge in (first, last)}
    assert {(each.name, each.network) for each in found.values()} == {(brand, network)}

    for beyond in (int(first) - 1, int(last) + 1):
        neighbour = brand_of(pan_of(f"{beyond:06d}", 16))
        assert (neighbour and neighbour.name) == published(f"{beyond:06d}")


@pytest.mark.parametrize("prefix", ["0", "1", "2221", "36", "4", "622126", "9"])
def test_brand_is_known_by_six_digits_whatever_follows(prefix):
    assert brand_of(prefix.ljust(6, "0")) == brand_of(prefix.ljust(6, "0") + "9" * 13)


@RANGES
def test_number_of_a_length_its_brand_does_not_have_is_refused(first, last, brand, network, lengths):
    for length in range(12, 20):
        outcome = read_card({**VALID, "number": pan_of(first, length), "cvc": None}, NOW)
        assert isinstance(outcome, Card) if length in lengths else outcome == INCORRECT_NUMBER


@given(st.integers(0, 999_999))
def test_prefix_has_the_published_brand_or_none(number):
    prefix = f"{number:06d}"
    found = brand_of(pan_of(prefix, 16))

    assert (found and found.name) == published(prefix)


@given(valid_pans())
def test_number_of_a_brand_is_read_as_that_brand(case):
    number, brand = case
    card = read_card({**VALID, "number": number, "cvc": None}, NOW)

    assert isinstance(card, Card)
    assert (card.pan, card.brand.name) == (number, brand)


@given(valid_pans())
def test_enough_digits_stay_hidden(case):
    """PCI SSC FAQ 1091: four at least; of American Express's 15, five."""
    number, brand = case
    card = read_card({**VALID, "number": number, "cvc": None}, NOW)
    shown = card.bin8 or card.bin

    assert number.startswith(shown)
    assert shown.startswith(card.bin)
    assert number.endswith(card.last4)
    assert (len(card.bin), len(card.last4)) == (6, 4)
    assert len(number) - len(shown) - len(card.last4) >= (5 if brand == "amex" else 4)
    assert (card.bin8 is None) == (len(number) < 16)


@pytest.mark.parametrize("prefix", MAESTRO)
@pytest.mark.parametrize("length", [12, 13, 16, 19])
def test_maestro_is_not_charged(prefix, length):
    assert read_card({**VALID, "number": pan_of(prefix, length)}, NOW) == UNSUPPORTED_BRAND


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
