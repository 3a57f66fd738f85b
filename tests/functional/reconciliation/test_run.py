"""A run from a settlement file to the report, played through the state machine over the real handlers."""

import json
from collections import Counter
from pathlib import Path

import pytest

from functions.reconciliation import app, comparison
from payments import identifiers
from tests.functional.reconciliation.machine import Failed
from tests.functional.reconciliation.world import Context, stored

EVENTS = Path(__file__).resolve().parents[3] / "events"
ADA, BOB = "mer_" + "a" * 24, "mer_" + "b" * 24


def event_of(key):
    """What EventBridge sends when an object is put."""
    return {
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {"bucket": {"name": "b"}, "object": {"key": key}},
    }


def report_of(world, run="run_00000001"):
    return world.read(f"runs/{run}/report.json")


def drift(world, run="run_00000001"):
    return {(row["network"], row["currency"]): row["drift"] for row in report_of(world, run)["clearing"]}


def metrics(capsys):
    """What was counted since the last look."""
    found = {}
    for line in capsys.readouterr().out.splitlines():
        told = json.loads(line) if line.startswith("{") else {}
        for directive in told.get("_aws", {}).get("CloudWatchMetrics", ()):
            for metric in directive["Metrics"]:
                found.setdefault(metric["Name"], []).append(told[metric["Name"]])
    return found


def test_what_the_network_settles_is_matched_booked_and_reported(world, capsys):
    payments = [world.payment(f"key-{n}", 1000 + n) for n in range(4)]
    world.project()
    key = world.deliver(*map(world.line, payments))
    capsys.readouterr()

    ended = world.run("a", **event_of(key))

    assert world.classes() == {"matched": 4}
    assert world.clearing() == 0
    assert drift(world) == {("visa", "USD"): 0}
    told = report_of(world)
    assert (told["match_rate"], told["at_risk"], told["as_of"]) == (100_000, {"USD": 0}, "2026-11-23")
    assert [(row["class"], row["lines"], row["settled"]) for row in told["totals"]] == [("matched", 4, 4006)]
    assert [file["result"] for file in told["files"]] == ["accepted"]
    assert ended["report"] == {
        "run": "run_00000001",
        "match_rate": 100_000,
        "at_risk": {"USD": 0},
        "drift": {"visa/USD": 0},
    }
    assert {"runs/run_00000001/report.csv", "runs/run_00000001/report.html"} <= world.objects().keys()
    counted = metrics(capsys)
    assert counted["ReconciliationMatchRate"] == [100_000]
    assert counted["ReconciliationAtRisk"] == counted["ReconciliationDrift"] == [0]


def test_the_bank_has_what_was_captured_less_the_networks_fees(world):
    payment = world.payment("key-1", 10_000)
    world.project()

    world.run("a", **event_of(world.deliver(world.line(payment))))

    sums = {}
    for journal in world.journals():
        for entry in journal.entries:
            sums[entry.account] = sums.get(entry.account, 0) + entry.signed
    assert (sums["network:visa"], sums["fees:network"], sums["bank:platform"]) == (0, 190, 9810)


def test_a_store_without_anything_is_reconciled(world):
    ended = world.run("a")

    assert ended["report"] == {"run": "run_00000001", "match_rate": None, "at_risk": {}, "drift": {}}
    assert report_of(world)["totals"] == []


def test_a_day_by_hand(world):
    world.payment("key-1")
    world.project()

    world.run("a", as_of="2026-11-30")

    assert world.classes() == {"missing_at_network": 1}
    assert report_of(world)["at_risk"] == {"USD": 4200}
    assert report_of(world)["match_rate"] == 0
    with pytest.raises(Failed):
        world.run("b", as_of="2026-11-29")


def test_what_is_not_due_is_expected_and_settled_by_a_later_run(world):
    payment = world.payment("key-1")
    world.project()
    world.run("a")
    assert world.classes() == {"expected": 1}
    assert drift(world) == {("visa", "USD"): 0}

    world.now = "2026-11-24T10:00:00.000Z"
    world.run("b", **event_of(world.deliver(world.line(payment))))

    assert world.classes() == {"matched": 1}, "the movement's own record is gone"
    assert drift(world, "run_00000002") == {("visa", "USD"): 0}
    assert world.clearing() == 0


def test_a_capture_that_the_network_refuses_in_the_end_leaves_nothing_open(world):
    payment, capture = world.capture(world.payment("key-1", capture=False), 1000)
    refused, other = world.capture(world.payment("key-2", capture=False), 300)
    world.refuse(refused, other)
    world.project()
    world.run("a", as_of="2026-11-30")
    assert world.classes() == {"missing_at_network": 1}, "the other one failed before anybody looked"
    assert drift(world) == {("visa", "USD"): 0}

    world.refuse(payment, capture)
    world.project()
    world.run("b", as_of="2026-12-01")

    assert world.classes() == {}
    assert drift(world, "run_00000002") == {("visa", "USD"): 0}
    assert report_of(world, "run_00000002")["at_risk"] == {}
    assert world.clearing() == 0


def test_a_capture_that_fails_while_a_run_is_under_way_is_no_drift(world):
    payment, capture = world.capture(world.payment("key-1", capture=False), 1000)
    world.project()
    run = app.begin({"execution": "a", "key": None, "as_of": None}, Context())["run"]
    (part,) = app.compact({"run": run}, Context())["parts"]
    app.match({"run": run, "part": part, "start": None}, Context())
    world.refuse(payment, capture)
    world.project()

    told = app.report({"run": run}, Context())

    assert told["drift"] == {"visa/USD": 0}
    assert (report_of(world)["clearing"][0]["ledger"], world.clearing()) == (0, 0)


def test_an_open_result_is_listed_with_the_day_since_when_it_is_open(world):
    payment = world.payment("key-1")
    world.project()
    world.run("a", as_of="2026-11-30")
    world.run("b", as_of="2026-12-02")

    (found,) = world.results().values()
    assert (found["open_since"], found["class"], found["run"]) == ("2026-11-30", "missing_at_network", "run_00000001")
    assert report_of(world, "run_00000002")["open_by_age"] == [
        {"days": "2-7", "currency": "USD", "lines": 1, "at_risk": 4200}
    ]

    world.now = "2026-12-03T10:00:00.000Z"
    world.run("c", **event_of(world.deliver(world.line(payment))))
    assert [item.get("open") for item in world.results().values()] == [None]
    assert report_of(world, "run_00000003")["open_by_age"] == []


def test_a_line_that_nobody_knows_is_at_risk(world):
    payment = world.payment("key-1")
    world.project()
    stranger = world.line(
        payment, line_ref="x", network_ref=identifiers.network_reference(identifiers.payment_id(ADA, "no"))
    )

    world.run("a", **event_of(world.deliver(world.line(payment), stranger)))

    assert world.classes() == {"matched": 1, "missing_in_ledger": 1}
    assert report_of(world)["match_rate"] == 50_000
    assert report_of(world)["at_risk"] == {"USD": 4200}
    assert drift(world) == {("visa", "USD"): 0}


def test_a_refused_file_is_recorded_and_its_run_matches_nothing(world, capsys):
    payment = world.payment("key-1")
    world.project()
    world.put("inbox/visa/broken.csv", b"no settlement file\n")
    capsys.readouterr()

    ended = world.run("a", **event_of("inbox/visa/broken.csv"))

    assert ended["ingested"]["result"] == "refused"
    assert ended["report"] == {"run": "run_00000001", "match_rate": None, "at_risk": {}, "drift": {}}
    assert world.results() == {}
    assert metrics(capsys) == {"SettlementFilesRefused": [1]}
    (record,) = [item for item in stored("settlements") if item["network_ref"]["S"] == "file"]
    assert (record["result"]["S"], record["key"]["S"]) == ("refused", "inbox/visa/broken.csv")
    assert record["reason"]["S"]

    world.run("b", **event_of(world.deliver(world.line(payment))))
    assert world.classes() == {"matched": 1}, "the feed is still there for the next run"


def test_a_file_that_is_not_there_is_refused(world, capsys):
    capsys.readouterr()
    ended = world.run("a", key="inbox/visa/none.csv")

    assert ended["ingested"] == {"result": "refused", "file": None}
    assert metrics(capsys) == {"SettlementFilesRefused": [1]}


def test_a_file_that_comes_again_changes_nothing(world):
    payment = world.payment("key-1")
    world.project()
    world.run("a", **event_of(world.deliver(world.line(payment))))
    results, journals = world.results(), world.journals()
    state = {key: content for key, content in world.objects().items() if key.startswith(("state/", "files/"))}

    again = world.run("b", **event_of(world.deliver(world.line(payment), name="other.csv")))
    replayed = world.run("c", **event_of("inbox/visa/a.csv"))

    assert [ended["ingested"]["result"] for ended in (again, replayed)] == ["repeated", "repeated"]
    assert (world.results(), world.journals()) == (results, journals)
    assert {key: content for key, content in world.objects().items() if key.startswith(("state/", "files/"))} == state


def test_a_chargeback_that_the_ledger_did_not_hear_of_opens_its_dispute(world):
    payment = world.payment("key-1", 10_000)
    world.project()
    world.run("a", **event_of(world.deliver(world.line(payment))))

    line = world.line(payment, "chargeback", case_ref="case-1", reason="fraud")
    world.run("b", **event_of(world.deliver(line, name="b.csv")))

    dispute = identifiers.operation_id("dsp", identifiers.command_id(payment.merchant_id, "case-1#open"))
    assert dispute in {journal.journal_id for journal in world.journals()}
    assert world.classes() == {"matched": 2}
    assert world.clearing() == 0
    assert drift(world, "run_00000002") == {("visa", "USD"): 0}
    world.run("c")
    assert drift(world, "run_00000003") == {("visa", "USD"): 0}, "the dispute's fact counts once"
    assert world.classes() == {"matched": 2}


def test_a_dispute_that_the_ledger_refuses_stays_open_and_says_why(world):
    payment = world.payment("key-1", 10_000)
    world.project()

    line = world.line(payment, "chargeback", amount=10_001, case_ref="case-1", reason="fraud")
    world.run("a", **event_of(world.deliver(world.line(payment), line)))

    (found,) = [item for item in world.results().values() if item["class"] == "missing_in_ledger"]
    assert found["note"] == "amount_too_large"
    assert drift(world) == {("visa", "USD"): 0}


def test_a_line_for_a_payment_that_was_settled_long_ago_is_a_duplicate(world):
    payment = world.payment("key-1")
    world.project()
    world.run("a", **event_of(world.deliver(world.line(payment))))
    world.run("b", as_of="2026-12-20")
    world.run("c", as_of="2026-12-21")

    world.now = "2026-12-21T10:00:00.000Z"
    world.run("d", **event_of(world.deliver(world.line(payment, line_ref="again"), name="b.csv")))

    assert world.classes() == {"matched": 1, "duplicate_at_network": 1}


def test_what_an_operator_has_decided_is_resolved(world):
    payment = world.payment("key-1")
    world.project()
    stranger = world.line(
        payment, line_ref="x", network_ref=identifiers.network_reference(identifiers.payment_id(ADA, "no"))
    )
    world.run("a", **event_of(world.deliver(world.line(payment), stranger)))
    (record,) = [place for place, item in world.results().items() if item["class"] == "missing_in_ledger"]
    world.decide(*record)

    world.run("b")

    assert world.results()[record]["class"] == "resolved"
    assert "open" not in world.results()[record]
    assert report_of(world, "run_00000002")["open_by_age"] == []


def test_a_merchants_report_has_the_merchants_own_figures(world):
    own, other = world.payment("a", 1000, merchant=ADA), world.payment("b", 70_000, merchant=BOB)
    world.project()

    world.run("a", **event_of(world.deliver(world.line(own), world.line(other))))

    reports = {item["network_ref"]["S"]: item for item in stored("settlements") if "report" in item}
    assert reports.keys() == {"report#all", f"report#{ADA}", f"report#{BOB}"}
    assert {item["line"]["S"] for item in reports.values()} == {"2026-11-23#run_00000001"}
    told = json.loads(reports[f"report#{ADA}"]["report"]["S"])
    row = {"class": "matched", "type": "capture", "currency": "USD", "lines": 1, "amount": 1000}
    assert told == {"totals": [{**row, "difference": 0, "at_risk": 0}]}
    assert json.loads(reports["report#all"]["report"]["S"])["match_rate"] == 100_000


def test_a_large_part_is_written_by_several_calls(world, monkeypatch):
    payments = [world.payment(f"key-{n}", 1000 + n) for n in range(6)]
    world.project()
    monkeypatch.setattr(comparison, "_BATCH", 1)
    monkeypatch.setattr(Context, "left", 0)
    before = len(world.calls.made)

    world.run("a", **event_of(world.deliver(*map(world.line, payments))))

    assert world.classes() == {"matched": 6}
    books = [operation for operation, _ in world.calls.made[before:] if operation == "Invoke"]
    assert len(books) <= 3, "a part is booked once, however many calls it takes to write its results"


def test_a_run_that_died_is_finished_under_its_own_id_by_whoever_comes(world):
    first, second = world.payment("a", 1000), world.payment("b", 2000)
    world.project()
    key = world.deliver(world.line(first))
    app.begin({"execution": "dead", "key": key, "as_of": None}, None)
    world.now = "2026-11-23T11:00:00.000Z"

    ended = world.run("b", **event_of(world.deliver(world.line(second), name="b.csv")))

    assert ended["report"]["run"] == "run_00000002"
    assert world.classes() == {"matched": 2}
    assert [file["key"] for file in report_of(world)["files"]] == [key]
    assert drift(world, "run_00000002") == {("visa", "USD"): 0}


def test_another_execution_waits_for_the_run_under_way(world):
    payment = world.payment("a", 1000)
    world.project()
    key = world.deliver(world.line(payment))
    app.begin({"execution": "a", "key": key, "as_of": None}, None)
    waited = []

    def finish():
        waited.append(world.run("a", **event_of(key)))

    world.machine._wait = finish
    ended = world.run("b")

    assert [one["report"]["run"] for one in waited] == ["run_00000001"]
    assert ended["report"]["run"] == "run_00000002"


def test_every_step_of_a_run_that_is_over_says_the_same_again_and_changes_nothing(world, capsys):
    payments = [world.payment(f"key-{n}", 1000 + n) for n in range(3)]
    world.project()
    key = world.deliver(*map(world.line, payments))
    world.run("a", **event_of(key))
    world.payment("later")
    world.project()
    world.run("b")
    before = stored("settlements"), world.journals(), world.objects()
    capsys.readouterr()

    for _ in range(2):
        begun = app.begin({"execution": "a", "key": key, "as_of": None}, None)
        assert (begun["run"], begun["mine"]) == ("run_00000001", True)
        assert app.ingest({"run": begun["run"], "key": key}, None)["result"] == "accepted"
        for part in app.compact({"run": begun["run"]}, None)["parts"]:
            assert app.match({"run": begun["run"], "part": part, "start": None}, Context())["next"] is None
        assert app.report({"run": begun["run"]}, None)["match_rate"] == 100_000

    assert (stored("settlements"), world.journals(), world.objects()) == before
    assert metrics(capsys) == {}


def test_a_run_is_not_reported_before_its_parts_are_matched(world):
    world.payment("a", 1000)
    world.project()
    run = app.begin({"execution": "a", "key": None, "as_of": None}, None)["run"]
    early = {"result": "refused", "code": "not_matched", "run": run}

    assert app.report({"run": run}, None) == early
    app.ingest({"run": run}, None)
    assert app.compact({"run": run}, None)["parts"]
    assert app.report({"run": run}, None) == early
    assert app.begin({"execution": "b", "key": None, "as_of": None}, None) == {"result": "busy"}


def test_no_function_reads_or_writes_the_ledgers_own_tables(world):
    payment = world.payment("key-1", 10_000)
    world.project()
    line = world.line(payment, "chargeback", case_ref="case-1", reason="fraud")
    before = len(world.calls.made)

    world.run("a", **event_of(world.deliver(world.line(payment), line)))

    made = world.calls.made[before:]
    named = {word for _, arguments in made for word in _texts(arguments)}
    assert len(made) > 50
    assert {"settlements", "balances", "payments-ledger-book", "payments-ledger-command"} <= named
    assert not named & {"payments", "ledger", "merchants", "accounts"}


def test_what_one_run_calls_does_not_grow_with_its_lines(world):
    """But for one write per result."""
    calls = []
    for number in (8, 8, 24):  # the first leaves a state of every part
        payments = [world.payment(f"{len(calls)}-{n}", 1000 + n) for n in range(number)]
        world.project()
        key = world.deliver(*map(world.line, payments), name=f"{len(calls)}.csv", reference=f"cycle-{len(calls)}")
        before = len(world.calls.made)
        world.run(f"run-{len(calls)}", **event_of(key))
        calls.append(Counter(operation for operation, _ in world.calls.made[before:]))

    assert world.read("runs/run_00000001/manifest.json")["parts"] == [0, 1, 2]
    assert calls[2]["UpdateItem"] - calls[1]["UpdateItem"] == 16
    assert calls[2].total() - calls[1].total() == 16


def test_feed_objects_that_are_damaged_stay(world):
    payment = world.payment("key-1")
    world.project()
    world.put("feed/2026-11-23/damaged.jsonl.gz", b"no gzip")

    world.run("a", **event_of(world.deliver(world.line(payment))))

    assert world.classes() == {"matched": 1}
    assert "feed/2026-11-23/damaged.jsonl.gz" in world.feed()


def _texts(value):
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)


@pytest.mark.parametrize("name", ["ingest", "compact", "match", "report"])
def test_sample_events_of_a_run_that_is_not_there_are_clear_refusals(world, name):
    event = json.loads((EVENTS / f"reconciliation_{name}.json").read_text())

    assert getattr(app, name)(event, Context())["code"] == "no_such_run"


def test_sample_events_are_a_run_where_there_was_none_and_repeatable(world):
    """In the order in which the end-to-end tests invoke them."""
    events = {path.stem.partition("_")[2]: path for path in sorted(EVENTS.glob("reconciliation_*.json"))}
    assert list(events) == ["begin", "compact", "ingest", "match", "report"]

    answers = [
        [getattr(app, name)(json.loads(path.read_text()), Context()) for name, path in events.items()] for _ in range(2)
    ]

    assert answers[0] == answers[1]
    assert [answer.get("result") for answer in answers[0]] == ["begun", None, "none", None, None]
    assert app.begin({"execution": "other", "key": None, "as_of": None}, None)["result"] == "begun"


def test_the_sample_event_of_begin_begins_nothing_where_there_was_a_run(world):
    world.run("a")

    event = json.loads((EVENTS / "reconciliation_begin.json").read_text())

    assert app.begin(event, None) == {"result": "refused", "code": "as_of_before_last"}
