"""Rules before the model: lists, limits, the guard against card testing. Pure: what is known comes in, a verdict out.

Which verdict stands does not depend on the order of rules or lists: the strictest wins, block before review before
allow, whoever says so. So block beats allow, and nothing of a merchant's weakens what is global. Of several verdicts
that are alike, the answer names a global one before a merchant's, a list before a rule, then the first by code and id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any, Protocol

from functions.fraud.charge import MICROCENTS, Charge, value_in_cents

if TYPE_CHECKING:
    from functions.fraud.model import Pointers

GLOBAL = "global"
"""The scope of all merchants; any other scope is a merchant's id."""

BLOCK, REVIEW, ALLOW = "block", "review", "allow"
_STRICTEST_FIRST = (BLOCK, REVIEW, ALLOW)
OFF, SHADOW, ON = "off", "shadow", "on"

TYPES = ("bin", "card", "country", "customer", "device", "email", "ip")
"""What lists may be of."""


CODES = (
    *(f"{type_}_on_{action}_list" for type_ in TYPES for action in _STRICTEST_FIRST),
    *(f"{per}_{limited}_limit" for per in ("card", "customer", "device", "ip") for limited in ("attempts", "spending")),
    "amount_limit",
    "card_testing",
)
"""All reason codes that lists and rules can give."""


class Facts(Protocol):
    """What went before the charge, by name (facts.py). What is absent, because the merchant did not send it, breaks no
    rule."""

    def get(self, name: str, default: float) -> float:
        """The fact of this name, or the default."""


class UnknownRule(ValueError):
    """A stored rule or list entry is not of a form that is known here."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`decision` is `block`, `review` or `allow`, `code` the reason code, `rule` the scope and name of what said so."""

    decision: str
    code: str
    rule: str


class Condition(Protocol):
    """When a rule applies; `code` is what the answer gives as reason."""

    @property
    def code(self) -> str:
        """The reason code."""

    def holds(self, charge: Charge, facts: Facts) -> bool:
        """Whether the rule applies to this charge, given what went before it."""


@dataclass(frozen=True, slots=True)
class AmountLimit:
    """A charge in `currency` of more than `over`, in its minor unit."""

    currency: str
    over: int

    code = "amount_limit"

    def holds(self, charge: Charge, facts: Facts) -> bool:  # noqa: ARG002
        """See `Condition`."""
        return charge.currency == self.currency and charge.amount > self.over


@dataclass(frozen=True, slots=True)
class CountLimit:
    """More than `over` charges of one `per` (such as `card`) within `window` (such as `1h`), this one included.

    Every attempt counts, blocked or not, and a card's at any merchant.
    """

    per: str
    window: str
    over: int

    @property
    def code(self) -> str:
        """See `Condition`."""
        return f"{self.per}_attempts_limit"

    def holds(self, charge: Charge, facts: Facts) -> bool:  # noqa: ARG002
        """See `Condition`."""
        return facts.get(f"{self.per}_count_{self.window}", nan) >= self.over


@dataclass(frozen=True, slots=True)
class SumLimit:
    """A charge in `currency` that takes the sum of one `per` within `window` above `over`, in its minor unit.

    Profiles hold sums of all currencies in US cents (charge.MICROCENTS), so the limit is one of value: exact for an
    entity that pays in US dollars, within the table's error for others.
    """

    per: str
    window: str
    currency: str
    over: int

    @property
    def code(self) -> str:
        """See `Condition`."""
        return f"{self.per}_spending_limit"

    def holds(self, charge: Charge, facts: Facts) -> bool:
        """See `Condition`."""
        if charge.currency != self.currency:
            return False
        before = facts.get(f"{self.per}_value_{self.window}", nan)
        return before + value_in_cents(charge) > cents(self.over, self.currency)


@dataclass(frozen=True, slots=True)
class CardTesting:
    """Somebody tries cards: at least `cards` cards are known of one `per` (`device` or `ip`), and it made at least
    `charges` charges in `window`, this one included in both; with `small`, only if this charge is worth no more than
    that many US cents, as trials are.
    """

    per: str
    window: str
    charges: int
    cards: int
    small: int | None = None

    code = "card_testing"

    def holds(self, charge: Charge, facts: Facts) -> bool:
        """See `Condition`."""
        return (
            facts.get(f"{self.per}_count_{self.window}", nan) + 1 >= self.charges
            and facts.get(f"{self.per}_cards", nan) >= self.cards
            and (self.small is None or value_in_cents(charge) <= self.small)
        )


KINDS: Mapping[str, type[Condition]] = {
    "amount_limit": AmountLimit,
    "count_limit": CountLimit,
    "sum_limit": SumLimit,
    "card_testing": CardTesting,
}


_NUMBERS = frozenset({"over", "charges", "cards", "small"})
"""Fields of conditions that are integers; all others are texts."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition, what follows from it, and whether it is `off`, in `shadow` (only logged) or `on`."""

    scope: str
    id: str
    when: Condition
    action: str
    state: str

    @property
    def verdict(self) -> Verdict:
        """What the rule says where its condition holds."""
        return Verdict(self.action, self.when.code, f"{self.scope}/{self.id}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A list's entry for one of the charge's values; `expires_at` in Unix seconds, None: never."""

    scope: str
    type: str
    action: str
    expires_at: int | None = None

    @property
    def verdict(self) -> Verdict:
        """What the entry says. It names the list and never the value, which may be a person's."""
        return Verdict(self.action, f"{self.type}_on_{self.action}_list", f"{self.scope}/list/{self.type}")


@dataclass(frozen=True, slots=True)
class Lists:
    """What applies to a charge: the entries of its values, the rules that are on, and those in shadow. `complete` is
    False where a part could not be read, or not understood. `models` are read with them; None: it is not known
    which."""

    entries: tuple[Entry, ...] = ()
    rules: tuple[Rule, ...] = ()
    shadow: tuple[Rule, ...] = ()
    complete: bool = True
    models: Pointers | None = field(default=None, compare=False)


def check(charge: Charge, facts: Facts, lists: Lists) -> Verdict | None:
    """What lists and rules say of the charge, None if nothing: the model is asked then.

    An entry is over for charges that were made (`charge.at`) in the second of `expires_at` or later.
    """
    entries = (entry.verdict for entry in lists.entries if entry.expires_at is None or entry.expires_at > charge.at)
    return _strictest([*entries, *_said(charge, facts, lists.rules)])


def shadow(charge: Charge, facts: Facts, lists: Lists) -> tuple[Verdict, ...]:
    """What rules in shadow would have said of the charge, in order of their names. For the log only."""
    return tuple(sorted(_said(charge, facts, lists.shadow), key=lambda verdict: verdict.rule)) if lists.shadow else ()


def card_attempts(limit: int) -> Rule:
    """The rule that is always there, `global/card_attempts_limit`, unless the table has one of this name in its place.

    A card that was tried `limit` times in the last hour already, at any merchant, is blocked: somebody guesses its
    security code or expiry (a thousand tries find any CVC), or a merchant's loop has run away.
    """
    return Rule(GLOBAL, "card_attempts_limit", CountLimit("card", "1h", limit), BLOCK, ON)


def rule_of(scope: str, text: str) -> Rule:
    """The rule that is stored as this JSON (docs/interfaces.md, "Lists and rules"). Raises UnknownRule."""
    try:
        stored: dict[str, Any] = json.loads(text)
        when = KINDS[stored["kind"]](**_typed(stored["when"]))
        made = Rule(scope, stored["id"], when, stored["action"], stored["state"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnknownRule(repr(error)) from error
    if made.action not in _STRICTEST_FIRST or made.state not in (OFF, SHADOW, ON):
        raise UnknownRule(f"{made.action}, {made.state}")
    return made


def entry_of(scope: str, type_: str, action: str, expires_at: int | None) -> Entry:
    """The list entry that is stored so. Raises UnknownRule."""
    if type_ not in TYPES or action not in _STRICTEST_FIRST:
        raise UnknownRule(f"{type_}, {action}")
    return Entry(scope, type_, action, expires_at)


def cents(amount: int, currency: str) -> int:
    """An amount in minor units as US cents, as roughly as charge.value_in_cents."""
    return amount * MICROCENTS.get(currency, 1_000_000) // 1_000_000


def _typed(when: Mapping[str, Any]) -> Mapping[str, Any]:
    """A condition's fields. Raises TypeError for one that could not be compared when a charge is there."""
    for name, value in when.items():
        if type(value) is not (int if name in _NUMBERS else str):
            raise TypeError(name)
    return when


def _said(charge: Charge, facts: Facts, rules: Iterable[Rule]) -> Iterator[Verdict]:
    return (rule.verdict for rule in rules if rule.when.holds(charge, facts))


def _strictest(verdicts: list[Verdict]) -> Verdict | None:
    return min(verdicts, key=_order) if verdicts else None


def _order(verdict: Verdict) -> tuple[int, bool, bool, str, str]:
    scope, name = verdict.rule.split("/", 1)
    listed = name.startswith("list/")
    return _STRICTEST_FIRST.index(verdict.decision), scope != GLOBAL, not listed, verdict.code, verdict.rule
