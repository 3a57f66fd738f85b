"""Why a score is high: what the model's features contributed, as stable codes.

Codes are stored with payments and shown to operators; what they mean in words is in the layer's `payments/reasons.py`,
which this function does without. A code may be added, but never be given another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# As many as a person reads.
MOST_REASONS = 5

# Log-odds that a code must add to be worth saying: it raises the odds of fraud by a tenth.
WORTH_SAYING = 0.1

# When nothing alone is worth saying.
MODEL_SCORE = "model_score"

# When a part that scoring needs is away.
MODEL_UNAVAILABLE, PROFILES_UNAVAILABLE = "model_unavailable", "profiles_unavailable"

# What a high contribution of features says, by code. Of one code, contributions are summed.
FEATURES = {
    "amount": ("amount_log",),
    "amount_unusual_for_card": (
        "amount_to_card_mean",
        "amount_to_card_mean_30d",
        "amount_to_card_peak",
        "amount_surprise",
    ),
    "amount_unusual_for_customer": ("amount_to_customer_mean",),
    "amount_unusual_for_merchant": ("amount_to_merchant_mean", "amount_merchant_surprise"),
    "card_history": ("card_new", "card_age_days", "card_mean_log", "card_deviation"),
    "card_velocity": (
        "card_count_10m",
        "card_count_1h",
        "card_count_24h",
        "card_count_7d",
        "card_count_30d",
        "card_value_24h",
        "card_value_7d",
        "card_mean_7d",
    ),
    "card_unusual_amounts": ("card_unusual_24h", "card_unusual_7d", "card_unusual_14d"),
    "card_new_at_merchant": ("card_merchant_new",),
    "card_country": ("card_country_new", "card_country_jump_24h"),
    "card_fraud": ("card_frauds", "card_fraud_days"),
    "customer_history": ("customer_new", "customer_age_days"),
    "customer_velocity": ("customer_count_1h", "customer_count_24h", "customer_value_24h"),
    "card_new_for_customer": ("customer_card_new",),
    "device_new_for_customer": ("customer_device_new",),
    "email_new_for_customer": ("customer_email_new",),
    "customer_fraud": ("customer_frauds",),
    "device_history": ("device_new", "device_age_days"),
    "device_velocity": ("device_count_10m", "device_count_1h", "device_count_24h"),
    "many_cards_on_device": ("device_cards",),
    "card_new_on_device": ("device_card_new",),
    "device_fraud": ("device_frauds",),
    "ip_velocity": ("ip_count_10m", "ip_count_24h"),
    "many_cards_on_ip": ("ip_cards",),
    "ip_fraud": ("ip_frauds",),
    "country_mismatch": ("ip_billing_mismatch",),
    "email_velocity": ("email_count_24h",),
    "many_cards_with_email": ("email_cards",),
    "email_fraud": ("email_frauds",),
    "merchant_velocity": ("merchant_count_24h",),
    "merchant_fraud": (
        "merchant_fraud_rate_7d",
        "merchant_fraud_rate_30d",
        "merchant_quiet_frauds_7d",
        "merchant_quiet_frauds_30d",
        "merchant_fraud_streak",
        "merchant_fraud_streak_days",
        "merchant_fraud_first_days",
        "merchant_fraud_last_days",
        "merchant_good_since_fraud",
    ),
    "unusual_time": ("hour", "weekday"),
}
CODES = {feature: code for code, features in FEATURES.items() for feature in features}


# Codes that also say that nothing is known. Of all others a missing feature says nothing, whatever it contributes: an
# IP address that was not sent has no cards.
OF_ABSENCE = frozenset({"card_history", "customer_history", "device_history"})


def reasons(contributions: Mapping[str, float], row: Sequence[float]) -> tuple[str, ...]:
    """Codes of what raises the score, the most telling first, from each feature's contribution to the log-odds and, in
    the same order, its value."""
    sums: dict[str, float] = {}
    for (name, contribution), value in zip(contributions.items(), row, strict=True):
        code = CODES[name]
        if value == value or code in OF_ABSENCE:
            sums[code] = sums.get(code, 0.0) + contribution
    telling = sorted((-total, code) for code, total in sums.items() if total >= WORTH_SAYING)
    return tuple(code for _, code in telling[:MOST_REASONS]) or (MODEL_SCORE,)
