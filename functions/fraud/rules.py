"""Hard rules, applied before the model: each is reason enough to block."""

from __future__ import annotations

from collections.abc import Mapping

# A rule's verdict; the platform blocks above 80.
BLOCKED = 100


def broken_rules(facts: Mapping[str, float], card_attempts_per_hour: int) -> tuple[str, ...]:
    """Codes of the rules that a charge with these features breaks.

    `card_attempts_limit`: the card was tried `card_attempts_per_hour` times in the last hour already, at any merchant:
    somebody guesses its security code or expiry (a thousand tries find any CVC), or a merchant's loop has run away.
    """
    return ("card_attempts_limit",) if facts["card_count_1h"] >= card_attempts_per_hour else ()
