"""A rule held against history: what it would have hit, of whom, and what is no history."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from functions.fraud.charge import Charge
from functions.fraud.rules import UnknownRule
from models.fraud import backtest as room
from models.fraud.backtest import InvalidHistory, Past, Tally, backtest, from_file, main, read_rule

DAY = 86_400
NOON = 1_795_435_200
CHARGE = Charge("pay_1", "mer_1", 100, "USD", NOON, "tok_1", "cus_1", "dev_1")
TWICE_A_DAY = {"kind": "count_limit", "when": {"per": "card", "window": "24h", "over": 2}, "action": "block"}


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    path = tmp_path / "rule.json"
    path.write_text(json.dumps({**TWICE_A_DAY, "reason": "as the API takes it"}))
    return path


def history(days: int) -> list[Past]:
    """Each day a good card's two charges of 100, and a thief's five of 1000 on a card of the day."""
    found = []
    for day in range(days):
        for number in range(7):
            good = number < 2
            at = NOON + day * DAY + number * 60
            card = "tok_good" if good else f"tok_bad_{day}"
            charge = replace(CHARGE, payment_id=f"pay_{day}_{number}", at=at, card=card, amount=100 if good else 1000)
            found.append(Past(charge, not good, False))
    return found


def test_what_the_rule_would_have_hit_is_counted_with_its_money(rule_file: Path) -> None:
    found = backtest(read_rule(rule_file, "global"), history(4))
    assert found == {"USD": Tally(20, 8, 20_000, 800, 12, 0, 12_000, 0)}


def test_only_the_last_days_are_measured_and_those_before_are_remembered(rule_file: Path) -> None:
    past = history(3)
    late = [replace(past[0].charge, payment_id=f"pay_late_{n}", at=NOON + 2 * DAY + 600 + n) for n in range(1)]
    found = backtest(read_rule(rule_file, "global"), [*past, *(Past(charge, False, False) for charge in late)], 1)
    assert found == {"USD": Tally(5, 3, 5000, 300, 3, 1, 3000, 100)}, "the late one is the good card's third that day"


def test_history_need_not_be_in_order_and_currencies_stand_apart(rule_file: Path) -> None:
    past = [Past(replace(one.charge, currency="JPY" if one.fraud else "USD"), *one[1:]) for one in history(2)]
    rule = read_rule(rule_file, "global")
    assert backtest(rule, reversed(past)) == backtest(rule, past)
    assert backtest(rule, past)["JPY"] == Tally(fraud=10, fraud_amount=10_000, fraud_hit=6, fraud_amount_hit=6000)


def test_a_merchants_rule_is_held_against_its_own_charges_only(rule_file: Path) -> None:
    elsewhere = replace(CHARGE, payment_id="pay_x", merchant="mer_2", card="tok_bad_0", at=NOON + 900)
    past = [*history(1), Past(elsewhere, True, False)]
    assert backtest(read_rule(rule_file, "mer_2"), past) == {
        "USD": Tally(fraud=1, fraud_amount=100, fraud_hit=1, fraud_amount_hit=100)
    }
    assert backtest(read_rule(rule_file, "mer_3"), past) == {}
    assert backtest(read_rule(rule_file, "global"), []) == {}


def line(past: Past) -> dict:
    charge = past.charge
    return {
        "payment_id": charge.payment_id,
        "merchant_id": charge.merchant,
        "amount": charge.amount,
        "currency": charge.currency,
        "created_at": f"2026-11-{23 + (charge.at - NOON) // DAY}T12:{(charge.at - NOON) % DAY // 60:02}:00.000Z",
        "card": {"token": charge.card},
        "customer": {"id": charge.customer},
        "device": {"fingerprint": charge.device},
        "fraud": past.fraud,
    }


def test_a_file_of_either_kind_says_the_same(rule_file: Path, tmp_path: Path) -> None:
    past = history(3)
    lines = tmp_path / "past.jsonl"
    lines.write_text("".join(json.dumps(line(one)) + "\n" for one in past))
    flat = [
        {**line(one), "card_token": one.charge.card, "customer_id": one.charge.customer, "device": one.charge.device}
        for one in past
    ]
    (tmp_path / "flat.json").write_text(json.dumps(flat))
    parquet = tmp_path / "past.parquet"
    for column in ("created_at", "created_at::TIMESTAMP AS created_at"):
        duckdb.sql(
            f"COPY (SELECT * EXCLUDE (created_at), {column} FROM read_json('{tmp_path / 'flat.json'}')) TO '{parquet}'"
        )
        rule = read_rule(rule_file, "global")
        assert backtest(rule, from_file(lines)) == backtest(rule, from_file(parquet)) == backtest(rule, past)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"fraud": 1}', json.dumps({**line(history(1)[0]), "fraud": "no"}),
             json.dumps({**line(history(1)[0]), "card": None})]
)  # fmt: skip
def test_what_is_no_charge_is_told_by_its_number(tmp_path: Path, text: str) -> None:
    path = tmp_path / "past.jsonl"
    path.write_text(json.dumps(line(history(1)[0])) + "\n" + text + "\n")
    with pytest.raises(InvalidHistory, match="2"):
        list(from_file(path))


def test_a_parquet_file_without_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "past.parquet"
    duckdb.sql(f"COPY (SELECT 1 AS payment_id) TO '{path}'")
    with pytest.raises(InvalidHistory, match="fraud"):
        list(from_file(path))
    with pytest.raises(InvalidHistory):
        list(from_file(tmp_path / "nowhere.parquet"))


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({**TWICE_A_DAY, "kind": "magic"})])
def test_what_is_no_rule_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rule.json"
    path.write_text(text)
    with pytest.raises(UnknownRule):
        read_rule(path, "global")
    assert main([str(path)]) == 1


def test_the_command_prints_the_figures(
    rule_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "generated", lambda: history(4))
    assert main([str(rule_file), "--days", "2"]) == 0
    printed = capsys.readouterr().out
    assert "USD: 14 charges, 6 hit" in printed
    assert "6 of" in printed and "60.000%" in printed and "100.0% are fraud" in printed
