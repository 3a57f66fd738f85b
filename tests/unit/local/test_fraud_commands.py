"""`payments fraud …`: what is asked of the operators' API, and what is shown."""

import json
from contextlib import contextmanager

import httpx
import pytest
from typer.testing import CliRunner

from functions.operations import names
from local import fraud_commands
from local.ledger import Refused
from tests.unit.local.test_operations import Api, client, page

ENTRY = dict.fromkeys(fraud_commands._ENTRY) | {"type": "ip", "value": "10.0.0.0/8"}
RULE = {"kind": "amount_limit", "when": {"currency": "USD", "over": 1}, "action": "block", "state": "shadow"}


@pytest.fixture
def run(monkeypatch):
    """Runs a command against answers, and tells what it printed and asked."""

    def running(*arguments, answers=((200, {}),)):
        api = Api(*answers)

        @contextmanager
        def opened(region, in_aws):
            yield client(api)

        monkeypatch.setattr(fraud_commands, "api_of", opened)
        return CliRunner().invoke(fraud_commands.app, list(arguments)), api.asked

    return running


def test_a_value_is_listed_under_its_escaped_name_in_the_scope_that_is_said(run):
    result, (asked,) = run("lists", "put", "ip", "203.0.113.0/24", "block", "--reason", "r", "--scope", "mer_1",
                           "--key", "k", "--until", "2030-01-01T00:00:00Z")  # fmt: skip
    assert result.exit_code == 0
    assert (asked.method, dict(asked.url.params)) == ("PUT", {"scope": "mer_1"})
    assert asked.url.path.endswith("/operations/v1/fraud/lists/ip/203.0.113.0=2F24")
    assert asked.headers["Idempotency-Key"] == "k"
    expected = {"action": "block", "reason": "r", "expires_at": "2030-01-01T00:00:00Z"}
    assert json.loads(asked.content) == expected


@pytest.mark.parametrize("value", ["203.0.113.0/24", "a b", "gerät", "x~y._-", "a%2Fb", "="])
def test_values_stand_in_paths_as_the_api_reads_them(value):
    assert names.unescaped(fraud_commands._entry("device", value).removeprefix("lists/device/")) == value


@pytest.mark.parametrize("command", [("lists", "put", "card", "tok_1", "block"), ("lists", "remove", "card", "tok_1")])
def test_a_change_says_whose_and_why(run, command):
    assert run(*command, "--reason", "r")[0].exit_code == 2
    assert run(*command, "--scope", "global")[0].exit_code == 2


def test_a_value_is_taken_off(run):
    result, (asked,) = run("lists", "remove", "card", "tok_1", "--reason", "r", "--scope", "global")
    assert (result.exit_code, asked.method, json.loads(asked.content)) == (0, "DELETE", {"reason": "r"})


def test_all_pages_are_shown(run):
    pages = (page(ENTRY, cursor="c"), page({**ENTRY, "value": "11.0.0.0/8"}))
    result, asked = run("lists", "list", "--type", "ip", answers=pages)
    assert "10.0.0.0/8" in result.output and "11.0.0.0/8" in result.output
    assert dict(asked[1].url.params) == {"scope": "global", "type": "ip", "limit": "100", "starting_after": "c"}


def test_a_rule_comes_from_a_file_and_its_state_may_be_said_apart(run, tmp_path):
    file = tmp_path / "rule.json"
    file.write_text(json.dumps({"id": "x", **RULE}))
    result, (asked,) = run("rules", "put", "r_1", str(file), "--reason", "r", "--scope", "global", "--state", "on")
    assert result.exit_code == 0
    assert asked.url.path.endswith("/fraud/rules/r_1")
    assert json.loads(asked.content) == {**RULE, "state": "on", "reason": "r"}
    file.write_text("[]")
    assert run("rules", "put", "r_1", str(file), "--reason", "r", "--scope", "global")[0].exit_code == 1


def test_a_request_that_was_cut_off_says_how_to_repeat_it(run, monkeypatch):
    def cut(*_):
        raise httpx.ReadTimeout("cut off")

    monkeypatch.setattr("local.operations.Operations.fraud_change", cut)
    result, _ = run("lists", "remove", "card", "tok_1", "--reason", "r", "--scope", "global", "--key", "k")
    assert isinstance(result.exception, Refused)
    assert "--key k" in str(result.exception)


def test_the_back_test_prints_or_says_why_not(run, tmp_path):
    rule, past = tmp_path / "rule.json", tmp_path / "past.jsonl"
    rule.write_text(json.dumps(RULE))
    charge = {"payment_id": "p", "merchant_id": "m", "amount": 2, "currency": "USD", "fraud": True,
              "created_at": "2026-11-23T12:00:00.000Z", "card": {"token": "t"}}  # fmt: skip
    past.write_text(json.dumps(charge) + "\n")
    result, _ = run("backtest", str(rule), "--history", str(past))
    assert (result.exit_code, "USD: 1 charges, 1 hit" in result.output) == (0, True)
    past.write_text("{\n")
    result, _ = run("backtest", str(rule), "--history", str(past))
    assert (result.exit_code, "line 1 is not JSON" in result.output.replace("\n", " ")) == (1, True)
