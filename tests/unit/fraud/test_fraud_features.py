"""The feature catalogue: what the numbers mean."""

import json
from dataclasses import replace
from math import isnan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.fraud.charge import Charge, decode, entities, value_in_cents
from functions.fraud.features import NAMES
from models.fraud.dataset import Memory

NOON = 1_795_435_200  # Monday, 23 November 2026, 12:00 UTC
CHARGE = Charge("pay_0", "mer_1", 4200, "USD", NOON, "tok_1", "cus_1", "dev_1")


def features(memory: Memory, charge: Charge) -> dict[str, float]:
    return dict(zip(NAMES, memory.features(charge), strict=True))


def test_the_sample_event_is_decoded_with_the_time_it_carries() -> None:
    event = json.loads((Path(__file__).parents[3] / "events" / "fraud.json").read_text())
    charge = decode(event)
    assert (charge.amount, charge.at, charge.customer, charge.device) == (4200, NOON - 7200, "cus_1", "dev_1")
    assert decode({**event, "customer": None, "device": None}).device is None


@pytest.mark.parametrize("missing", ["payment_id", "merchant_id", "amount", "currency", "created_at", "card"])
def test_a_request_that_is_not_as_agreed_is_refused(missing: str) -> None:
    event = json.loads((Path(__file__).parents[3] / "events" / "fraud.json").read_text())
    del event[missing]
    with pytest.raises(KeyError):
        decode(event)


def test_everything_is_new_on_a_first_charge() -> None:
    first = features(Memory(), CHARGE)
    assert (first["card_new"], first["customer_new"], first["device_new"], first["device_card_new"]) == (1, 1, 1, 1)
    assert first["card_count_1h"] == first["device_count_10m"] == 0
    assert isnan(first["amount_to_card_mean"])
    assert (first["hour"], first["weekday"], first["device_cards"]) == (12, 0, 1)


def test_what_the_merchant_did_not_send_is_missing_not_new() -> None:
    bare = features(Memory(), replace(CHARGE, customer=None, device=None))
    assert all(isnan(bare[name]) for name in NAMES if name.startswith(("device", "customer")))


def test_an_amount_is_measured_by_the_cards_own_habit() -> None:
    memory = Memory()
    for number in range(10):
        memory.count(replace(CHARGE, payment_id=f"pay_{number}"), blocked=False)
    usual, large = features(memory, CHARGE), features(memory, replace(CHARGE, amount=42_000))
    assert usual["amount_to_card_mean"] == usual["amount_to_card_peak"] == 1
    assert usual["amount_surprise"] == 0
    assert large["amount_to_card_mean"] == pytest.approx(42_100 / 4300)
    assert large["amount_surprise"] > 50


def test_cards_on_a_device_are_counted_once_each() -> None:
    memory = Memory()
    for number in range(30):
        memory.count(replace(CHARGE, payment_id=f"pay_{number}", card=f"tok_{number % 5}"), blocked=False)
    assert features(memory, replace(CHARGE, card="tok_3"))["device_cards"] == 5
    assert features(memory, replace(CHARGE, card="tok_9"))["device_cards"] == 6


def test_merchants_that_use_the_same_names_do_not_share_customers_or_devices() -> None:
    mine, other = entities(CHARGE), entities(replace(CHARGE, merchant="mer_2"))
    assert mine["card"] == other["card"]
    assert mine["customer"] != other["customer"]
    assert mine["device"] != other["device"]


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_keys_are_short_and_tell_names_apart(one: str, two: str) -> None:
    key_one = entities(replace(CHARGE, customer=one))["customer"]
    key_two = entities(replace(CHARGE, customer=two))["customer"]
    assert len(key_one.encode()) <= 72
    assert (key_one == key_two) == (one == two)


def test_currencies_are_compared_by_worth_not_by_digits() -> None:
    worth = {
        code: value_in_cents(replace(CHARGE, amount=10_000, currency=code)) for code in ("USD", "JPY", "KWD", "XXX")
    }
    assert worth == {"USD": 10_000, "JPY": 6_500, "KWD": 3_260, "XXX": 10_000}
