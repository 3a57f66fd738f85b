"""What may be a card number, and what is none."""

import hashlib
import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.errors import InvalidRequest
from payments.rest.card_numbers import refuse as refuse_card_number


def with_check_digit(body):
    """The digits with the Luhn digit that completes them, by trying all ten (ISO/IEC 7812-1, annex B)."""
    for check in "0123456789":
        digits = [int(digit) for digit in body + check]
        total = sum(digits[-1::-2]) + sum(sum(map(int, str(2 * digit))) for digit in digits[-2::-2])
        if total % 10 == 0:
            return body + check
    raise AssertionError("no check digit")


numbers = st.text("0123456789", min_size=12, max_size=18).map(with_check_digit)


@given(numbers, st.sampled_from(["", "x", "card: ", "\n"]), st.sampled_from(["", "y", " exp", "!"]))
def test_every_number_that_passes_the_luhn_check_is_refused(number, before, after):
    with pytest.raises(InvalidRequest):
        refuse_card_number(before + number + after, "description")


@given(numbers, st.sampled_from([" ", "-", ".", "_", "/"]), st.lists(st.integers(1, 18), max_size=4))
def test_grouping_does_not_hide_it(number, separator, cuts):
    for cut in sorted(set(cuts), reverse=True):
        if cut < len(number):
            number = number[:cut] + separator + number[cut:]

    with pytest.raises(InvalidRequest):
        refuse_card_number(number, "description")


@pytest.mark.parametrize(
    "text",
    [
        "4242,4242,4242,4242", "4242:4242:4242:4242", "4242\t4242\n4242\u00a04242", "4242 – 4242 – 4242 – 4242",
        "4242+4242+4242+4242", "3782|822463|10005", "４２４２４２４２４２４２４２４２", "4242   4242   4242   4242",
        "42424242-4242-4242-0000-000000000000",
    ],
)  # fmt: skip
def test_no_way_of_printing_it_hides_it(text):
    with pytest.raises(InvalidRequest):
        refuse_card_number(f"pay with {text}, please", "description")


def test_random_ids_are_never_taken_for_one():
    chance = random.Random(1)
    for _ in range(20_000):
        value = uuid.UUID(int=chance.getrandbits(128), version=4)
        for text in (str(value), f"key-{value}", str(value).upper(), hashlib.sha256(value.bytes).hexdigest()):
            refuse_card_number(text, "Idempotency-Key")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23T10:00:00.000Z",
        "2026-11-23 10:00:00.123456",
        "10,000,000,000,000",
        "+1 555 0100",
        "order 1234",
        "1" * 12,
        "4242424242424241",
    ],
)
def test_other_digits_are_not_refused(text):
    refuse_card_number(text, "description")
