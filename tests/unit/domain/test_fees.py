"""What merchants are charged: rounded half up, and the cents always add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.fees import FeePlan, InvalidFeePlan

plans = st.builds(
    FeePlan,
    basis_points=st.integers(0, 10_000),
    fixed=st.integers(0, 1_000),
    dispute=st.integers(0, 10_000),
)
captures = st.lists(st.integers(1, 99_999_999), min_size=1, max_size=12)


@given(plans, captures)
def test_however_a_payment_is_split_its_fees_add_up_to_the_fee_of_the_whole(plan, parts):
    taken, before = 0, 0
    for part in parts:
        taken += plan.of_capture(before, part)
        before += part

    assert taken == plan.of_capture(0, sum(parts))


@given(plans, captures)
def test_no_capture_earns_the_merchant_a_fee(plan, parts):
    before = 0
    for part in parts:
        assert plan.of_capture(before, part) >= 0
        before += part


@given(st.integers(0, 10_000), st.integers(1, 99_999_999))
def test_the_fee_is_within_half_a_cent_of_the_exact_percentage(basis_points, amount):
    fee = FeePlan(basis_points).of_capture(0, amount)

    assert -5_000 < fee * 10_000 - amount * basis_points <= 5_000


@pytest.mark.parametrize(
    ("basis_points", "amount", "fee"),
    [
        (290, 4200, 122),  # 121.8
        (50, 100, 1),  # 0.5: half up
        (50, 99, 0),  # 0.495
        (50, 300, 2),  # 1.5: half up, where half to even would say 2 as well
        (50, 500, 3),  # 2.5: half up, where half to even would say 2
        (1, 1, 0),
        (10_000, 4200, 4200),
        (0, 99_999_999, 0),
        (290, 99_999_999, 2_900_000),
    ],
)
def test_the_percentage_is_rounded_half_up(basis_points, amount, fee):
    assert FeePlan(basis_points).of_capture(0, amount) == fee


def test_the_fixed_fee_is_taken_once_with_the_first_capture():
    plan = FeePlan(fixed=30)

    assert [plan.of_capture(before, 100) for before in (0, 100, 200)] == [30, 0, 0]


def test_a_fixed_fee_may_be_more_than_the_amount():
    assert FeePlan(fixed=30).of_capture(0, 1) == 30


def test_no_terms_are_no_fees():
    assert FeePlan().of_capture(0, 4200) == 0


@pytest.mark.parametrize("terms", [{"basis_points": -1}, {"basis_points": 10_001}, {"fixed": -1}, {"dispute": -1}])
def test_terms_beyond_their_limits_are_refused(terms):
    with pytest.raises(InvalidFeePlan):
        FeePlan(**terms)


@pytest.mark.parametrize("value", [2.9, True, "290", None])
@pytest.mark.parametrize("name", ["basis_points", "fixed", "dispute"])
def test_terms_that_are_no_integers_are_refused(name, value):
    with pytest.raises(InvalidFeePlan):
        FeePlan(**{name: value})


def test_terms_at_their_limits_are_taken():
    assert FeePlan(10_000, 0, 0).of_capture(0, 7) == 7
