"""From features to an answer: rules, then the model, then the reasons in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from functions.fraud.booster import ModelUnavailable
from functions.fraud.features import NAMES
from functions.fraud.model import BLOCK_ABOVE, Model
from functions.fraud.rules import BLOCKED, broken_rules

# From this score on, reasons are given.
EXPLAIN_FROM = 50

# What the answer names as model when only rules spoke.
RULES_ONLY = "rules"


@dataclass(frozen=True, slots=True)
class Decision:
    """Score 0 to 100, above 80 blocks; reasons, snake_case codes; the model's version; whether a part was missing."""

    score: int
    reasons: tuple[str, ...]
    model: str
    degraded: bool

    @property
    def blocked(self) -> bool:
        """Whether the platform blocks a charge with this score."""
        return self.score > BLOCK_ABOVE

    def answer(self) -> dict[str, Any]:
        """The answer to the saga (docs/interfaces.md)."""
        return {**asdict(self), "reasons": list(self.reasons)}


def reasons(facts: Mapping[str, float]) -> tuple[str, ...]:
    """What stands out in a charge's features, as codes. Facts to look at, not the model's own weights."""
    stands_out = {
        "amount_high": facts["amount_log"] > 11.5,  # about 1,000 US dollars
        "amount_unusual_for_card": facts["amount_surprise"] > 4,
        "amount_unusual_for_customer": facts["amount_to_customer_mean"] > 5,
        "card_velocity": facts["card_count_1h"] >= 5,
        "customer_velocity": facts["customer_count_24h"] >= 20,
        "device_velocity": facts["device_count_10m"] >= 5,
        "many_cards_on_device": facts["device_cards"] >= 4,
        "new_card": facts["card_new"] == 1,
        "new_card_on_known_device": facts["device_new"] == 0 and facts["device_card_new"] == 1,
        "new_customer": facts["customer_new"] == 1,
        "new_device": facts["device_new"] == 1,
    }
    return tuple(code for code, true in stands_out.items() if true) or ("model_score",)


def decide(row: Sequence[float], model: Model | None, card_attempts_per_hour: int) -> Decision:
    """The decision on a row of features; without a model the rules alone decide and the answer is degraded."""
    facts = dict(zip(NAMES, row, strict=True))
    broken = broken_rules(facts, card_attempts_per_hour)
    if model is None:
        return Decision(BLOCKED if broken else 0, (*broken, "model_unavailable"), RULES_ONLY, True)
    if broken:
        return Decision(BLOCKED, broken, model.version, False)
    try:
        score = model.score(row)
    except ModelUnavailable:
        return decide(row, None, card_attempts_per_hour)
    return Decision(score, reasons(facts) if score >= EXPLAIN_FROM else (), model.version, False)


def blind() -> Decision:
    """The decision when no profile can be read: nothing is known that a rule could break."""
    return Decision(0, ("profiles_unavailable",), RULES_ONLY, True)
