"""From features to an answer: rules, then the model, then what the score means for this merchant, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from math import nan
from struct import pack
from typing import Any

from functions.fraud.booster import ModelUnavailable
from functions.fraud.model import BLOCK_ABOVE, Model, Opinion
from functions.fraud.reasons import MODEL_SCORE, MODEL_UNAVAILABLE, PROFILES_UNAVAILABLE, reasons
from functions.fraud.rules import ALLOW, BLOCK, REVIEW, Verdict

# From this score on a person looks at the charge.
REVIEW_FROM = 60

# What the answer names as model when the model was not asked.
RULES_ONLY = "rules"

# The score of a charge that lists or rules block.
BLOCKED = 100

# The reason of a charge whose lists or rules could not be read.
LISTS_UNAVAILABLE = "lists_unavailable"

# Hex digits of a feature row's hash: 64 bits tell apart what audits compare, the rows of one payment.
HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """A score above `block` blocks, one from `review` up to `block` is reviewed; the platform's, or a merchant's own.

    What a merchant may set is checked where it is read (the layer's `merchants.FraudLimits`).
    """

    block: int = BLOCK_ABOVE
    review: int = REVIEW_FROM

    @classmethod
    def of(cls, asked: Mapping[str, int | None] | None) -> Limits:
        """The limits in the saga's request; what a merchant did not set is the platform's."""
        asked = asked or {}
        block, review = asked.get("block"), asked.get("review")
        block = BLOCK_ABOVE if block is None else block
        return cls(block, min(REVIEW_FROM, block) if review is None else review)

    def decide(self, score: int) -> str:
        """What becomes of a charge with this score."""
        if score > self.block:
            return BLOCK
        return REVIEW if score >= self.review else ALLOW


PLATFORM = Limits()


@dataclass(frozen=True, slots=True)
class Decision:
    """Score 0 to 100 and what it means; reasons, codes (`reasons.py`); the model's version; whether a part was missing.

    `features_hash` says which features were seen, None when none were; `rule` which rule decided, if one did.
    `shadow` is what a model in shadow says of the same features; it is no part of the answer.
    """

    score: int
    decision: str
    reasons: tuple[str, ...]
    model: str
    degraded: bool
    features_hash: str | None = None
    rule: str | None = None
    shadow: Opinion | None = field(default=None, compare=False)

    @property
    def blocked(self) -> bool:
        """Whether the charge is blocked."""
        return self.decision == BLOCK

    def answer(self) -> dict[str, Any]:
        """The answer to the saga (docs/interfaces.md)."""
        told = {**asdict(self), "reasons": list(self.reasons)}
        del told["shadow"]
        return told

    def logged(self) -> dict[str, Any]:
        """The answer, and what a model in shadow says."""
        aside = {f"shadow_{name}": value for name, value in asdict(self.shadow).items()} if self.shadow else {}
        return {**self.answer(), **aside}


def packed(row: Sequence[float]) -> bytes:
    """A row's numbers in the catalogue's order, each as the eight bytes of a little-endian IEEE 754 double, a missing
    value as the quiet NaN and zero without a sign."""
    return pack(f"<{len(row)}d", *(nan if value != value else value + 0.0 for value in row))


def features_hash(row: Sequence[float]) -> str:
    """The first 16 hex digits of the SHA-256 of a row (packed)."""
    return sha256(packed(row)).hexdigest()[:HASH_DIGITS]


def decide(
    row: Sequence[float],
    model: Model | None,
    verdict: Verdict | None = None,
    complete: bool = True,
    limits: Limits = PLATFORM,
) -> Decision:
    """The decision on a row of features: what lists and rules said, else what the model's score means.

    What is to be reviewed is scored as well, and may still be blocked. Without a model, or if lists and rules were not
    `complete`, the answer is degraded, and what they do not block is reviewed.
    """
    seen = features_hash(row)
    if verdict and verdict.decision != REVIEW:
        return _ruled(verdict, model is not None, complete, seen)
    try:
        found = _scored(row, model, limits, seen) if model else _degraded(MODEL_UNAVAILABLE, seen)
    except ModelUnavailable:
        found = _degraded(MODEL_UNAVAILABLE, seen)
    return _with(found, verdict, complete)


def blind(verdict: Verdict | None = None, complete: bool = True) -> Decision:
    """The decision when no profile can be read: lists and limits of amounts are all that can speak."""
    found = _degraded(PROFILES_UNAVAILABLE)
    if verdict and verdict.decision == BLOCK:
        found = replace(found, score=BLOCKED, decision=BLOCK)
    return _with(found, verdict, complete)


def _ruled(verdict: Verdict, modelled: bool, complete: bool, seen: str) -> Decision:
    """What lists or rules decided. They may not let a charge through while some of them are not known."""
    score = BLOCKED if verdict.decision == BLOCK else 0
    decision = REVIEW if verdict.decision == ALLOW and not complete else verdict.decision
    missing = () if complete else (LISTS_UNAVAILABLE,)
    degraded = not (modelled and complete)
    return Decision(score, decision, (verdict.code, *missing), RULES_ONLY, degraded, seen, verdict.rule)


def _with(found: Decision, verdict: Verdict | None, complete: bool) -> Decision:
    """A decision with what lists and rules want reviewed, or with what they could not say."""
    if verdict is None and complete:
        return found
    told = (verdict.code,) if verdict else ()
    missing = () if complete else (LISTS_UNAVAILABLE,)
    return replace(
        found,
        decision=BLOCK if found.blocked else REVIEW,
        reasons=(*told, *found.reasons, *missing),
        degraded=found.degraded or not complete,
        rule=verdict.rule if verdict else None,
    )


def _scored(row: Sequence[float], model: Model, limits: Limits, seen: str) -> Decision:
    """What the model says. Raises ModelUnavailable."""
    score = model.score(row)
    decision = limits.decide(score)
    why = () if decision == ALLOW else _why(row, model)
    return Decision(score, decision, why, model.version, False, seen)


def _why(row: Sequence[float], model: Model) -> tuple[str, ...]:
    """What raised the score; that it cannot be said changes nothing of the decision."""
    try:
        return reasons(model.contributions(row), row)
    except ModelUnavailable:
        return (MODEL_SCORE,)


def _degraded(reason: str, seen: str | None = None) -> Decision:
    """Nobody knows enough of this charge: it goes on, and a person looks at it."""
    return Decision(0, REVIEW, (reason,), RULES_ONLY, True, seen)
