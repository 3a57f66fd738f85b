"""What is wrong in the ledger is found, named and proven, and stops nothing behind it."""

import io
import json

import pytest

from functions.projector import chunks, feed
from payments import identifiers, proofs
from payments.observability import logger
from tests.functional.projector.stream import (
    HERE,
    THERE,
    balances,
    deliver,
    expected,
    history,
    item,
    journal,
    merchant,
    record,
    scan,
)


def unbalanced(n, by=1, **values):
    found = item(journal(n, **values))
    return {
        **found,
        "entries": [found["entries"][0], {**found["entries"][1], "amount": found["entries"][1]["amount"] + by}],
    }


@pytest.fixture
def log():
    """What the function's logger writes."""
    (handler,) = logger.handlers
    written = io.StringIO()
    before = handler.setStream(written)
    yield written
    handler.setStream(before)


def alarms(log):
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if line["level"] == "CRITICAL"]


def named():
    return {
        (found["account"]["S"], found["period"]["S"]): found["first_unbalanced"]["S"]
        for found in scan("balances")
        if "first_unbalanced" in found
    }


def fed():
    return [line for lines in feed.read(feed.first(1000, 10**9)).values() for line in lines]


def shard():
    return f"shard:{identifiers.merchant_shard(merchant(1)):03d}"


def test_an_unbalanced_journal_is_counted_named_and_alarmed(tables, log, capsys):
    wrong, good = unbalanced(1), item(journal(2))

    deliver([record(1, wrong), record(2, good)])

    assert balances() == expected([wrong, good])
    name = f"{wrong['payment_id']}#capture"
    assert named() == {(shard(), "USD#2026-11-23"): name}
    (alarm,) = alarms(log)
    assert alarm["journal"] == name
    (metric,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert metric["UnbalancedJournals"] == 1
    (directive,) = metric["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "payments"
    assert [counted["Name"] for counted in directive["Metrics"]] == ["UnbalancedJournals"]


def test_the_first_unbalanced_journal_of_a_shard_and_day_stays_named(tables):
    first = unbalanced(1)

    deliver([record(1, first), record(2, unbalanced(2))])
    deliver([record(3, unbalanced(3))])

    assert set(named().values()) == {f"{first['payment_id']}#capture"}


def test_only_the_currency_that_does_not_balance_names_the_journal(tables):
    dollars, yen = unbalanced(1), item(journal(1, currency="JPY"))
    wrong = {**dollars, "entries": [*dollars["entries"], *yen["entries"]]}

    deliver([record(1, wrong)])

    assert set(named()) == {(shard(), "USD#2026-11-23")}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "gift"},
        {"entries": [{**entry, "amount": -5} for entry in item(journal(1))["entries"]]},
        {"reverses": "capture"},
    ],
    ids=["unknown kind", "negative amounts", "reverses without being a reversal"],
)
def test_what_could_not_have_been_built_is_named_even_when_its_sums_are_zero(tables, log, change):
    wrong = {**item(journal(1)), **change}

    deliver([record(1, wrong)])

    assert list(named()) == [(shard(), "USD#2026-11-23")]
    assert len(alarms(log)) == 1
    assert balances() == expected([wrong])


def without(name):
    return {key: value for key, value in item(journal(1)).items() if key != name}


def with_entry(**changes):
    found = item(journal(1))
    return {**found, "entries": [{**found["entries"][0], **changes}, found["entries"][1]]}


MALFORMED = {
    "no entries": without("entries"),
    "no kind": without("kind"),
    "no time": without("created_at"),
    "no region": without("region"),
    "no sequence": without("sequence"),
    "region is a number": {**item(journal(1)), "region": 7},
    "time is none": {**item(journal(1)), "created_at": "yesterday"},
    "time is a map": {**item(journal(1)), "created_at": {"a": 1}},
    "entries are text": {**item(journal(1)), "entries": "many"},
    "entries are numbers": {**item(journal(1)), "entries": [1, 2]},
    "too many entries": {**item(journal(1)), "entries": item(journal(1))["entries"] * 100},
    "unknown side": with_entry(side="left"),
    "unknown phase": with_entry(phase="voided"),
    "amount is text": with_entry(amount="a lot"),
    "amount is null": with_entry(amount=None),
    "amount is beyond all counters": with_entry(amount=10**37),
    "account is a number": with_entry(account=3),
    "account is empty": with_entry(account=""),
    "account is no key": with_entry(account="merchant:" + "x" * 3000),
    "currency is none": with_entry(currency="dollars and cents"),
    "id carries no shard": {**item(journal(1)), "payment_id": "somebody"},
    "bytes": {**item(journal(1)), "entries": b"\x00"},
}


@pytest.mark.parametrize("wrong", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_journal_is_alarmed_and_sealed_and_stops_nothing(tables, log, wrong):
    good = item(journal(2))
    event = {"Records": [record(1, wrong), record(2, good)]}

    deliver(json.loads(json.dumps(event, default=lambda data: data.hex()))["Records"])

    assert balances() == expected([good])
    assert list(history().values()) == [good]
    (alarm,) = alarms(log)
    assert alarm["level"] == "CRITICAL"
    assert alarm["journal"] == f"{wrong['payment_id']}#capture"
    lines = fed()
    assert len(lines) == 2
    assert json.loads(lines[0])["payment_id"] == wrong["payment_id"]


def test_a_fraction_has_no_plain_form_and_is_sealed_as_it_stands(tables, log):
    broken = record(1, item(journal(1)))
    broken["dynamodb"]["NewImage"]["sequence"] = {"N": "1.5"}

    deliver([broken])

    assert fed() == [proofs.canonical(broken["dynamodb"]["NewImage"])]
    assert len(alarms(log)) == 1


def test_a_wrong_journal_of_the_other_region_is_alarmed_here_too_and_sealed_there(tables, log):
    deliver([record(1, {**unbalanced(1), "region": THERE})])

    assert len(alarms(log)) == 1
    assert fed() == []


def test_accounts_that_are_not_in_the_chart_are_no_journals(tables):
    """Every counter of a shard is one attribute of one item: its accounts must be as few as the chart's."""
    found = item(journal(1))
    lines = [{**entry, "account": "network:elsewhere"} for entry in found["entries"]]

    deliver([record(1, {**found, "entries": lines})])

    assert balances() == {}
    assert len(fed()) == 1


def test_ids_that_no_row_of_the_history_could_hold_are_no_journals(tables):
    deliver([record(1, {**item(journal(1)), "journal_id": "j" * 1000}), record(2, item(journal(2)))])

    assert balances() == expected([item(journal(2))])


def test_whatever_customer_the_api_takes_is_counted(tables):
    """Text has at most 500 characters there; a character has up to four bytes."""
    found = item(journal(1))
    customer = "customer:mer_1:" + "\U0001f4b3" * 500
    lines = [{**line, "account": customer if n == 0 else line["account"]} for n, line in enumerate(found["entries"])]

    deliver([record(1, {**found, "entries": lines})])

    assert balances() == expected([{**found, "entries": lines}])


def test_a_good_batch_alarms_nobody(tables, log):
    deliver([record(1, item(journal(1), HERE)), record(2, item(journal(2), THERE))])

    assert alarms(log) == []
    assert named() == {}
    assert chunks.MOST_BALANCES == 98
