"""Rules before the model: each condition at its edge, who beats whom, and that order changes nothing."""

import json
from dataclasses import replace
from math import nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.fraud.charge import Charge, entities
from functions.fraud.facts import LIMITED, Facts
from functions.fraud.features import remember
from functions.fraud.history import History, changed
from functions.fraud.listed import PREFIXES, Presented, email_key, entries, presented
from functions.fraud.rules import (
    CODES,
    KINDS,
    TYPES,
    AmountLimit,
    CardTesting,
    CountLimit,
    Entry,
    Lists,
    Rule,
    SumLimit,
    UnknownRule,
    Verdict,
    card_attempts,
    check,
    entry_of,
    rule_of,
    shadow,
)
from models.fraud.dataset import Memory

NOON = 1_795_435_200
CHARGE = Charge("pay_1", "mer_1", 4200, "USD", NOON, "tok_1", "cus_1", "dev_1")
ALWAYS = AmountLimit("USD", 1)
RANGES = frozenset(f"ip{version}/{length}" for version, lengths in PREFIXES.items() for length in lengths)


def rule(action: str, scope: str = "global", name: str = "r", when: Any = ALWAYS) -> Rule:
    return Rule(scope, name, when, action, "on")


def past(*charges: Charge, blocked: bool = False) -> dict[str, History]:
    """What profiles know after these charges."""
    known: dict[str, History] = {}
    for charge in charges:
        own = {kind: known.get(kind, History()) for kind in entities(charge)}
        for kind, change in remember(charge, own, own, blocked).items():
            known[kind] = changed(own[kind], change)
    return known


def tries(number: int, **changes: Any) -> list[Charge]:
    return [replace(CHARGE, payment_id=f"pay_{i}", **changes) for i in range(number)]


@pytest.mark.parametrize(
    ("amount", "currency", "holds"), [(100_000, "EUR", False), (100_001, "EUR", True), (10**9, "USD", False)]
)
def test_an_amount_is_limited_in_its_own_currency(amount: int, currency: str, holds: bool) -> None:
    charge = replace(CHARGE, amount=amount, currency=currency)
    assert AmountLimit("EUR", 100_000).holds(charge, {}) is holds


@pytest.mark.parametrize("per", ["card", "customer", "device"])
@pytest.mark.parametrize("window", ["10m", "1h", "24h"])
@pytest.mark.parametrize("blocked", [False, True])
def test_so_many_charges_are_let_through_and_the_next_is_not(per: str, window: str, blocked: bool) -> None:
    limit = CountLimit(per, window, 3)
    assert not limit.holds(CHARGE, Facts(CHARGE, past(*tries(2), blocked=blocked))), "the third"
    assert limit.holds(CHARGE, Facts(CHARGE, past(*tries(3), blocked=blocked))), "the fourth"


@pytest.mark.parametrize(("cards", "counted"), [(1, 1), (3, 3), (9, 9)])
def test_an_address_counts_strangers_and_not_who_is_known_there(cards: int, counted: int) -> None:
    """A limit per IP address is one of charges with a card or of a customer without habit (features.remember)."""
    memory = Memory()
    charges = [replace(CHARGE, payment_id=f"pay_{i}", ip="203.0.113.7", card=f"tok_{i % cards}") for i in range(9)]
    for charge in charges:
        memory.count(charge, False)
    facts = Facts(charges[0], memory.known(charges[0]))
    assert facts.get("ip_count_1h", nan) == counted
    assert [CountLimit("ip", "1h", over).holds(charges[0], facts) for over in (counted, counted + 1)] == [True, False]


@pytest.mark.parametrize(("window", "seconds"), [("10m", 1200), ("1h", 3600), ("24h", 86_400)])
def test_what_is_longer_ago_than_the_window_does_not_count(window: str, seconds: int) -> None:
    old = Facts(CHARGE, past(*tries(5, at=NOON - seconds)))
    assert not CountLimit("card", window, 1).holds(CHARGE, old)
    assert not SumLimit("card", window, "USD", 4200).holds(CHARGE, old)


@pytest.mark.parametrize(("over", "holds"), [(12_600, False), (12_599, True)])
def test_a_sum_is_limited_with_this_charge_in_it(over: int, holds: bool) -> None:
    limit = SumLimit("card", "24h", "USD", over)
    assert limit.holds(CHARGE, Facts(CHARGE, past(*tries(2)))) is holds


def test_a_sum_is_of_value_whatever_the_exponent() -> None:
    """4200 JPY are 27 US dollars, not 42, and 4200 KWD are 13.69 (ISO 4217 exponents 0 and 3)."""
    for currency in ("JPY", "KWD"):
        charges = tries(2, currency=currency)
        facts = Facts(charges[0], past(*charges))
        assert not SumLimit("card", "1h", currency, 12_700).holds(charges[0], facts)
        assert SumLimit("card", "1h", currency, 12_500).holds(charges[0], facts)
        assert not SumLimit("card", "1h", "USD", 1).holds(charges[0], facts), "another currency's limit"


def test_card_testing_is_many_cards_and_many_charges_of_small_amounts() -> None:
    guard = CardTesting("device", "10m", charges=5, cards=4, small=500)
    small = [replace(CHARGE, payment_id=f"pay_{i}", card=f"tok_{i % 4}", amount=100) for i in range(5)]
    assert guard.holds(small[4], Facts(small[4], past(*small[:4])))
    assert not guard.holds(small[3], Facts(small[3], past(*small[:3]))), "the fourth charge"
    few = [replace(charge, card=f"tok_{i % 3}") for i, charge in enumerate(small)]
    assert not guard.holds(few[4], Facts(few[4], past(*few[:4]))), "three cards"
    large = replace(small[4], amount=501)
    assert not guard.holds(large, Facts(large, past(*small[:4])))
    assert replace(guard, small=None).holds(large, Facts(large, past(*small[:4])))


@pytest.mark.parametrize("when", [CountLimit("device", "1h", 1), SumLimit("device", "1h", "USD", 1),
                                  CardTesting("ip", "10m", 2, 2)])  # fmt: skip
@pytest.mark.parametrize("facts", [{}, {"device_count_1h": nan, "device_value_1h": nan, "ip_count_10m": 9}])
def test_what_the_merchant_did_not_send_breaks_no_rule(when: Any, facts: dict[str, float]) -> None:
    assert check(CHARGE, facts, Lists(rules=(rule("block", when=when),))) is None


def test_a_name_that_is_no_fact_is_none() -> None:
    facts = Facts(CHARGE, past(*tries(3)))
    for name in ("card_count_9h", "card", "card_", "card_sum_1h", "merchant_count_1h", "_count_1h", "card_count_1h_x"):
        assert facts.get(name, -1) == -1
    assert facts.get("device_cards", -1) == 1


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([("allow", "global"), ("block", "mer_1")], "block"),
        ([("block", "global"), ("allow", "mer_1")], "block"),
        ([("review", "global"), ("allow", "mer_1")], "review"),
        ([("allow", "global"), ("review", "mer_1")], "review"),
        ([("allow", "global"), ("allow", "mer_1")], "allow"),
        ([], None),
    ],
)
def test_the_strictest_wins_in_lists_rules_and_between_them(said: list[Any], expected: str | None) -> None:
    of_rules = tuple(rule(action, scope) for action, scope in said)
    of_lists = tuple(Entry(scope, "card", action) for action, scope in said)
    mixed = Lists(of_lists[:1], of_rules[1:]), Lists(of_lists[1:], of_rules[:1])
    for lists in (Lists(rules=of_rules), Lists(of_lists), *mixed):
        verdict = check(CHARGE, {}, lists)
        assert (verdict.decision if verdict else None) == expected


def test_of_verdicts_that_are_alike_a_global_list_is_named_first() -> None:
    everything = Lists(
        (Entry("mer_1", "bin", "block"), Entry("global", "ip", "block"), Entry("global", "card", "block")),
        (rule("block", "mer_1", "a"), rule("block", "global", "b"), rule("block", "global", "a")),
    )
    verdict = check(CHARGE, {}, everything)
    assert verdict == Verdict("block", "card_on_block_list", "global/list/card")
    verdict = check(CHARGE, {}, replace(everything, entries=everything.entries[:1]))
    assert verdict == Verdict("block", "amount_limit", "global/a")


ACTIONS, SCOPES = st.sampled_from(("block", "review", "allow")), st.sampled_from(("global", "mer_1"))
CONDITIONS = st.sampled_from((ALWAYS, CountLimit("card", "1h", 2), CountLimit("card", "1h", 9), AmountLimit("EUR", 1)))
RULES = st.lists(st.builds(Rule, SCOPES, st.sampled_from("abc"), CONDITIONS, ACTIONS, st.just("on")), max_size=6)
ENTRIES = st.lists(
    st.builds(Entry, SCOPES, st.sampled_from(("card", "ip")), ACTIONS, st.sampled_from((None, NOON, NOON + 1))),
    max_size=5,
)


@given(RULES, ENTRIES, st.randoms())
def test_order_does_not_change_the_verdict(rules: list[Rule], listed: list[Entry], random: Any) -> None:
    facts = {"card_count_1h": 5.0}
    before = check(CHARGE, facts, Lists(tuple(listed), tuple(rules)))
    random.shuffle(rules)
    random.shuffle(listed)
    assert check(CHARGE, facts, Lists(tuple(listed), tuple(rules))) == before


@given(RULES, ENTRIES, RULES, ENTRIES)
def test_whatever_a_merchant_adds_never_weakens_what_is_global(
    rules: list[Rule], listed: list[Entry], more_rules: list[Rule], more_listed: list[Entry]
) -> None:
    def strictness(lists: Lists) -> int:
        verdict = check(CHARGE, {"card_count_1h": 5.0}, lists)
        return ("block", "review", "allow").index(verdict.decision) if verdict else 3

    everywhere = [one for one in (*rules, *more_rules) if one.scope == "global"]
    entries = [one for one in (*listed, *more_listed) if one.scope == "global"]
    together = Lists((*listed, *more_listed), (*rules, *more_rules))
    assert strictness(together) <= strictness(Lists(tuple(entries), tuple(everywhere)))


@pytest.mark.parametrize(("expires_at", "counts"), [(None, True), (NOON + 1, True), (NOON, False), (0, False)])
def test_an_entry_is_over_for_charges_made_at_its_end_or_later(expires_at: int | None, counts: bool) -> None:
    assert bool(check(CHARGE, {}, Lists((Entry("global", "card", "block", expires_at),)))) is counts


def test_rules_in_shadow_are_heard_and_change_nothing() -> None:
    lists = Lists(shadow=(rule("block", name="b"), rule("allow", name="a"), rule("block", when=AmountLimit("EUR", 1))))
    assert check(CHARGE, {}, lists) is None
    assert [said.rule for said in shadow(CHARGE, {}, lists)] == ["global/a", "global/b"]


def test_the_rule_that_is_always_there_blocks_the_next_try() -> None:
    always = Lists(rules=(card_attempts(100),))
    assert check(CHARGE, {"card_count_1h": 99}, always) is None
    expected = Verdict("block", "card_attempts_limit", "global/card_attempts_limit")
    assert check(CHARGE, {"card_count_1h": 100}, always) == expected


STORED = {
    "amount_limit": {"currency": "USD", "over": 1},
    "count_limit": {"per": "card", "window": "1h", "over": 1},
    "sum_limit": {"per": "card", "window": "1h", "currency": "USD", "over": 1},
    "card_testing": {"per": "ip", "window": "10m", "charges": 2, "cards": 2, "small": 1},
}


def stored(kind: str, **changes: Any) -> str:
    return json.dumps({"id": "r", "kind": kind, "when": STORED[kind], "action": "block", "state": "on", **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_rule_is_read_or_refused_before_a_charge_is_there(kind: str) -> None:
    assert rule_of("global", stored(kind)) == Rule("global", "r", KINDS[kind](**STORED[kind]), "block", "on")
    for field in STORED[kind]:
        for wrong in (None, 1.5, True, [], "1" if isinstance(STORED[kind][field], int) else 1):
            with pytest.raises(UnknownRule):
                rule_of("global", stored(kind, when={**STORED[kind], field: wrong}))
    for changes in ({"action": "burn"}, {"state": "maybe"}, {"when": {"x": 1}}, {"when": []}):
        with pytest.raises(UnknownRule):
            rule_of("global", stored(kind, **changes))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '"x"', stored("amount_limit").replace("amount_limit", "magic")]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(UnknownRule):
        rule_of("global", text)


def test_an_address_has_another_digest_under_another_key() -> None:
    assert email_key("a@example.com", "k") == email_key(" A@Example.com ", "k") != email_key("a@example.com", "other")
    assert len(email_key("a@example.com", "")) == 40


def test_every_reason_is_one_of_the_codes() -> None:
    entries = [
        Entry("global", type_, action).verdict.code for type_ in TYPES for action in ("allow", "review", "block")
    ]
    limits = [
        made.code
        for per in LIMITED
        for made in (CountLimit(per, "1h", 1), SumLimit(per, "1h", "USD", 1), ALWAYS, CardTesting(per, "1h", 2, 2))
    ]
    assert {*entries, *limits} == set(CODES)


def test_what_is_no_entry_is_refused() -> None:
    for type_, action in (("colour", "block"), ("card", "burn")):
        with pytest.raises(UnknownRule):
            entry_of("global", type_, action, None)


def ranges(ip: str, kinds: frozenset[str] = RANGES) -> list[str]:
    return [entry.removeprefix("list#ip#") for _, entry in entries(Presented("tok_1", ip=ip), kinds)]


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("203.0.113.7", ["203.0.0.0/8", "203.0.0.0/16", "203.0.113.0/24", "203.0.113.7/32"]),
        ("0.0.0.0", ["0.0.0.0/8", "0.0.0.0/16", "0.0.0.0/24", "0.0.0.0/32"]),
        ("255.255.255.255", ["255.0.0.0/8", "255.255.0.0/16", "255.255.255.0/24", "255.255.255.255/32"]),
        ("::ffff:10.1.2.3", ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32"]),
        ("2001:db8::1", ["2001:db8::/32", "2001:db8::/48", "2001:db8::/64", "2001:db8::1/128"]),
        ("fe80::1%eth0", ["fe80::/32", "fe80::/48", "fe80::/64", "fe80::1/128"]),
        (" 10.1.2.3 ", ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32"]),
        *((text, []) for text in ("", "unknown", "10.1.2", "10.1.2.3, 10.1.2.4", "10.1.2.3:80", "010.1.2.3")),
    ],
)
def test_an_address_is_in_a_range_of_each_length_or_in_none(ip: str, expected: list[str]) -> None:
    assert ranges(ip) == expected


def test_only_lists_that_are_there_are_asked_for() -> None:
    assert ranges("203.0.113.7", frozenset({"ip4/24", "ip6/64", "card"})) == ["list#card#tok_1", "203.0.113.0/24"]
    assert entries(Presented("tok_1", ip="203.0.113.7"), frozenset()) == []


def test_what_a_charge_shows_is_in_the_sagas_request() -> None:
    event = {
        "card": {"token": "tok_1", "bin": "424242", "bin8": None},
        "customer": {"id": None, "email": "a@example.com", "billing_address": {"country": "us"}},
        "device": {"fingerprint": "dev_1", "ip": None},
    }
    shown = presented(event, "k")
    assert shown == Presented("tok_1", ("424242",), email_key(" A@example.com", "k"), "us", "dev_1", "", "")
    kinds = frozenset({"card", "bin", "email", "country", "device", "customer", *RANGES})
    found = [entry for _, entry in entries(shown, kinds)]
    assert "list#country#US" in found and "list#bin#424242" in found
    assert not [entry for entry in found if "example.com" in entry or entry.startswith(("list#customer", "list#ip"))]
    assert presented({"card": {"token": "tok_1"}, "customer": None, "device": None}, "k") == Presented("tok_1")
