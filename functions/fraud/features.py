"""The feature catalogue: a charge and its histories in, a row of numbers out.

The only definition of the model's features, used by training (models/fraud) and by serving. Pure: no AWS, no clock, no
randomness. Absence (no device sent, no earlier charge to compare with) is NaN, which LightGBM treats as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan, log1p, nan
from typing import Literal

from functions.fraud.activity import Activity, Reputation, activity, reputation
from functions.fraud.charge import Charge, value_in_cents
from functions.fraud.history import COUNTRIES, DAY, HOUR, Change, Fact, History, change, confirmed, short_mark, weight

NOTHING = History()

# A charge of more than this many times the card's mean is unusual, once the card has a habit of HABIT charges.
UNUSUAL_TIMES = 2.5
HABIT = 5


@dataclass(frozen=True, slots=True)
class Scene:
    """What a feature may look at: the charge, its value in US cents, and what went before."""

    charge: Charge
    value: int
    card: Activity
    customer: Activity
    device: Activity
    ip: Activity
    email: Activity
    merchant: Activity
    reputation: Reputation


Type = Literal["count", "log", "ratio", "flag", "days", "clock"]
Source = Literal["request", "profile", "label"]


@dataclass(frozen=True, slots=True)
class Feature:
    """A named number. `window` is how far back it looks ("" for the charge itself or all that is remembered), `source`
    what it needs: the request alone, the profiles of earlier charges, or confirmed frauds. Missing is NaN always."""

    name: str
    entity: str
    window: str
    type: Type
    source: Source
    meaning: str
    of: Callable[[Scene], float]


def _ratio(value: float, usual: float) -> float:
    """How many times the usual; a dollar is added to both so that a habit of cents does not make $5 extreme."""
    return (value + 100) / (usual + 100)


def _surprise(value: float, usual: Activity) -> float:
    """Deviations above the mean; at least a tenth of the mean and a dollar count as one deviation."""
    return (value - usual.mean) / (usual.deviation + 0.1 * usual.mean + 100)


def _new(entity: Activity) -> float:
    return nan if isnan(entity.charges) else float(entity.charges == 0)


def _members(entity: Activity, name: str, member: str | None) -> float:
    """How many members the set has with this one."""
    return nan if entity.sets is None or not member else float(len(entity.sets.get(name, frozenset()) | {member}))


def _stranger(entity: Activity, name: str, member: str | None) -> float:
    """1: not a member. NaN for an entity without a past: everything would be new."""
    if entity.sets is None or not member or not entity.charges:
        return nan
    return float(member not in entity.sets.get(name, ()))


def _short(name: str | None) -> str | None:
    return short_mark(name) if name else None


def _mismatch(charge: Charge) -> float:
    if not charge.ip_country or not charge.billing_country:
        return nan
    return float(charge.ip_country != charge.billing_country)


def _jump(scene: Scene) -> float:
    """1: the card was used from another country today or yesterday (UTC)."""
    country, sets = scene.charge.ip_country, scene.card.sets
    if not country or sets is None:
        return nan
    day = scene.charge.at // DAY
    seen = sets.get(f"{COUNTRIES.letter}{day}", frozenset()) | sets.get(f"{COUNTRIES.letter}{day - 1}", frozenset())
    return float(bool(seen - {country}))


FEATURES = (
    Feature("amount_log", "charge", "", "log", "request", "log(1 + US cents)", lambda s: log1p(s.value)),
    Feature("amount_to_card_mean", "card", "", "ratio", "profile", "times the card's mean",
            lambda s: _ratio(s.value, s.card.mean)),
    Feature("amount_to_card_mean_30d", "card", "30d", "ratio", "profile", "times the card's mean of 25-30 days",
            lambda s: _ratio(s.value, s.card.mean_30d)),
    Feature("amount_to_card_peak", "card", "", "ratio", "profile", "times the card's largest",
            lambda s: _ratio(s.value, s.card.peak)),
    Feature("amount_surprise", "card", "", "ratio", "profile", "deviations above the card's mean",
            lambda s: _surprise(s.value, s.card)),
    Feature("amount_to_customer_mean", "customer", "", "ratio", "profile", "times the customer's mean",
            lambda s: _ratio(s.value, s.customer.mean)),
    Feature("amount_to_merchant_mean", "merchant", "", "ratio", "profile", "times the merchant's mean",
            lambda s: _ratio(s.value, s.merchant.mean)),
    Feature("amount_merchant_surprise", "merchant", "", "ratio", "profile", "deviations above the merchant's mean",
            lambda s: _surprise(s.value, s.merchant)),
    Feature("card_new", "card", "", "flag", "profile", "1: first charge of the card", lambda s: _new(s.card)),
    Feature("card_age_days", "card", "", "days", "profile", "days since the card's first charge",
            lambda s: s.card.age_days),
    Feature("card_mean_log", "card", "", "log", "profile", "log(1 + US cents), the card's mean",
            lambda s: log1p(s.card.mean)),
    Feature("card_deviation", "card", "", "ratio", "profile", "deviation of the card's amounts, times their mean",
            lambda s: s.card.deviation / (s.card.mean + 1)),
    Feature("card_count_10m", "card", "10m", "count", "profile", "charges of the card in 10-20 min",
            lambda s: s.card.count_10m),
    Feature("card_count_1h", "card", "1h", "count", "profile", "charges of the card in 1 h",
            lambda s: s.card.count_1h),
    Feature("card_count_24h", "card", "24h", "count", "profile", "charges of the card in 24 h",
            lambda s: s.card.count_24h),
    Feature("card_count_7d", "card", "7d", "count", "profile", "charges of the card in 7 days",
            lambda s: s.card.count_7d),
    Feature("card_count_30d", "card", "30d", "count", "profile", "charges of the card in 25-30 days",
            lambda s: s.card.count_30d),
    Feature("card_value_24h", "card", "24h", "log", "profile", "log(1 + US cents) of the card in 24 h",
            lambda s: log1p(s.card.value_24h)),
    Feature("card_value_7d", "card", "7d", "log", "profile", "log(1 + US cents) of the card in 7 days",
            lambda s: log1p(s.card.value_7d)),
    Feature("card_mean_7d", "card", "7d", "ratio", "profile", "the card's mean of 7 days, times its mean",
            lambda s: _ratio(s.card.mean_7d, s.card.mean)),
    Feature("card_unusual_24h", "card", "24h", "count", "profile", "unusual amounts on the card, today and yesterday",
            lambda s: s.card.unusual_2d),
    Feature("card_unusual_7d", "card", "7d", "count", "profile", "unusual amounts on the card in 7 days",
            lambda s: s.card.unusual_7d),
    Feature("card_unusual_14d", "card", "14d", "count", "profile", "unusual amounts on the card in 14 days",
            lambda s: s.card.unusual_14d),
    Feature("card_merchant_new", "card", "", "flag", "profile", "1: merchant not among the card's habitual ones, to 6",
            lambda s: _stranger(s.card, "merchants", _short(s.charge.merchant))),
    Feature("card_country_new", "card", "", "flag", "profile", "1: IP country not seen on the card",
            lambda s: _stranger(s.card, "countries", s.charge.ip_country)),
    Feature("card_country_jump_24h", "card", "24h", "flag", "profile", "1: card used from another country in 24-48 h",
            _jump),
    Feature("card_frauds", "card", "", "count", "label", "confirmed frauds of the card", lambda s: s.card.frauds),
    Feature("card_fraud_days", "card", "", "days", "label", "days since the card's newest confirmed fraud",
            lambda s: s.card.fraud_days),
    Feature("customer_new", "customer", "", "flag", "profile", "1: first charge of the customer",
            lambda s: _new(s.customer)),
    Feature("customer_age_days", "customer", "", "days", "profile", "days since the customer's first charge",
            lambda s: s.customer.age_days),
    Feature("customer_count_1h", "customer", "1h", "count", "profile", "charges of the customer in 1 h",
            lambda s: s.customer.count_1h),
    Feature("customer_count_24h", "customer", "24h", "count", "profile", "charges of the customer in 24 h",
            lambda s: s.customer.count_24h),
    Feature("customer_value_24h", "customer", "24h", "log", "profile", "log(1 + US cents) of the customer in 24 h",
            lambda s: log1p(s.customer.value_24h)),
    Feature("customer_card_new", "customer", "", "flag", "profile", "1: card not seen with the known customer",
            lambda s: _stranger(s.customer, "cards", short_mark(s.charge.card))),
    Feature("customer_device_new", "customer", "", "flag", "profile", "1: device not seen with the known customer",
            lambda s: _stranger(s.customer, "devices", _short(s.charge.device))),
    Feature("customer_email_new", "customer", "", "flag", "profile", "1: e-mail not seen with the known customer",
            lambda s: _stranger(s.customer, "emails", _short(s.charge.email))),
    Feature("customer_frauds", "customer", "", "count", "label", "confirmed frauds of the customer",
            lambda s: s.customer.frauds),
    Feature("device_new", "device", "", "flag", "profile", "1: first charge from the device",
            lambda s: _new(s.device)),
    Feature("device_age_days", "device", "", "days", "profile", "days since the device's first charge",
            lambda s: s.device.age_days),
    Feature("device_count_10m", "device", "10m", "count", "profile", "charges from the device in 10-20 min",
            lambda s: s.device.count_10m),
    Feature("device_count_1h", "device", "1h", "count", "profile", "charges from the device in 1 h",
            lambda s: s.device.count_1h),
    Feature("device_count_24h", "device", "24h", "count", "profile", "charges from the device in 24 h",
            lambda s: s.device.count_24h),
    Feature("device_cards", "device", "", "count", "profile", "cards on the device with this one, to 17",
            lambda s: _members(s.device, "cards", short_mark(s.charge.card))),
    Feature("device_card_new", "device", "", "flag", "profile", "1: card not seen on the device",
            lambda s: nan if s.device.sets is None
            else float(short_mark(s.charge.card) not in s.device.sets.get("cards", ()))),
    Feature("device_frauds", "device", "", "count", "label", "confirmed frauds of the device",
            lambda s: s.device.frauds),
    Feature("ip_count_10m", "ip", "10m", "count", "profile", "charges by strangers from the IP address in 10-20 min",
            lambda s: s.ip.count_10m),
    Feature("ip_count_24h", "ip", "24h", "count", "profile", "charges by strangers from the IP address in 24 h",
            lambda s: s.ip.count_24h),
    Feature("ip_cards", "ip", "", "count", "profile", "strangers' cards from the IP address with this one, to 17",
            lambda s: _members(s.ip, "cards", short_mark(s.charge.card))),
    Feature("ip_frauds", "ip", "", "count", "label", "confirmed frauds from the IP address", lambda s: s.ip.frauds),
    Feature("ip_billing_mismatch", "charge", "", "flag", "request", "1: IP country is not the billing country",
            lambda s: _mismatch(s.charge)),
    Feature("email_count_24h", "email", "24h", "count", "profile", "charges by strangers with the e-mail in 24 h",
            lambda s: s.email.count_24h),
    Feature("email_cards", "email", "", "count", "profile", "strangers' cards with the e-mail with this one, to 17",
            lambda s: _members(s.email, "cards", short_mark(s.charge.card))),
    Feature("email_frauds", "email", "", "count", "label", "its confirmed frauds", lambda s: s.email.frauds),
    Feature("merchant_count_24h", "merchant", "24h", "count", "profile", "charges of the merchant, today and yesterday",
            lambda s: s.merchant.count_2d),
    Feature("merchant_fraud_rate_7d", "merchant", "7d", "ratio", "label", "confirmed of the charges 7-14 days ago",
            lambda s: s.reputation.rate_7d),
    Feature("merchant_fraud_rate_30d", "merchant", "30d", "ratio", "label", "confirmed of the charges 7-37 days ago",
            lambda s: s.reputation.rate_30d),
    Feature("merchant_quiet_frauds_7d", "merchant", "7d", "count", "label", "frauds of usual amount to 14 days ago",
            lambda s: s.reputation.quiet_7d),
    Feature("merchant_quiet_frauds_30d", "merchant", "30d", "count", "label", "frauds of usual amount to 37 days ago",
            lambda s: s.reputation.quiet_30d),
    Feature("merchant_fraud_streak", "merchant", "30d", "count", "label",
            "frauds of usual amount without a day of good charges", lambda s: s.reputation.streak),
    Feature("merchant_fraud_streak_days", "merchant", "30d", "days", "label", "days since that streak began",
            lambda s: s.reputation.streak_days),
    Feature("merchant_fraud_first_days", "merchant", "30d", "days", "label", "days since the first of usual amount",
            lambda s: s.reputation.first_days),
    Feature("merchant_fraud_last_days", "merchant", "30d", "days", "label", "days since the last of usual amount",
            lambda s: s.reputation.last_days),
    Feature("merchant_good_since_fraud", "merchant", "30d", "count", "label", "good charges on later days than that",
            lambda s: s.reputation.good_since),
    Feature("hour", "charge", "", "clock", "request", "hour of day, UTC", lambda s: s.charge.at % DAY // HOUR),
    Feature("weekday", "charge", "", "clock", "request", "0 Monday to 6 Sunday, UTC",
            lambda s: (s.charge.at // DAY + 3) % 7),
)  # fmt: skip
NAMES = tuple(feature.name for feature in FEATURES)
_FUNCTIONS = tuple(feature.of for feature in FEATURES)
_ABSENT = Activity()


def row(charge: Charge, histories: Mapping[str, History]) -> list[float]:
    """The features of a charge in the order of NAMES, from its entities' histories over all regions.

    `histories` is by kind, as charge.entities; a kind that is missing was not sent by the merchant.
    """
    past = {kind: activity(kind, history, charge.at) for kind, history in histories.items()}
    scene = Scene(
        charge=charge,
        value=value_in_cents(charge),
        card=past["card"],
        customer=past.get("customer", _ABSENT),
        device=past.get("device", _ABSENT),
        ip=past.get("ip", _ABSENT),
        email=past.get("email", _ABSENT),
        merchant=past["merchant"],
        reputation=reputation(histories["merchant"], charge.at),
    )
    return [function(scene) for function in _FUNCTIONS]


def remember(
    charge: Charge, own: Mapping[str, History], histories: Mapping[str, History], blocked: bool
) -> dict[str, Change]:
    """What the charge, blocked or not, adds to `own`, one region's histories of its entities, by kind.

    `histories` are those over all regions, as in `row`. Every change is a replicated write ($1.25 per million), so not
    everything is written: IP and e-mail addresses only count strangers, charges with a card that is new or of a
    customer who is (docs/decisions.md), and crowded entities are counted in samples.
    """
    fact = _fact(charge, histories["card"], blocked)
    known = all(histories[kind].numbers.get("charges", 0) > 0 for kind in ("card", "customer") if kind in histories)
    changes = {}
    for kind in own:
        times = 0 if known and kind in ("ip", "email") else weight(kind, own[kind], charge.payment_id, charge.at)
        if times:
            changes[kind] = change(kind, own[kind], _told(kind, charge, fact), times)
    return changes


def remember_fraud(
    charge: Charge, own: Mapping[str, History], histories: Mapping[str, History], at: int
) -> dict[str, Change]:
    """What it adds to `own`, by kind, that a charge which was let through is confirmed as fraud at Unix second `at`.

    Who calls this when a dispute or a reviewer's word arrives passes the histories of that moment: features see the
    fraud from then on, no sooner. An address need not be passed if it is no longer known.
    """
    fact = _fact(charge, histories["card"], False)
    return {kind: confirmed(kind, own[kind], fact, at) for kind in own}


def unusual(charge: Charge, card: History) -> bool:
    """Whether the charge's amount is unusual for its card, whose history over all regions this is."""
    charges = card.numbers.get("charges", 0)
    return charges >= HABIT and _ratio(value_in_cents(charge), card.numbers["spent"] / charges) > UNUSUAL_TIMES


def _fact(charge: Charge, card: History, blocked: bool) -> Fact:
    return Fact(charge.payment_id, value_in_cents(charge), charge.at, blocked, unusual(charge, card))


def _told(kind: str, charge: Charge, fact: Fact) -> Fact:
    tried: dict[str, str | None] = {}
    habits: dict[str, str | None] = {}
    if kind in ("device", "ip", "email"):
        tried = {"cards": short_mark(charge.card)}
    elif kind == "customer":
        habits = {
            "cards": short_mark(charge.card),
            "devices": _short(charge.device),
            "emails": _short(charge.email),
        }
    elif kind == "card":
        country = charge.ip_country
        habits = {
            "merchants": short_mark(charge.merchant),
            "countries": country,
            f"{COUNTRIES.letter}{charge.at // DAY}": country,
        }
    return Fact(
        fact.payment_id,
        fact.value,
        fact.at,
        fact.blocked,
        fact.unusual and kind == "card",
        {name: member for name, member in tried.items() if member},
        {name: member for name, member in habits.items() if member},
    )
