"""What an operator books, by the real functions; and what accountants are shown."""

import io
import json
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from functions.ledger import app
from local import ledger_commands, ledger_reports
from local.cli import app as payments_command
from local.ledger import Refused
from local.ledger_desk import Desk
from payments import books, clients, identifiers, lifecycle, records, regions
from payments.journal import Balance
from payments.lifecycle import Authorization
from payments.tables import JournalItem, PaymentItem, connection
from tests.functional.audit.conftest import EAST, KEYS, WEST, life, payment, typed
from tests.functional.samples import AUTHORIZATION

SHARD = identifiers.merchant_shard("mer_a")
PAYMENT = identifiers.payment_id("mer_a", "key-1")
ENTRIES = {"payments-ledger-command": app.command, "payments-ledger-book": app.book}


class Functions:
    """Lambda in one region: the real handlers, on the tables of the first one."""

    def __init__(self, region):
        self.region, self.asked = region, []

    def invoke(self, FunctionName, Payload):
        self.asked.append((FunctionName, json.loads(Payload)))
        try:
            with patch.object(regions, "here", lambda: self.region):
                answer, failed = ENTRIES[FunctionName](json.loads(Payload), None), {}
        except ValueError as error:
            answer, failed = {"errorMessage": str(error)}, {"FunctionError": "Unhandled"}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **failed}


@pytest.fixture
def desk(world):
    """A captured payment of 4,200, and the ledger's functions."""
    clients.client.cache_clear()
    connection.cache_clear()
    for model in (PaymentItem, JournalItem):
        model._connection = None
    world.functions = {name: Functions(name) for name in (EAST, WEST)}
    paid, _ = lifecycle.decide(payment(), Authorization(), "2026-11-22T10:00:01.000Z")
    for region in world.regions.values():
        region.dynamodb.put_item(TableName="payments", Item=typed(records.payment_record(paid)))
        region.dynamodb.put_item(TableName="shards", Item=typed({"shard": SHARD, "primary": EAST}))
    world.write(life()[:2])
    world.project()
    return Desk(world.regions)


@pytest.fixture
def command(world, monkeypatch):
    """The command line on these regions: exit code and output."""
    monkeypatch.setattr(ledger_commands, "_local", lambda: world.regions)
    monkeypatch.setattr(ledger_commands.console, "_width", 250, raising=False)

    def run(*arguments):
        result = CliRunner().invoke(payments_command, ["ledger", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result.exit_code, result.output

    return run


def booking(amount, reference="r1", currency="USD"):
    return {"reference": reference, "amount": amount, "currency": currency, "reason": "why"}


AVAILABLE = 4200 - 152  # 2.9 % and 30


def test_a_dispute_is_opened_once_and_lost(desk):
    opened = desk.dispute("open", PAYMENT, "case-1", 1000, "fraudulent")
    assert (opened["result"], opened["answer"]["status"], opened["answer"]["amount"]) == ("done", "open", 1000)
    assert desk.dispute("open", PAYMENT, "case-1", 1000, "fraudulent")["result"] == "replayed"
    with pytest.raises(Refused, match="idempotency_key_reused"):
        desk.dispute("open", PAYMENT, "case-1", 1001, "fraudulent")
    assert desk.dispute("lost", PAYMENT, "case-1", None, None)["answer"]["status"] == "lost"
    with pytest.raises(Refused, match="payment_state_invalid"):
        desk.dispute("won", PAYMENT, "case-1", None, None)


def test_what_cannot_be_disputed_is_refused(desk):
    with pytest.raises(Refused, match="amount_too_large"):
        desk.dispute("open", PAYMENT, "case-1", 4201, None)
    with pytest.raises(Refused, match="no payment"):
        desk.dispute("open", identifiers.payment_id("mer_a", "none"), "case-1", None, None)
    with pytest.raises(Refused, match="no id"):
        desk.dispute("open", "case-1", "case-1", None, None)


def test_a_payout_takes_at_most_what_is_available(desk, world):
    assert ledger_reports.available(world.regions[EAST], "mer_a", "USD") == AVAILABLE
    for asked in (booking(AVAILABLE + 1), booking(1, currency="EUR")):
        with pytest.raises(Refused, match="available"):
            desk.payout("mer_a", asked)
    assert desk.payout("mer_a", booking(AVAILABLE))["result"] == "written"
    world.project()
    assert ledger_reports.available(world.regions[EAST], "mer_a", "USD") == 0
    assert desk.payout("mer_a", booking(AVAILABLE))["result"] == "exists"
    with pytest.raises(Refused, match="available"):
        desk.payout("mer_a", booking(1, "r2"))
    assert desk.payout("mer_a", booking(1, "r2"), overdraw=True)["result"] == "written"


def test_a_reference_names_one_booking(desk):
    assert desk.book("mer_a", "adjustment", booking(-5))["result"] == "written"
    with pytest.raises(Refused, match="another booking"):
        desk.book("mer_a", "adjustment", booking(-6))
    assert desk.book("mer_a", "fee", booking(6))["result"] == "written"


def test_a_booking_is_taken_back_once(desk):
    written = desk.book("mer_a", "adjustment", booking(500))["journal"]
    back = desk.reverse(written["payment_id"], written["journal_id"], "a mistake")
    assert back["journal"]["reverses"] == written["journal_id"]
    assert desk.reverse(written["payment_id"], written["journal_id"], "a mistake")["result"] == "exists"
    assert len(books.journals(written["payment_id"])) == 2
    with pytest.raises(Refused, match="journal_not_found"):
        desk.reverse(PAYMENT, "cap_none", "a mistake")
    with pytest.raises(Refused, match="invalid_booking"):
        desk.reverse(PAYMENT, AUTHORIZATION, "a mistake")


def test_bookings_go_to_the_region_that_writes_for_the_shard(desk, world):
    desk.book("mer_a", "fee", booking(1))
    assert len(world.functions[EAST].asked) == 1
    region = world.regions[EAST]
    region.dynamodb.put_item(TableName="shards", Item=typed({"shard": SHARD, "primary": WEST}))
    desk.book("mer_a", "fee", booking(1, "r2"))
    region.dynamodb.delete_item(TableName="shards", Key=typed({"shard": SHARD}))
    assert SHARD % 2 == 1
    desk.book("mer_a", "fee", booking(1, "r3"))
    assert (len(world.functions[EAST].asked), len(world.functions[WEST].asked)) == (1, 2)


def test_a_failing_function_is_told(desk):
    with pytest.raises(Refused, match="payments-ledger-book in us-east-1"):
        desk.book("mer_a", "no such kind", booking(1))


# --- reports


def test_the_trial_balance_balances_and_has_every_control_account(projected):
    (currency, sums), *rest = ledger_reports.trial_balance(projected.regions[EAST]).items()
    assert (currency, rest) == ("USD", [])
    assert set(sums) == {"customers", "merchants", "network:visa", "fees:platform"}
    captured, refunded, fees = 4 * 4200 + 5100, 5 * 1000, 4 * 152 + 178
    assert sums["merchants"] == Balance(0, refunded + fees, 0, captured)
    assert sums["network:visa"] == Balance(0, captured, 0, refunded)
    assert ledger_reports.total(sums.values()).balanced
    assert ledger_reports.trial_balance(projected.regions[EAST], "2026-11-21") == {}
    assert ledger_reports.trial_balance(projected.regions[EAST], "2026-11-22")["USD"] == sums


def test_a_statement_has_the_balance_of_every_instant(world):
    world.write(life("key-1", day="2026-11-21T10:00:{:02d}.000Z"))
    world.write(life("key-2"))
    world.project()
    region = world.regions[EAST]
    after = [
        ledger_reports.statement(region, "merchant:mer_a", "USD", f"2026-11-22T10:00:{second}Z").closing
        for second in ("00.000", "01.000", "01.999", "02.000", "03.000")
    ]
    opening = Balance(0, 1152, 0, 4200)
    assert after == [
        opening + Balance(credits_pending=4200),
        opening + Balance(credits_posted=4200, debits_posted=152),
        opening + Balance(credits_posted=4200, debits_posted=152),
        opening + Balance(credits_posted=4200, debits_posted=152, debits_pending=1000),
        opening + Balance(credits_posted=4200, debits_posted=1152),
    ]
    assert ledger_reports.statement(region, "merchant:mer_a", "USD", "2026-11-22T00:00:00.000Z").closing == opening
    assert ledger_reports.statement(region, "merchant:mer_a", "USD", "2026-11-20T00:00:00.000Z").closing == Balance()
    assert ledger_reports.statement(region, "merchant:mer_a", "EUR", "2026-11-23T00:00:00.000Z").closing == Balance()
    assert ledger_reports.currencies(region, "merchant:mer_a") == ["USD"]


# --- the command line


def test_commands_tell_whether_all_is_in_order(projected, command, tmp_path):
    code, output = command("verify")
    assert (code, "The ledger is what was sealed." in output) == (0, True), output
    assert command("rebuild")[0] == 0
    code, output = command("trial-balance")
    assert (code, "The books balance." in output) == (0, True)

    noted = tmp_path / "anchors.json"
    assert command("anchors", "--out", str(noted))[0] == 0
    assert command("verify", "--anchors", str(noted))[0] == 0
    rows = json.loads(noted.read_text())
    noted.write_text(json.dumps([row | {"hash": "0" * 64} for row in rows]))
    code, output = command("verify", "--anchors", str(noted))
    assert (code, output.count("unlinked:")) == (1, 3)


def test_commands_say_no_where_something_is_wrong(projected, command):
    item = next(item for item in projected.items() if item["journal_id"]["S"] == "capture")
    changed = json.loads(json.dumps(item))
    changed["entries"]["L"][0]["M"]["amount"]["N"] = "4300"
    projected.replace(item, changed)
    code, output = command("verify")
    assert code == 1 and f"changed: {item['payment_id']['S']}#capture" in output
    code, output = command("restore", EAST, WEST, "--table", "ledger")
    assert code == 1 and f"differs: {item['payment_id']['S']}#capture" in output
    assert "there: 19" in output


def test_an_unbalanced_general_ledger_is_told(projected, command):
    for page in projected.regions[EAST].scan("balances"):
        for item in page:
            if item["account"]["S"].startswith("shard:"):
                key = {name: item[name] for name in KEYS["balances"]}
                projected.regions[EAST].dynamodb.update_item(
                    TableName="balances",
                    Key=key,
                    UpdateExpression="ADD #c :one",
                    ExpressionAttributeNames={"#c": "customers/debits_posted"},
                    ExpressionAttributeValues={":one": {"N": "1"}},
                )
    assert command("trial-balance")[0] == 1


def test_a_proof_is_written_and_refused_in_a_sentence(projected, command, tmp_path):
    proof = tmp_path / "proof.json"
    assert command("prove", PAYMENT, "--out", str(proof))[0] == 0
    assert json.loads(proof.read_text())["payment_id"] == PAYMENT
    code, output = command("prove", "pay_none")
    assert (code, "no journals of this payment" in output) == (1, True)


def test_a_payment_and_a_merchant_are_shown(projected, command):
    code, output = command("journals", PAYMENT)
    assert code == 0 and "merchant:mer_a USD" in output and "post_pending" in output
    code, output = command("statement", "mer_a", "--at", "2026-11-22T10:00:03Z")
    assert code == 0
    assert f"available {3 * 4200 + 5100 - 4 * 1000 - 3 * 152 - 178}, minor units of USD" in output
    for wrong in ("yesterday", "2026-11-22T10:00:03"):
        assert command("statement", "mer_a", "--at", wrong)[0] == 1


def test_bookings_from_the_command_line(desk, world, command):
    wanted = ("--currency", "USD", "--reference", "p1")
    code, output = command("payout", "mer_a", "--amount", str(AVAILABLE + 1), *wanted)
    assert (code, f"{AVAILABLE} are available" in output) == (1, True)
    assert command("payout", "mer_a", "--amount", "48", *wanted)[0] == 0
    assert command("adjust", "mer_a", "--amount", "-7", *wanted, "--reason", "rounding")[0] == 0
    assert command("fee", "mer_a", "--amount", "7", *wanted, "--reason", "setup")[0] == 0
    assert command("dispute", "open", PAYMENT, "--case", "c1", "--reason", "fraudulent")[0] == 0
    assert command("dispute", "won", PAYMENT, "--case", "c1")[0] == 0
    assert command("dispute", "drawn", PAYMENT, "--case", "c1")[0] == 2
    world.project()
    assert ledger_reports.available(world.regions[EAST], "mer_a", "USD") == AVAILABLE - 48 - 7 - 7 - 1500
