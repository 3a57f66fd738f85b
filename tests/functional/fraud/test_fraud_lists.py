"""Lists and rules over a real table (moto): when a change counts, what it costs, and what if the table is away."""

import json
from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

from functions.fraud import lists as room
from functions.fraud.charge import Charge
from functions.fraud.decision import Decision
from functions.fraud.facts import Facts
from functions.fraud.features import NAMES
from functions.fraud.listed import Presented
from functions.fraud.lists import FRESH_SECONDS, RuleTable
from functions.fraud.models import Panel
from functions.fraud.profiles import ProfileTable
from functions.fraud.rules import Entry, Lists, card_attempts, check
from functions.fraud.scoring import score
from models.fraud.dataset import Memory

NOON = 1_795_435_200
LONG = 30.0
"""Seconds that a test waits for lists: moto is slow at first."""
CHARGE = Charge("pay_1", "mer_1", 4200, "USD", NOON, "tok_1", "cus_1", "dev_1")
SHOWN = Presented("tok_1", ("424242",), "a@example.com", "US", "dev_1", "cus_1", "203.0.113.7")
RULE = {"kind": "amount_limit", "when": {"currency": "USD", "over": 4000}, "action": "block", "state": "on"}


def only(model: Any) -> Any:
    """Whatever the pointers say, this model and none in shadow."""
    return lambda _: Panel(model)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = botocore.session.get_session().create_client("dynamodb", region_name="us-east-1")
        for table, keys in (("fraud-rules", ("scope", "entry")), ("fraud-profiles", ("entity", "region"))):
            made.create_table(
                TableName=table,
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=True)
                ],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                BillingMode="PAY_PER_REQUEST",
            )
        yield made


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counting:
    """A client that tells which calls were made, and fails or hangs if told to."""

    def __init__(self, real: Any) -> None:
        self.real, self.calls, self.fault = real, [], None
        self.hanging: Event | None = None
        self.returned = 0

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        self.calls.append(name)
        if self.hanging:
            self.hanging.wait(30)
        if self.fault:
            raise self.fault
        answer = getattr(self.real, name)(**arguments)
        self.returned += 1
        return answer

    def query(self, **arguments: Any) -> Any:
        return self._call("query", arguments)

    def batch_get_item(self, **arguments: Any) -> Any:
        return self._call("batch_get_item", arguments)


@pytest.fixture
def counting(client: Any) -> Counting:
    return Counting(client)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(counting: Counting, clock: Clock) -> RuleTable:
    return RuleTable(counting, "fraud-rules", (card_attempts(100),), clock, patience=LONG)


def put(client: Any, scope: str, entry: str, **values: Any) -> None:
    item = {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in values.items()}
    client.put_item(TableName="fraud-rules", Item={"scope": {"S": scope}, "entry": {"S": entry}, **item})


def put_rule(client: Any, scope: str, name: str, **changes: Any) -> None:
    put(client, scope, f"rule#{name}", rule=json.dumps({"id": name, **RULE, **changes}))


def put_entry(client: Any, scope: str, type_: str, key: str, kind: str, action: str = "block", **more: Any) -> None:
    put(client, scope, f"uses#{kind}")
    put(client, scope, f"list#{type_}#{key}", type=type_, action=action, value="shown", **more)


def test_where_nobody_made_any_there_is_the_one_rule_and_two_queries_every_few_seconds(
    table: RuleTable, counting: Counting, clock: Clock
) -> None:
    for _ in range(5):
        assert table.ask("mer_1", SHOWN)() == Lists(rules=(card_attempts(100),))
    assert counting.calls == ["query", "query"]
    clock.now += FRESH_SECONDS
    table.ask("mer_1", SHOWN)()
    assert counting.calls == ["query"] * 4


def test_values_of_both_scopes_are_asked_for_in_one_round_trip(
    table: RuleTable, counting: Counting, client: Any
) -> None:
    put_entry(client, "global", "card", "tok_1", "card")
    put_entry(client, "global", "country", "KP", "country")
    put_entry(client, "mer_1", "ip", "203.0.113.0/24", "ip4/24", "allow")
    put_entry(client, "mer_2", "bin", "424242", "bin")

    assert table.ask("mer_1", SHOWN)().entries == (Entry("global", "card", "block"), Entry("mer_1", "ip", "allow"))
    assert counting.calls == ["query", "query", "batch_get_item"]
    table.ask("mer_1", replace(SHOWN, card="tok_2"))()
    assert counting.calls[3:] == ["batch_get_item"], "a value that is not remembered"
    assert table.ask("mer_2", SHOWN)().entries == (Entry("global", "card", "block"), Entry("mer_2", "bin", "block"))
    assert counting.calls[4:] == ["query", "batch_get_item"]


@pytest.mark.parametrize("scope", ["global", "mer_1"])
def test_a_change_counts_within_seconds(table: RuleTable, client: Any, clock: Clock, scope: str) -> None:
    put(client, scope, "uses#card")
    table.ask("mer_1", SHOWN)()
    put_entry(client, scope, "card", "tok_1", "card")
    put_entry(client, scope, "email", "x", "email")
    put_rule(client, scope, "r")
    clock.now += FRESH_SECONDS - 0.1
    assert table.ask("mer_1", SHOWN)().entries == ()
    clock.now += 0.1
    lists = table.ask("mer_1", SHOWN)()
    assert lists.entries == (Entry(scope, "card", "block"),)
    assert [rule.scope for rule in lists.rules if rule.id == "r"] == [scope]
    put_rule(client, scope, "r", state="off")
    clock.now += FRESH_SECONDS
    assert [rule.id for rule in table.ask("mer_1", SHOWN)().rules] == ["card_attempts_limit"]


def test_a_stored_rule_takes_the_place_of_the_one_that_is_always_there(table: RuleTable, client: Any) -> None:
    put_rule(client, "global", "card_attempts_limit", state="shadow")
    put_rule(client, "mer_2", "card_attempts_limit", state="off")
    lists = table.ask("mer_1", SHOWN)()
    assert (lists.rules, [rule.id for rule in lists.shadow]) == ((), ["card_attempts_limit"])
    client.delete_item(
        TableName="fraud-rules", Key={"scope": {"S": "global"}, "entry": {"S": "rule#card_attempts_limit"}}
    )
    anew = RuleTable(client, "fraud-rules", (card_attempts(100),), patience=LONG)
    assert anew.ask("mer_2", SHOWN)().rules == (card_attempts(100),), "a merchant cannot switch it off"


def test_audits_and_idempotency_keys_are_no_rules(table: RuleTable, client: Any) -> None:
    put(client, "global", "audit", by="x")
    put(client, "global", "sum#1", by="x", rule="no rule")
    put(client, "global#audit", "rule#r#2026", by="x")
    put(client, "key#1", "-", answer="{}")
    lists = table.ask("mer_1", SHOWN)()
    assert (lists.complete, lists.rules) == (False, (card_attempts(100),)), "only what lies between is looked at"


@pytest.mark.parametrize("text", ["{", json.dumps({**RULE, "id": "r", "kind": "magic"})])
def test_a_rule_that_is_not_understood_is_left_out_and_told(table: RuleTable, client: Any, text: str) -> None:
    put(client, "mer_1", "rule#broken", rule=text)
    put_rule(client, "mer_1", "sound")
    lists = table.ask("mer_1", SHOWN)()
    assert not lists.complete
    assert [rule.id for rule in lists.rules] == ["card_attempts_limit", "sound"]
    assert table.ask("mer_2", SHOWN)().complete


def test_an_entry_that_is_not_understood_leaves_the_others(table: RuleTable, client: Any) -> None:
    put_entry(client, "global", "card", "tok_1", "card")
    put_entry(client, "global", "country", "US", "country", "burn")
    for _ in range(2):
        assert table.ask("mer_1", SHOWN)() == Lists(
            (Entry("global", "card", "block"),), (card_attempts(100),), complete=False
        )


@pytest.mark.parametrize(
    "fault",
    [
        ReadTimeoutError(endpoint_url="dynamodb"),
        ClientError({"Error": {"Code": "ThrottlingException"}}, "Query"),
        ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Query"),
    ],
)
def test_when_the_table_is_away_what_is_remembered_counts(
    table: RuleTable, counting: Counting, client: Any, clock: Clock, fault: Exception
) -> None:
    put_entry(client, "global", "card", "tok_1", "card")
    put_rule(client, "mer_1", "r")
    known = table.ask("mer_1", SHOWN)()
    counting.fault = fault
    clock.now += 3600
    assert table.ask("mer_1", SHOWN)() == replace(known, complete=False)
    assert table.ask("mer_9", replace(SHOWN, card="tok_9"))() == Lists((), (card_attempts(100),), complete=False)
    counting.fault = None
    assert table.ask("mer_1", SHOWN)() == known


def test_a_table_that_answers_in_part_is_asked_once_more(
    table: RuleTable, counting: Counting, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_entry(client, "global", "card", "tok_1", "card")
    left = {"fraud-rules": {"Keys": [{"scope": {"S": "global"}, "entry": {"S": "list#card#tok_1"}}]}}
    answers = [{"Responses": {}, "UnprocessedKeys": left}] * 3
    real = client.batch_get_item
    monkeypatch.setattr(client, "batch_get_item", lambda **asked: answers.pop() if answers else real(**asked))
    assert not table.ask("mer_1", SHOWN)().complete
    lists = table.ask("mer_1", SHOWN)()
    assert (lists.complete, lists.entries) == (True, (Entry("global", "card", "block"),))


def test_a_hanging_table_is_not_waited_for(counting: Counting, clock: Clock, client: Any) -> None:
    """Ten charges, one after the other, while no call comes back: each gets an answer, and none is lost."""
    table = RuleTable(counting, "fraud-rules", (card_attempts(100),), clock, patience=0.02)
    counting.hanging = Event()
    profiles = ProfileTable(client, "fraud-profiles", "us-east-1", ("us-east-1",))
    for number in range(10):
        decision = score(replace(CHARGE, payment_id=f"pay_{number}"), profiles, only(None), table.ask("mer_1", SHOWN))
        assert decision.degraded and "lists_unavailable" in decision.reasons
    assert counting.returned == 0
    assert len(counting.calls) <= room.READERS, "the others were not even begun"
    counting.hanging.set()
    table.patience = LONG
    assert table.ask("mer_1", SHOWN)().complete


def test_memory_is_bounded(counting: Counting, client: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SCOPES_REMEMBERED", 3)
    monkeypatch.setattr(room, "VALUES_REMEMBERED", 5)
    put_entry(client, "global", "card", "tok_7", "card")
    table = RuleTable(counting, "fraud-rules", (), clock, patience=LONG)
    for number in range(12):
        lists = table.ask(f"mer_{number}", replace(SHOWN, card=f"tok_{number}"))()
        assert bool(lists.entries) is (number == 7)
    assert len(table._scopes) <= 3
    assert len(table._entries) <= 5


class Suspicious:
    """A model that would block everything."""

    version = "always"

    def score(self, row: object) -> int:
        return 99

    def contributions(self, row: object) -> dict[str, float]:
        return dict.fromkeys(NAMES, 0.0) | {"amount_log": 1.0}


def decided(client: Any, table: RuleTable, model: Any) -> Decision:
    profiles = ProfileTable(client, "fraud-profiles", "us-east-1", ("us-east-1",))
    return score(CHARGE, profiles, only(model), table.ask("mer_1", SHOWN))


@pytest.mark.parametrize(
    ("scope", "action", "score_", "reasons"),
    [
        ("global", "block", 100, ("card_on_block_list",)),
        ("mer_1", "block", 100, ("card_on_block_list",)),
        ("mer_1", "allow", 0, ("card_on_allow_list",)),
    ],
)
def test_a_list_decides_before_the_model_is_asked(
    table: RuleTable, client: Any, scope: str, action: str, score_: int, reasons: tuple[str, ...]
) -> None:
    put_entry(client, scope, "card", "tok_1", "card", action)
    decision = decided(client, table, Suspicious())
    assert (decision.score, decision.decision, decision.reasons) == (score_, action, reasons)
    assert (decision.rule, decision.degraded) == (f"{scope}/list/card", False)


def test_what_is_to_be_reviewed_is_scored_too(table: RuleTable, client: Any) -> None:
    put_entry(client, "mer_1", "country", "US", "country", "review")
    decision = decided(client, table, Suspicious())
    assert (decision.score, decision.decision, decision.reasons[0]) == (99, "block", "country_on_review_list")


def test_without_profiles_lists_and_limits_of_amounts_still_speak(table: RuleTable, client: Any) -> None:
    client.delete_table(TableName="fraud-profiles")
    put_rule(client, "global", "r")
    decision = decided(client, table, None)
    assert (decision.score, decision.reasons, decision.degraded) == (
        100, ("amount_limit", "profiles_unavailable"), True)  # fmt: skip


def test_a_rule_in_shadow_is_logged_and_decides_nothing(
    table: RuleTable, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.fraud import scoring

    told: list[dict[str, Any]] = []
    monkeypatch.setattr(scoring.logger, "info", lambda message, extra: told.append({"message": message, **extra}))
    put_rule(client, "global", "r", state="shadow")
    assert decided(client, table, None).score == 0
    assert told == [
        {"message": "rule in shadow", "payment_id": "pay_1", "decision": "block", "code": "amount_limit",
         "rule": "global/r"}
    ]  # fmt: skip


def test_the_same_rule_says_the_same_of_what_the_table_and_of_what_memory_holds(table: RuleTable, client: Any) -> None:
    """What a back-test sees is what serving sees."""
    put_rule(client, "global", "r", kind="count_limit", when={"per": "device", "window": "1h", "over": 2})
    profiles = ProfileTable(client, "fraud-profiles", "us-east-1", ("us-east-1",))
    memory = Memory()
    for number in range(5):
        charge = replace(CHARGE, payment_id=f"pay_{number}", at=NOON + number)
        lists = table.ask("mer_1", SHOWN)()
        blocked = score(charge, profiles, only(None), lambda lists=lists: lists).blocked
        assert blocked is (number >= 2)
        assert (check(charge, Facts(charge, memory.known(charge)), lists) is not None) is blocked
        memory.count(charge, blocked)
