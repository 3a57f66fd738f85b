"""The feature catalogue: a charge and its histories in, a row of numbers out.

The only definition of the model's features, used by training (models/fraud) and by serving. Pure: no AWS, no clock, no
randomness. Absence (no device sent, no earlier charge to compare with) is NaN, which LightGBM treats as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log1p, nan, sqrt

from functions.fraud.charge import Charge, value_in_cents
from functions.fraud.history import (
    BUCKETS_1H,
    BUCKETS_24H,
    HOUR,
    TEN_MINUTES,
    Change,
    History,
    card_mark,
    change,
    window,
)

DAY = 24 * HOUR
NOTHING = History()


@dataclass(frozen=True, slots=True)
class Activity:
    """An entity's charges before this one; values in US cents. All NaN for an entity that the merchant did not send."""

    charges: float = nan
    count_10m: float = nan
    count_1h: float = nan
    count_24h: float = nan
    value_24h: float = nan
    mean: float = nan
    deviation: float = nan
    peak: float = nan
    cards: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What a feature may look at: the charge, its value in US cents, and what went before."""

    charge: Charge
    value: int
    card: Activity
    customer: Activity
    device: Activity


@dataclass(frozen=True, slots=True)
class Feature:
    """A named number; `meaning` says its unit."""

    name: str
    meaning: str
    of: Callable[[Scene], float]


def activity(history: History, at: int) -> Activity:
    """Sums and windows of an entity as of Unix second `at`. Mean and deviation are NaN before the first charge."""
    numbers = history.numbers
    charges = numbers.get("charges", 0)
    mean = deviation = peak = nan
    if charges:
        spent = numbers.get("spent", 0)
        mean, peak = spent / charges, float(numbers.get("peak", 0))
        # In integers, so that equal amounts have exactly no deviation.
        deviation = sqrt(max(charges * numbers.get("squares", 0) - spent * spent, 0)) / charges
    count_24h, value_24h = window(history, "h", at // HOUR, BUCKETS_24H)
    return Activity(
        charges=charges,
        count_10m=window(history, "m", at // TEN_MINUTES, 2)[0],
        count_1h=window(history, "m", at // TEN_MINUTES, BUCKETS_1H)[0],
        count_24h=count_24h,
        value_24h=value_24h,
        mean=mean,
        deviation=deviation,
        peak=peak,
        cards=history.sets.get("cards", frozenset()),
    )


def _ratio(value: float, usual: float) -> float:
    """How many times the usual; a dollar is added to both so that a habit of cents does not make $5 extreme."""
    return (value + 100) / (usual + 100)


def _surprise(value: float, usual: Activity) -> float:
    """Deviations above the mean; at least a tenth of the mean and a dollar count as one deviation."""
    return (value - usual.mean) / (usual.deviation + 0.1 * usual.mean + 100)


def _new(entity: Activity) -> float:
    return nan if entity.charges != entity.charges else float(entity.charges == 0)


def _cards_with(device: Activity, card: str) -> float:
    return nan if device.cards is None else float(len(device.cards | {card_mark(card)}))


def _new_on(device: Activity, card: str) -> float:
    return nan if device.cards is None else float(card_mark(card) not in device.cards)


FEATURES = (
    Feature("amount_log", "log(1 + US cents)", lambda s: log1p(s.value)),
    Feature("amount_to_card_mean", "times the card's mean", lambda s: _ratio(s.value, s.card.mean)),
    Feature("amount_to_card_peak", "times the card's largest", lambda s: _ratio(s.value, s.card.peak)),
    Feature("amount_surprise", "deviations above the card's mean", lambda s: _surprise(s.value, s.card)),
    Feature("amount_to_customer_mean", "times the customer's mean", lambda s: _ratio(s.value, s.customer.mean)),
    Feature("card_new", "1: first charge of the card", lambda s: _new(s.card)),
    Feature("card_count_1h", "charges of the card in 1 h", lambda s: s.card.count_1h),
    Feature("card_count_24h", "charges of the card in 24 h", lambda s: s.card.count_24h),
    Feature("card_value_24h", "log(1 + US cents) of the card in 24 h", lambda s: log1p(s.card.value_24h)),
    Feature("customer_new", "1: first charge of the customer", lambda s: _new(s.customer)),
    Feature("customer_count_24h", "charges of the customer in 24 h", lambda s: s.customer.count_24h),
    Feature("device_new", "1: first charge from the device", lambda s: _new(s.device)),
    Feature("device_count_10m", "charges from the device in 10-20 min", lambda s: s.device.count_10m),
    Feature("device_count_1h", "charges from the device in 1 h", lambda s: s.device.count_1h),
    Feature("device_cards", "cards on the device with this one, to 17", lambda s: _cards_with(s.device, s.charge.card)),
    Feature("device_card_new", "1: card not seen on the device", lambda s: _new_on(s.device, s.charge.card)),
    Feature("hour", "hour of day, UTC", lambda s: s.charge.at % DAY // HOUR),
    Feature("weekday", "0 Monday to 6 Sunday, UTC", lambda s: (s.charge.at // DAY + 3) % 7),
)
NAMES = tuple(feature.name for feature in FEATURES)


def row(charge: Charge, histories: Mapping[str, History]) -> list[float]:
    """The features of a charge in the order of NAMES, from its entities' histories over all regions.

    `histories` is by kind (`card`, `customer`, `device`); a kind that is missing was not sent by the merchant.
    """
    past = {kind: activity(history, charge.at) for kind, history in histories.items()}
    absent = Activity()
    scene = Scene(
        charge=charge,
        value=value_in_cents(charge),
        card=past["card"],
        customer=past.get("customer", absent),
        device=past.get("device", absent),
    )
    return [feature.of(scene) for feature in FEATURES]


def remember(kind: str, own: History, charge: Charge, blocked: bool) -> Change:
    """What the charge, blocked or not, adds to `own`, one region's history of its entity of this kind."""
    card = charge.card if kind == "device" else None
    return change(own, charge.payment_id, card, value_in_cents(charge), charge.at, blocked)
