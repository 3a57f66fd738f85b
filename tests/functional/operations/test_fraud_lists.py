"""Lists and rules of fraud scoring in the operators' API, and that the fraud function sees what is written there."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from functions.fraud import listed as fraud_listed
from functions.fraud import rules as fraud_rules
from functions.fraud.charge import Charge
from functions.fraud.listed import Presented, email_key
from functions.fraud.lists import RuleTable
from functions.operations import fraud_changes, fraud_requests, fraud_table, fraud_values, names
from functions.operations.fraud_values import listed
from functions.operations.settings import settings
from payments import clients
from payments.errors import InvalidRequest
from payments.rest import card_numbers
from tests.functional.operations.conftest import ALICE, BOB
from tests.functional.samples import MERCHANT

GLOBAL, OWN = {"scope": "global"}, {"scope": MERCHANT}
BLOCK = {"action": "block", "reason": "reported by its owner"}
TOKEN = "tok_1" + "a" * 52
LIMIT = {
    "kind": "count_limit",
    "when": {"per": "card", "window": "1h", "over": 3},
    "action": "block",
    "state": "on",
    "reason": "too many tries",
}

# Type, value as an operator writes it, and what a charge shows that it is about.
VALUES = [
    ("card", TOKEN, {"card": TOKEN}),
    ("bin", "424242", {"bins": ("424242", "42424242")}),
    ("bin", "42424242", {"bins": ("424242", "42424242")}),
    ("email", " Mallory@Example.COM ", {"email": email_key("mallory@example.com", settings().profile_digest_key)}),
    ("country", "kp", {"country": "KP"}),
    ("device", "dev_1", {"device": "dev_1"}),
    ("device", "x" * 300, {"device": "x" * 300}),
    ("device", "gerät/1#", {"device": "gerät/1#"}),
    ("customer", "cus 1", {"customer": "cus 1"}),
    ("ip", "203.0.113.0/24", {"ip": "203.0.113.7"}),
    ("ip", "203.0.113.7", {"ip": "::ffff:203.0.113.7"}),
    ("ip", "10.0.0.0/8", {"ip": "10.255.255.255"}),
    ("ip", "2001:db8::/32", {"ip": "2001:db8:ffff::1"}),
    ("ip", "2001:DB8:0:1::/64", {"ip": "2001:db8:0:1:ffff:ffff:ffff:ffff"}),
]


def path(kind, value):
    return f"/fraud/lists/{kind}/{names.escaped(value)}"


def seen(merchant=MERCHANT, **shown):
    """What the fraud function reads of it, with nothing remembered."""
    table = RuleTable(clients.client("dynamodb"), "fraud-rules", (), patience=30.0)  # moto is slow at first
    return table.ask(merchant, Presented(**{"card": "tok_other", **shown}))()


@pytest.mark.parametrize(("kind", "value", "shown"), VALUES)
def test_what_is_listed_the_fraud_function_finds(call, kind, value, shown):
    status, body, _ = call("PUT", path(kind, value), BLOCK, key="1", query=OWN)

    assert (status, body["type"], body["action"], body["active"]) == (200, kind, "block", True)
    found = seen(**shown)
    assert found == fraud_rules.Lists((fraud_rules.Entry(MERCHANT, kind, "block"),))
    assert not seen("mer_" + "b" * 24, **shown).entries, "another merchant's charge"
    assert not seen().entries, "a charge that shows something else"


def test_what_is_global_counts_for_every_merchant(call):
    call("PUT", path("country", "KP"), BLOCK, key="1", query=GLOBAL)

    assert [entry.scope for entry in seen("mer_" + "b" * 24, country="KP").entries] == ["global"]


def test_off_the_list_it_is_over_at_once_and_can_be_listed_again(call):
    call("PUT", path("card", TOKEN), BLOCK, key="1", query=GLOBAL)
    status, body, _ = call("DELETE", path("card", TOKEN), {"reason": "returned"}, key="2", query=GLOBAL)

    assert (status, body["active"], body["reason"]) == (200, False, "returned")
    now = int(datetime.now(UTC).timestamp())
    charge = Charge("pay_1", MERCHANT, 100, "USD", now, TOKEN, None, None)
    assert fraud_rules.check(charge, {}, seen(card=TOKEN)) is None
    assert call("GET", "/fraud/lists", query=GLOBAL)[1]["data"] == []
    assert call("DELETE", path("card", TOKEN), {"reason": "x"}, key="3", query=GLOBAL)[0] == 404
    call("PUT", path("card", TOKEN), BLOCK, key="4", query=GLOBAL)
    assert fraud_rules.check(charge, {}, seen(card=TOKEN)).decision == "block"
    audit = call("GET", path("card", TOKEN), query=GLOBAL)[1]["audit"]
    assert [told["what"] for told in audit] == ["put", "remove", "put"]


def test_an_entry_ends_when_it_was_said_to(call):
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    body = {**BLOCK, "expires_at": until.isoformat()}
    assert call("PUT", path("card", TOKEN), body, key="1", query=GLOBAL)[0] == 200

    last = Charge("pay_1", MERCHANT, 100, "USD", int(until.timestamp()) - 1, TOKEN, None, None)
    after = Charge("pay_1", MERCHANT, 100, "USD", int(until.timestamp()), TOKEN, None, None)
    lists = seen(card=TOKEN)
    assert fraud_rules.check(last, {}, lists).code == "card_on_block_list"
    assert fraud_rules.check(after, {}, lists) is None
    past = {**BLOCK, "expires_at": "2020-01-01T00:00:00Z"}
    assert call("PUT", path("card", TOKEN), past, key="2", query=GLOBAL)[1]["error"]["param"] == "expires_at"


def test_no_address_of_a_person_is_stored_or_shown(call):
    address = "mallory@example.com"
    _, body, _ = call("PUT", path("email", address), BLOCK, key="1", query=GLOBAL)
    _, shown, _ = call("GET", path("email", address), query=GLOBAL)
    _, by_digest, _ = call("GET", f"/fraud/lists/{body['id']}", query=GLOBAL)

    stored = json.dumps(clients.client("dynamodb").scan(TableName="fraud-rules")["Items"])
    assert "mallory" not in stored.lower() and "mallory" not in json.dumps([body, shown]).lower()
    assert by_digest == shown


@pytest.mark.parametrize(
    ("kind", "value", "scope", "param"),
    [
        ("card", "4242424242424242", GLOBAL, "value"),
        ("card", "tok_4242424242424242aaaaaaaa", GLOBAL, "value"),
        ("device", "4242 4242 4242 4242", OWN, "value"),
        ("customer", "4242-4242-4242-4242", OWN, "value"),
        ("ip", "4242:4242:4242:4242::/64", GLOBAL, "value"),
        ("email", "4242424242424242@example.com", GLOBAL, "value"),
        ("email", "mallory", GLOBAL, "value"),
        ("bin", "4242424", GLOBAL, "value"),
        ("bin", "٤٢٤٢٤٢", GLOBAL, "value"),
        ("country", "USA", GLOBAL, "value"),
        ("ip", "203.0.113.7/24", GLOBAL, "value"),
        ("ip", "203.0.113.0/25", GLOBAL, "value"),
        ("ip", "0.0.0.0/0", GLOBAL, "value"),
        ("ip", "2001:db8::/33", GLOBAL, "value"),
        ("ip", "::ffff:203.0.113.7", GLOBAL, "value"),
        ("ip", "fe80::1%eth0", GLOBAL, "value"),
        ("ip", "localhost", GLOBAL, "value"),
        ("customer", "cus_1", GLOBAL, "scope"),
        ("card", TOKEN, {"scope": "mer_"}, "scope"),
        ("card", TOKEN, {"scope": "global#audit"}, "scope"),
        ("colour", "red", GLOBAL, "type"),
        ("device", "a\nb", OWN, "value"),
    ],
)
def test_what_cannot_be_listed_is_refused_and_not_repeated(call, kind, value, scope, param):
    status, body, _ = call("PUT", path(kind, value), BLOCK, key="1", query=scope)

    assert (status, body["error"]["param"]) == (400, param)
    assert value not in json.dumps(body)
    assert clients.client("dynamodb").scan(TableName="fraud-rules")["Count"] == 0


@pytest.mark.parametrize("query", [None, {}, {"scope": "global", "x": "1"}])
def test_nothing_is_global_because_nobody_said_so(call, query):
    assert call("PUT", path("card", TOKEN), BLOCK, key="1", query=query)[0] == 400
    assert call("PUT", "/fraud/rules/a", LIMIT, key="1", query=query)[0] == 400


@pytest.mark.parametrize(
    "body", [{}, {"action": "burn", "reason": "x"}, {"action": "block"}, {**BLOCK, "reason": "4242424242424242"}]
)
def test_an_entry_needs_an_action_and_a_reason_without_a_card(call, body):
    assert call("PUT", path("card", TOKEN), body, key="1", query=GLOBAL)[0] == 400


def test_the_same_key_changes_nothing_twice(call):
    _, first, _ = call("PUT", path("card", TOKEN), BLOCK, key="1", query=GLOBAL)
    call("PUT", path("card", TOKEN), {"action": "allow", "reason": "x"}, key="2", query=GLOBAL)
    status, again, answer = call("PUT", path("card", TOKEN), BLOCK, key="1", query=GLOBAL)

    assert (status, again) == (200, first)
    assert answer["multiValueHeaders"]["Idempotent-Replayed"] == ["true"]
    assert call("GET", path("card", TOKEN), query=GLOBAL)[1]["action"] == "allow"
    assert call("PUT", path("bin", "424242"), BLOCK, key="1", query=GLOBAL)[0] == 422
    assert call("PUT", path("card", TOKEN), BLOCK, key="1", query=OWN)[0] == 422
    assert call("PUT", path("card", TOKEN), BLOCK, query=GLOBAL)[1]["error"]["code"] == "idempotency_key_required"


def test_of_two_at_once_one_is_told(call, monkeypatch):
    call("PUT", path("card", TOKEN), BLOCK, key="1", query=GLOBAL)
    read = fraud_table.read

    def overtaken(scope, entry):
        found = read(scope, entry)
        if entry.startswith("list#"):
            monkeypatch.setattr(fraud_table, "read", read)
            call("PUT", path("card", TOKEN), {"action": "review", "reason": "bob"}, key="2", query=GLOBAL, arn=BOB)
        return found

    monkeypatch.setattr(fraud_table, "read", overtaken)
    status, body, _ = call("PUT", path("card", TOKEN), {"action": "allow", "reason": "alice"}, key="3", query=GLOBAL)

    assert (status, body["error"]["code"]) == (409, "fraud_list_changed")
    assert call("GET", path("card", TOKEN), query=GLOBAL)[1]["reason"] == "bob"
    assert call("PUT", path("card", TOKEN), {"action": "allow", "reason": "alice"}, key="3", query=GLOBAL)[0] == 200


def test_the_trail_says_who_when_and_what_was_before(call):
    call("PUT", path("country", "KP"), {"action": "review", "reason": "first"}, key="1", query=GLOBAL, arn=ALICE)
    call("PUT", path("country", "KP"), BLOCK, key="2", query=GLOBAL, arn=BOB)
    _, body, _ = call("GET", path("country", "KP"), query=GLOBAL)

    assert (body["created_by"], body["changed_by"], body["reason"]) == (ALICE, BOB, BLOCK["reason"])
    first, second = body["audit"]
    assert (first["by"], first["before"], second["by"]) == (ALICE, None, BOB)
    assert (second["before"]["action"], second["after"]["action"], second["request"]) == ("review", "block", BLOCK)
    assert first["at"] <= second["at"]


def test_lists_are_read_page_by_page_both_ways(call):
    values = [f"10.{number}.0.0/16" for number in range(7)]
    for number, value in enumerate(values):
        call("PUT", path("ip", value), BLOCK, key=str(number), query=GLOBAL)
    call("PUT", path("bin", "424242"), BLOCK, key="bin", query=GLOBAL)
    call("DELETE", path("ip", values[3]), {"reason": "x"}, key="gone", query=GLOBAL)

    found, query = [], {"type": "ip", "limit": "2"}
    while True:
        _, body, _ = call("GET", "/fraud/lists", query=query)
        found += [entry["value"] for entry in body["data"]]
        if not body["has_more"]:
            break
        query = {**query, "starting_after": body["next_cursor"]}
    assert found == values[:3] + values[4:]
    _, back, _ = call("GET", "/fraud/lists", query={"ending_before": query["starting_after"], "type": "ip"})
    assert [entry["value"] for entry in back["data"]] == values[:3], "what comes before the fifth, less the fourth"
    for cursor in ("x", "bGlzdCNiaW4j"):
        asked = {"type": "ip", "starting_after": cursor}
        assert call("GET", "/fraud/lists", query=asked)[1]["error"]["code"] == "invalid_cursor"


@pytest.mark.parametrize(
    ("kind", "when"),
    [
        ("amount_limit", {"currency": "EUR", "over": 100_000}),
        *(("count_limit", {"per": per, "window": "10m", "over": 1}) for per in ("card", "customer", "device", "ip")),
        *(("count_limit", {"per": "card", "window": window, "over": 9}) for window in ("1h", "24h")),
        ("sum_limit", {"per": "customer", "window": "24h", "currency": "JPY", "over": 10**12 - 1}),
        ("card_testing", {"per": "device", "window": "10m", "charges": 5, "cards": 4}),
        ("card_testing", {"per": "ip", "window": "1h", "charges": 5, "cards": 17, "small": 500}),
    ],
)
def test_what_is_a_rule_here_is_one_for_the_fraud_function(call, kind, when):
    asked = {**LIMIT, "kind": kind, "when": when}
    status, body, _ = call("PUT", "/fraud/rules/r_1", asked, key="1", query=OWN)

    assert (status, body["when"]) == (200, when)
    found = seen()
    assert found.complete
    condition = fraud_rules.KINDS[kind](**when)
    assert found.rules == (fraud_rules.Rule(MERCHANT, "r_1", condition, "block", "on"),)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"when": {"per": "card", "window": "1h"}}, "when"),
        ({"when": {"per": "email", "window": "1h", "over": 3}}, "when.per"),
        ({"when": {"per": "card", "window": "7d", "over": 3}}, "when.window"),
        ({"when": {"per": "card", "window": "1h", "over": 0}}, "when.over"),
        ({"when": {"per": "card", "window": "1h", "over": 1.5}}, "when.over"),
        ({"when": {"per": "card", "window": "1h", "over": 4242424242424242}}, "when"),
        ({"when": {"per": "card", "window": "1h", "over": 3, "x": 1}}, "when"),
        ({"kind": "magic"}, "kind"),
        ({"action": "burn"}, "action"),
        ({"state": "maybe"}, "state"),
        ({"reason": ""}, "reason"),
        ({"kind": "card_testing", "when": {"per": "card", "window": "10m", "charges": 5, "cards": 4}}, "when.per"),
    ],
)
def test_what_is_no_rule_is_refused_with_its_fields_name(call, change, param):
    status, body, _ = call("PUT", "/fraud/rules/r_1", {**LIMIT, **change}, key="1", query=OWN)

    assert (status, body["error"]["param"]) == (400, param)
    assert not seen().rules


@pytest.mark.parametrize("name", ["A", "1a", "a-b", "a" * 65, "a=2Fb", "4242424242424242"])
def test_a_rules_name_is_plain(call, name):
    assert call("PUT", f"/fraud/rules/{name}", LIMIT, key="1", query=OWN)[0] in (400, 404)


def test_a_rule_goes_through_its_states_and_says_what_was_never_tried(call):
    def put(number, **changes):
        return call("PUT", "/fraud/rules/r_1", {**LIMIT, **changes}, key=str(number), query=GLOBAL)[1]

    assert "shadow" in put(1)["note"]
    assert (seen().rules[0].id, seen().shadow) == ("r_1", ())
    assert put(2, state="shadow")["note"] is None
    assert (seen().rules, seen().shadow[0].id) == ((), "r_1")
    assert put(3)["note"] is None, "it was in shadow"
    assert "shadow" in put(4, when={**LIMIT["when"], "over": 2})["note"], "not with this condition"
    put(5, state="off")
    assert (seen().rules, seen().shadow) == ((), ())
    _, body, _ = call("GET", "/fraud/rules/r_1", query=GLOBAL)
    assert [told["request"]["state"] for told in body["audit"]] == ["on", "shadow", "on", "on", "off"]
    assert [found["id"] for found in call("GET", "/fraud/rules", query=GLOBAL)[1]["data"]] == ["r_1"]
    assert call("GET", "/fraud/rules/r_1", query=OWN)[1]["error"]["code"] == "fraud_rule_not_found"


def test_a_scope_has_room_for_few_rules(call, monkeypatch):
    monkeypatch.setattr(fraud_changes, "MOST_RULES", 2)
    for number, name in enumerate(("a", "b")):
        assert call("PUT", f"/fraud/rules/{name}", LIMIT, key=str(number), query=GLOBAL)[0] == 200

    assert call("PUT", "/fraud/rules/c", LIMIT, key="c", query=GLOBAL)[1]["error"]["code"] == "too_many_rules"
    assert call("PUT", "/fraud/rules/c", LIMIT, key="d", query=OWN)[0] == 200
    assert call("PUT", "/fraud/rules/a", {**LIMIT, "state": "off"}, key="e", query=GLOBAL)[0] == 200


def test_both_sides_know_the_same_words():
    assert tuple(fraud_values._TYPES) == fraud_rules.TYPES
    assert fraud_values.PREFIXES == fraud_listed.PREFIXES
    assert set(fraud_requests.CONDITIONS) == set(fraud_rules.KINDS)


@given(name=st.text(min_size=1, max_size=200))
@example("a" * 72)
@example("a" * 73)
@example("#" + "a" * 32)
def test_a_name_has_the_same_key_on_both_sides(name):
    shown = Presented("tok_1", device=name)
    try:
        entry = listed("device", name, "global").entry
    except InvalidRequest:
        return
    assert fraud_listed.entries(shown, frozenset({"device"})) == [("device", entry)]
    assert len(entry.encode()) <= 1024, "a sort key"


@given(st.ip_addresses())
def test_every_range_around_an_address_finds_it(address):
    prefixes = fraud_listed.PREFIXES[6 if address.version == 6 and not address.ipv4_mapped else 4]
    kinds = frozenset(f"ip{version}/{some}" for version, lengths in fraud_listed.PREFIXES.items() for some in lengths)
    found = dict(fraud_listed.entries(Presented("tok_1", ip=str(address)), kinds))

    assert len(found) == len(prefixes)
    for kind, entry in found.items():
        text = entry.removeprefix("list#ip#")
        assume(address.version == 4 or not card_numbers.occurs_in(text))
        assert (listed("ip", text, "global").kind, listed("ip", text, "global").entry) == (kind, entry)
