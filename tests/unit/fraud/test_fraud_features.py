"""The feature catalogue: what the numbers mean."""

import json
from dataclasses import replace
from math import isnan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.fraud.charge import Charge, decode, entities, value_in_cents
from functions.fraud.features import FEATURES, HABIT, NAMES
from functions.fraud.history import DAY
from models.fraud.dataset import Memory, rows

NOON = 1_795_435_200  # Monday, 23 November 2026, 12:00 UTC
CHARGE = Charge("pay_0", "mer_1", 4200, "USD", NOON, "tok_1", "cus_1", "dev_1")


def features(memory: Memory, charge: Charge) -> dict[str, float]:
    return dict(zip(NAMES, memory.features(charge), strict=True))


def test_the_sample_event_is_decoded_with_the_time_it_carries() -> None:
    event = json.loads((Path(__file__).parents[3] / "events" / "fraud.json").read_text())
    charge = decode(event)
    assert (charge.amount, charge.at, charge.customer, charge.device) == (4200, NOON - 7200, "cus_1", "dev_1")
    assert (charge.email, charge.ip, charge.billing_country) == ("a@example.com", "203.0.113.7", "US")
    assert (charge.bin, charge.ip_country) == ("424242", None)
    bare = decode({**event, "customer": None, "device": None})
    assert (bare.customer, bare.email, bare.billing_country, bare.device, bare.ip) == (None,) * 5


def test_the_address_is_looked_up_and_one_e_mail_address_is_one_however_it_is_written() -> None:
    event = json.loads((Path(__file__).parents[3] / "events" / "fraud.json").read_text())
    asked: list[str] = []

    def lookup(ip: str) -> str:
        asked.append(ip)
        return "DE"

    charge = decode({**event, "customer": {"id": "cus_1", "email": " A@Example.COM "}}, lookup)
    assert (charge.ip_country, charge.email, asked) == ("DE", "a@example.com", ["203.0.113.7"])
    assert decode({**event, "device": {"fingerprint": "dev_1"}}, lookup).ip_country is None


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
    unsent = ("device", "customer", "ip", "email", "card_country")
    assert all(isnan(bare[name]) for name in NAMES if name.startswith(unsent))


def test_the_catalogue_says_of_every_feature_what_it_is() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for feature in FEATURES:
        assert feature.window in ("", "10m", "1h", "24h", "7d", "14d", "30d")
        assert feature.meaning
        assert (feature.source == "label") == ("fraud" in feature.name)
        if feature.window and feature.source == "profile":
            assert feature.name.endswith(feature.window)


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


def test_strangers_on_one_address_are_counted_and_the_known_are_not() -> None:
    memory, shared = Memory(), replace(CHARGE, ip="203.0.113.7", email="a@example.com")
    for number in range(6):
        memory.count(replace(shared, payment_id=f"pay_{number}"), blocked=False)
    assert [features(memory, shared)[f"{kind}_count_24h"] for kind in ("ip", "email")] == [1, 1]
    for number in range(6):
        stranger = replace(shared, payment_id=f"pay_s{number}", card=f"tok_s{number}", customer=f"s{number}")
        memory.count(stranger, blocked=False)
    facts = features(memory, shared)
    assert (facts["ip_count_24h"], facts["ip_cards"], facts["email_cards"]) == (7, 7, 7)


def test_a_known_customer_with_a_new_device_card_and_address_stands_out() -> None:
    memory, usual = Memory(), replace(CHARGE, email="a@example.com")
    assert isnan(features(memory, usual)["customer_device_new"])
    memory.count(usual, blocked=False)
    names = ("customer_device_new", "customer_card_new", "customer_email_new", "card_merchant_new")
    assert [features(memory, usual)[name] for name in names] == [0, 0, 0, 0]
    thief = replace(usual, device="dev_9", card="tok_9", email="t@example.com")
    memory.count(replace(thief, payment_id="pay_t"), blocked=True)
    assert [features(memory, thief)[name] for name in names[:3]] == [1, 1, 1]
    assert features(memory, replace(usual, merchant="mer_2"))["card_merchant_new"] == 1


def test_a_card_in_two_countries_within_a_day_has_jumped() -> None:
    memory, home = Memory(), replace(CHARGE, ip="1", ip_country="US", billing_country="US")
    memory.count(home, blocked=False)
    abroad = replace(home, at=NOON + 3600, ip_country="FR")
    here, there = features(memory, home), features(memory, abroad)
    names = ("card_country_jump_24h", "card_country_new", "ip_billing_mismatch")
    assert [here[name] for name in names] == [0, 0, 0]
    assert [there[name] for name in names] == [1, 1, 1]
    assert features(memory, replace(abroad, at=NOON + 3 * DAY))["card_country_jump_24h"] == 0
    assert isnan(features(memory, replace(abroad, billing_country=None))["ip_billing_mismatch"])


def test_unusual_amounts_are_counted_once_the_card_has_a_habit() -> None:
    memory = Memory()
    for number in range(HABIT):
        memory.count(replace(CHARGE, payment_id=f"pay_{number}", amount=99_999 if number == 0 else 4200), blocked=False)
    assert features(memory, CHARGE)["card_unusual_7d"] == 0
    memory.count(replace(CHARGE, payment_id="pay_x", amount=99_999), blocked=True)
    later = [features(memory, replace(CHARGE, at=NOON + days * DAY)) for days in (0, 3, 8, 20)]
    found = [[facts[f"card_unusual_{window}"] for window in ("24h", "7d", "14d")] for facts in later]
    assert found == [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]]


def test_a_fraud_is_known_from_its_label_on_and_no_sooner() -> None:
    """A shop with two charges a day; all of them are confirmed as fraud from day 10 to day 19, nine days late."""
    memory = Memory()
    stream = []
    for number in range(120):
        at = NOON + number * DAY // 2
        guilty = 10 <= number // 2 < 20
        charge = replace(CHARGE, payment_id=f"pay_{number}", card=f"tok_{number}", at=at)
        stream.append((charge, False, at + 9 * DAY if guilty else None))
    told = [dict(zip(NAMES, one, strict=True)) for one in rows(stream, memory)]
    first = next(number for number, facts in enumerate(told) if facts["merchant_quiet_frauds_30d"])
    assert first == 2 * 19
    assert told[first - 1]["merchant_fraud_rate_30d"] == 0
    assert (told[first]["merchant_fraud_streak"], told[first]["merchant_fraud_first_days"]) == (1, 9)
    ending = told[2 * 27]
    assert ending["merchant_fraud_rate_7d"] > 0.8
    assert (ending["merchant_fraud_streak_days"], ending["merchant_good_since_fraud"]) == (17, 2)
    after = told[2 * 33]
    assert after["merchant_good_since_fraud"] > 0
    assert after["merchant_fraud_rate_7d"] < 0.5
    assert told[-1]["merchant_fraud_streak"] == told[-1]["merchant_quiet_frauds_30d"] == 0


def test_what_is_still_within_the_labels_delay_is_not_called_good() -> None:
    memory = Memory()
    for day in range(7):
        memory.count(replace(CHARGE, payment_id=f"pay_{day}", at=NOON + day * DAY), blocked=False)
    facts = features(memory, replace(CHARGE, at=NOON + 7 * DAY))
    assert isnan(facts["merchant_fraud_rate_30d"])
    assert features(memory, replace(CHARGE, at=NOON + 8 * DAY))["merchant_fraud_rate_30d"] == 0


def test_a_confirmed_fraud_does_not_become_the_cards_habit() -> None:
    memory = Memory()
    for number in range(6):
        memory.count(replace(CHARGE, payment_id=f"pay_{number}"), blocked=False)
    thief = replace(CHARGE, payment_id="pay_t", amount=420_000)
    memory.count(thief, blocked=False)
    spoiled = features(memory, CHARGE)["amount_to_card_mean"]
    memory.confirm(thief, NOON + 8 * DAY)
    facts = features(memory, replace(CHARGE, at=NOON + 8 * DAY))
    assert spoiled < 0.1
    assert (facts["amount_to_card_mean"], facts["card_frauds"], facts["card_fraud_days"]) == (1, 1, 8)
