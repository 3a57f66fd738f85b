"""What was agreed with the networks: what is no file of terms is refused, layers, and fees to the last unit."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.reconciliation import classes, terms
from functions.reconciliation.terms import InvalidTerms
from tests.unit.reconciliation.oracle import agreed, fee_of

LAYERED = {
    "default": {"due_days": 3, "tolerance": {"USD": 1, "*": 2}, "basis_points": 180, "fixed": {"*": 10}},
    "networks": {"visa": {"tolerance": {"USD": 5}}, "amex": {"due_days": 7, "fee_tolerance": {"*": 4}}},
    "merchants": {"mer_a": {"*": {"basis_points": 250, "tolerance": {"*": 9}}, "visa": {"basis_points": 0}}},
}


def parsed(value):
    return terms.parse(json.dumps(value).encode())


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"default": {"due_days": -1}},
        {"default": {"due_days": 366}},
        {"default": {"due_days": 1.5}},
        {"default": {"due_days": "3"}},
        {"default": {"due_days": True}},
        {"default": {"basis_points": 10_001}},
        {"default": {"basis_points": 1.0e-1}},
        {"default": {"tolerance": {"usd": 1}}},
        {"default": {"tolerance": {"US": 1}}},
        {"default": {"tolerance": {"": 1}}},
        {"default": {"tolerance": {"USD": -1}}},
        {"default": {"tolerance": {"USD": 10**12 + 1}}},
        {"default": {"tolerance": 1}},
        {"default": {"tolerances": {"USD": 1}}},
        {"default": {}, "network": {}},
        {"default": {}, "networks": {"visa": {"percent": 2}}},
        {"default": {}, "merchants": {"mer_a": {"due_days": 3}}},
        [],
        None,
    ],
)
def test_what_is_no_file_of_terms_is_refused(wrong):
    with pytest.raises(InvalidTerms):
        parsed(wrong)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"default": {}} {}', b'{"default": {"due_days": NaN}}'])
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(InvalidTerms):
        terms.parse(raw)


def test_without_a_file_those_hold_that_are_shipped():
    shipped = terms.parse(None)
    assert shipped.of("visa", "USD").due_days > 0
    assert shipped.of("amex", "USD").basis_points > shipped.of("visa", "USD").basis_points


@pytest.mark.parametrize(
    ("network", "currency", "merchant", "tolerance", "basis_points"),
    [
        ("mastercard", "USD", None, 1, 180),
        ("mastercard", "JPY", None, 2, 180),
        ("visa", "USD", "mer_other", 5, 180),
        ("visa", "JPY", None, 2, 180),
        ("mastercard", "USD", "mer_a", 9, 250),
        ("visa", "USD", "mer_a", 9, 0),
    ],
)
def test_the_last_layer_that_says_something_counts(network, currency, merchant, tolerance, basis_points):
    found = parsed(LAYERED).of(network, currency, merchant)
    assert (found.tolerance, found.basis_points) == (tolerance, basis_points)


def test_what_nobody_agreed_is_nothing():
    found = parsed({"default": {}}).of("visa", "USD", "mer_a")
    assert (found.due_days, found.tolerance, found.fee_tolerance, found.basis_points, found.fixed) == (0, 0, 0, 0, 0)


_amounts = st.dictionaries(st.sampled_from(("USD", "JPY", "*")), st.integers(0, 10**12))
_changes = st.fixed_dictionaries(
    {},
    optional={
        "due_days": st.integers(0, 365),
        "basis_points": st.integers(0, 10_000),
        "tolerance": _amounts,
        "fee_tolerance": _amounts,
        "fixed": _amounts,
    },
)


@given(
    st.fixed_dictionaries(
        {"default": _changes},
        optional={
            "networks": st.dictionaries(st.sampled_from(("visa", "amex")), _changes),
            "merchants": st.dictionaries(st.just("mer_a"), st.dictionaries(st.sampled_from(("visa", "*")), _changes)),
        },
    ),
    st.sampled_from(("visa", "amex")),
    st.sampled_from(("USD", "EUR")),
    st.sampled_from(("mer_a", "mer_b", None)),
)
def test_layers_are_as_the_document_says(given_terms, network, currency, merchant):
    found = parsed(given_terms).of(network, currency, merchant)
    expected = agreed(given_terms, network, currency, merchant)
    assert {name: getattr(found, name) for name in expected} == expected


def fee(connection, kind, amount, basis_points, fixed):
    """As the matching works it out."""
    values = "?::VARCHAR AS type, ?::BIGINT AS expected, ?::BIGINT AS basis_points, ?::BIGINT AS fixed"
    query = f"SELECT {classes.FEE_EXPECTED} FROM (SELECT {values})"
    return connection.execute(query, [kind, amount, basis_points, fixed]).fetchall()[0][0]


@pytest.mark.parametrize(
    ("amount", "basis_points", "expected"),
    [
        (27, 180, 0),  # 0.486
        (28, 180, 1),  # 0.504
        (5000, 1, 1),  # exactly 0.5
        (4999, 1, 0),
        (15000, 1, 2),  # exactly 1.5
        (1, 10_000, 1),
        (0, 180, 0),
        (999_999_999_999, 10_000, 999_999_999_999),
        (9_000_000_000_000_000_001, 9_999, 8_999_100_000_000_000_001),
    ],
)
def test_basis_points_are_rounded_half_up_and_exact(connection, amount, basis_points, expected):
    assert fee(connection, "capture", amount, basis_points, 0) == expected
    assert fee(connection, "capture", amount, basis_points, 7) == expected + 7


@pytest.mark.parametrize("kind", ["refund", "chargeback", "representment"])
def test_only_captures_cost_a_fee(connection, kind):
    assert fee(connection, kind, 10_000, 180, 10) == 0


@settings(deadline=None)
@given(st.integers(0, 10**14), st.integers(0, 10_000), st.integers(0, 10**12))
def test_fees_are_as_the_document_says(connection, amount, basis_points, fixed):
    plan = {"basis_points": basis_points, "fixed": fixed}
    assert fee(connection, "capture", amount, basis_points, fixed) == fee_of(plan, "capture", amount)
