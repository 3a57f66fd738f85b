"""What a history says as of a moment: sums and windows of an entity, and a merchant's confirmed frauds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan, sqrt

from functions.fraud.history import (
    DAY,
    DAYS,
    FIVE_DAYS,
    FRAUDS,
    HOURS,
    MERCHANT_DAYS,
    MINUTES,
    QUIET_FRAUDS,
    SCALE,
    UNUSUAL,
    History,
    window,
)

# Days until a charge without a confirmed fraud counts as good. A fraud counts from the moment its label is there.
LABEL_DAYS = 7


@dataclass(slots=True)
class Activity:
    """An entity's charges before this one; values in US cents. All NaN for an entity that the merchant did not send."""

    charges: float = nan
    age_days: float = nan
    count_10m: float = nan
    count_1h: float = nan
    count_24h: float = nan
    count_2d: float = nan
    count_7d: float = nan
    count_30d: float = nan
    value_24h: float = nan
    value_7d: float = nan
    mean_7d: float = nan
    mean_30d: float = nan
    unusual_2d: float = nan
    unusual_7d: float = nan
    unusual_14d: float = nan
    mean: float = nan
    deviation: float = nan
    peak: float = nan
    frauds: float = nan
    fraud_days: float = nan
    sets: Mapping[str, frozenset[str]] | None = None


def activity(kind: str, history: History, at: int) -> Activity:
    """Sums and windows of an entity as of Unix second `at`. Mean and deviation are NaN before the first charge."""
    numbers = history.numbers
    known = Activity(charges=max(numbers.get("charges", 0), 0), frauds=numbers.get("frauds", 0), sets=history.sets)
    if known.charges > 0:
        spent, charges = numbers.get("spent", 0), numbers["charges"]
        known.mean, known.peak = max(spent, 0) / charges, float(numbers.get("peak", 0))
        # In integers, so that equal amounts have exactly no deviation.
        known.deviation = sqrt(max(charges * numbers.get("squares", 0) - spent * spent, 0)) / charges
    if "first_seen" in numbers:
        known.age_days = (at - numbers["first_seen"]) / DAY
    if "fraud_at" in numbers:
        known.fraud_days = (at - numbers["fraud_at"]) / DAY
    _windows(known, kind, history, at)
    return known


def _windows(known: Activity, kind: str, history: History, at: int) -> None:
    """The windows of the kind's rings (history.RINGS)."""
    if kind == "merchant":
        known.count_2d = window(history, MERCHANT_DAYS, at, 2)[0]
        return
    known.count_10m = window(history, MINUTES, at, 2)[0]
    known.count_1h = window(history, MINUTES, at, 6)[0]
    known.count_24h, known.value_24h = window(history, HOURS, at, 24)
    if kind in ("card", "customer"):
        known.count_7d, known.value_7d = window(history, DAYS, at, 7)
        known.mean_7d = known.value_7d / known.count_7d if known.count_7d else nan
    if kind == "card":
        known.count_30d, value = window(history, FIVE_DAYS, at, 6)
        known.mean_30d = value / known.count_30d if known.count_30d else nan
        known.unusual_2d = window(history, UNUSUAL, at, 2)[0]
        known.unusual_7d = window(history, UNUSUAL, at, 7)[0]
        known.unusual_14d = window(history, UNUSUAL, at, 14)[0]


@dataclass(slots=True)
class Reputation:
    """A merchant's confirmed frauds. Quiet ones, of a usual amount for their card, point at the merchant rather than at
    the card. Ages in days; NaN without a quiet fraud in the window, rates without a charge that is old enough."""

    rate_7d: float = nan
    rate_30d: float = nan
    quiet_7d: float = 0
    quiet_30d: float = 0
    streak: float = 0
    streak_days: float = nan
    first_days: float = nan
    last_days: float = nan
    good_since: float = nan


def reputation(merchant: History, at: int) -> Reputation:
    """What is confirmed of the charges of the 30 days that are LABEL_DAYS old, and of younger ones what is known yet.

    The day that is just falling due counts by its frauds only: the rest of it may still be confirmed.
    """
    numbers, today = merchant.numbers, at // DAY
    due = today - LABEL_DAYS
    days = range(today, due - 31, -1)
    charges = [numbers.get(f"{MERCHANT_DAYS.letter}{day}", 0) % SCALE if day < due else 0 for day in days]
    if not numbers.get("frauds"):
        known_7d, known_30d = sum(charges[: LABEL_DAYS + 8]), sum(charges)
        return Reputation(rate_7d=0 if known_7d else nan, rate_30d=0 if known_30d else nan)
    frauds = [numbers.get(f"{FRAUDS.letter}{day}", 0) for day in days]
    quiet = [numbers.get(f"{QUIET_FRAUDS.letter}{day}", 0) for day in days]
    week = LABEL_DAYS + 8
    told = Reputation(
        rate_7d=_rate(frauds[:week], charges[:week]),
        rate_30d=_rate(frauds, charges),
        quiet_7d=sum(quiet[:week]),
        quiet_30d=sum(quiet),
    )
    where = [age for age, number in enumerate(quiet) if number]
    if where:
        told.last_days, told.first_days = where[0], where[-1]
        told.good_since = sum(charges[: where[0]]) - sum(frauds[: where[0]])
        _streak(told, charges, frauds, quiet)
    return told


def _rate(frauds: list[int], charges: list[int]) -> float:
    known = sum([max(pair) for pair in zip(frauds, charges, strict=True)])
    return sum(frauds) / known if known else nan


def _streak(told: Reputation, charges: list[int], frauds: list[int], quiet: list[int]) -> None:
    """From the newest quiet fraud back to the last day that had good charges and no quiet fraud."""
    for age in range(int(told.last_days), len(quiet)):
        number = quiet[age]
        if number:
            told.streak += number
            told.streak_days = age
        elif charges[age] > frauds[age]:
            return
