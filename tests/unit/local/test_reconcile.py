"""`payments reconcile`: the same classes as a run in AWS, whatever the parts; bad input leaves everything as it was."""

import gzip
import json
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from functions.reconciliation.compaction import COLUMNS
from local import reconcile
from local.cli import app
from local.reconcile_input import BadInput, megabytes
from local.settlement_export import File, Row, fee, written

NETWORK, DAY, LONG_AGO, AS_OF = "visa", "2026-11-23", "2026-11-01", "2026-11-24"


def payment(name):
    return f"net_05{name:a<24}"


def fact(name, amount=4200, kind="capture", day=DAY, currency="USD", movement=""):
    return {
        "network_ref": payment(name),
        "payment_id": f"pay_05{name:a<24}",
        "merchant_id": "mer_a",
        "shard": 5,
        "journal_id": kind,
        "kind": kind,
        "movement": movement,
        "network": None if kind in ("authorization", "release") else NETWORK,
        "currency": currency,
        "amount": amount,
        "fee": 3,
        "at": f"{day}T10:00:00.000Z",
    }


def line(name, amount=4200, ref=None, **changes):
    kind = changes.get("type", "capture")
    values = {"type": kind, "network_ref": payment(name), "movement": "", "currency": "USD", "settled_on": DAY}
    values |= {"fee": fee(NETWORK, kind, amount), "amount": amount, "line_ref": ref or f"L-{name}"}
    return Row(**{**values, **changes})


def no_payments(kind, ref, amount, **changes):
    return line("", amount, ref, type=kind, network_ref="", fee=0, **changes)


FACTS = [
    fact("matched"),
    fact("member", 1000),
    fact("expected"),
    fact("split", 8000),
    fact("late", 700, day=LONG_AGO),
    fact("amount", 500),
    fact("currency", 900),
    fact("twice", 300),
    fact("fee"),
    fact("orphan", kind="authorization", day=LONG_AGO),
    fact("returned", 120, kind="refund", movement="ref_1"),
]
LINES = [
    line("matched"),
    no_payments("fee", "L-scheme", 1500),
    line("member", 1000, batch_ref="B1"),
    no_payments("batch", "L-batch", 1000, batch_ref="B1"),
    line("split", 3000, sequence=1, count=2),
    line("unknown", 250),
    line("amount", 600),
    line("currency", 900, currency="EUR"),
    line("twice", 300),
    line("twice", 300, "L-again"),
    line("fee", fee=500),
    no_payments("batch", "L-wrong", 40, batch_ref="B2"),
    line("matched", 4200, "L-taken", type="chargeback", case_ref="CASE1"),
    line("returned", 120, type="refund", movement="ref_1"),
]
CLASSES = {
    "matched": 4,
    "network_fee": 1,
    "batch": 1,
    "expected": 2,
    "partially_settled": 1,
    "missing_at_network": 1,
    "missing_in_ledger": 2,
    "amount_mismatch": 1,
    "currency_mismatch": 1,
    "duplicate_at_network": 1,
    "fee_mismatch": 1,
    "batch_mismatch": 1,
    "orphan": 1,
}
"""Every class but `resolved`, which takes an operator. The movement of the line in another currency is `expected`."""


def text(*lines, reference="visa-1"):
    return written(File(NETWORK, DAY, reference, lines), "1")


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def feed(path, facts=FACTS):
    return put(path, gzip.compress("".join(json.dumps(found) + "\n" for found in facts).encode()))


def parquet(path, facts=FACTS):
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    rows = ", ".join(str(tuple(found.values())).replace("None", "NULL") for found in facts)
    chosen = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in COLUMNS.items())
    query = f"""SELECT {chosen}, "at"[:10] AS day FROM (VALUES {rows}) AS facts({names})"""
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "visa.csv", text(*LINES))
    feed(tmp_path / "feed.jsonl.gz")
    return tmp_path


def run(*arguments, facts="feed.jsonl.gz", as_of=AS_OF):
    given = ["reconcile", "--facts", str(facts), "--as-of", as_of, "--memory", "500MB", *map(str, arguments)]
    return CliRunner().invoke(app, given)


def report(place, out="reconciliation"):
    return json.loads((place / out / "report.json").read_bytes())


def classes(place, out="reconciliation"):
    found = Counter()
    for row in report(place, out)["totals"]:
        found[row["class"]] += row["lines"]
    return dict(found)


def seen(place):
    """Everything in the directory, with its content."""
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_every_class_is_found_in_a_file_and_told(place):
    outcome = run("visa.csv")
    assert outcome.exit_code == 1, outcome.output
    assert classes(place) == CLASSES
    assert all(name in outcome.output for name in CLASSES)
    assert {"report.json", "report.csv", "report.html", "results"} == {
        p.name for p in (place / "reconciliation").iterdir()
    }
    results = duckdb.sql(f"SELECT class, count(*) FROM '{place}/reconciliation/results/*.parquet' GROUP BY ALL")
    assert dict(results.fetchall()) == CLASSES


def test_a_chargeback_without_a_fact_stays_missing_in_the_ledger(place):
    run("visa.csv")
    found = duckdb.sql(
        f"SELECT class, note FROM '{place}/reconciliation/results/*.parquet' WHERE type = 'chargeback'"
    ).fetchall()
    assert found == [("missing_in_ledger", "payment_known")]


def test_nothing_open_is_exit_code_0(place):
    put(place / "visa.csv", text(line("matched")))
    feed(place / "feed.jsonl.gz", [fact("matched"), fact("expected")])
    outcome = run("visa.csv")
    assert outcome.exit_code == 0, outcome.output
    assert classes(place) == {"matched": 1, "expected": 1}
    assert report(place)["match_rate"] == 100_000


def test_it_needs_neither_settings_nor_the_repository(place):
    """As an installed command, in a directory of its own, with an empty environment."""
    command = [sys.executable, "-c", "from local.cli import app; app()"]
    arguments = ["reconcile", "visa.csv", "--facts", "feed.jsonl.gz", "--as-of", AS_OF]
    outcome = subprocess.run([*command, *arguments], cwd=place, env={}, capture_output=True, text=True, check=False)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert classes(place) == CLASSES


def sums(place, files, **more):
    """What the files come to; of bookings there is one for each part."""
    facts = [feed(place / "feed.jsonl.gz", FACTS[:4]), parquet(place / "facts" / "a.parquet", FACTS[4:])]
    wanted = reconcile.Wanted(files, facts, place / "out", date.fromisoformat(AS_OF), **more)
    told = reconcile.reconcile(wanted, lambda *progress: None).report
    booked = [{name: row[name] for name in row.keys() - {"journals"}} for row in told["bookings"]]
    return booked, {name: told[name] for name in ("match_rate", "at_risk", "totals", "open_by_age")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    place = tmp_path_factory.mktemp("whole")
    return sums(place, [put(place / "visa.csv", text(*LINES))], parts=1)


@settings(max_examples=6, deadline=None)
@given(parts=st.integers(2, 9), threads=st.integers(1, 3), lines=st.permutations(LINES), files=st.integers(1, 3))
def test_parts_files_and_order_change_no_sum(whole, parts, threads, lines, files):
    with TemporaryDirectory() as name:
        place = Path(name)
        pieces = [put(place / f"{n}.csv", text(*lines[n::files], reference=f"visa-{n}")) for n in range(files)]
        assert sums(place, pieces, parts=parts, threads=threads) == whole


def test_a_file_that_is_given_twice_is_taken_once(place):
    put(place / "again" / "visa.csv", text(*LINES))
    put(place / "visa.csv.gz", gzip.compress(text(*LINES).encode()))
    run("visa.csv", "again/visa.csv", "visa.csv.gz")
    assert classes(place) == CLASSES
    assert [file["result"] for file in report(place)["files"]] == ["accepted", "repeated", "repeated"]


def test_two_files_of_one_name_are_both_taken(place):
    put(place / "more" / "visa.csv", text(line("expected"), reference="visa-2"))
    run("visa.csv", "more/visa.csv")
    assert classes(place) == CLASSES | {"expected": 1, "matched": 5}


def test_a_gzip_file_and_facts_in_parquet_come_to_the_same(place):
    packed = put(place / "visa.csv.gz", gzip.compress(text(*LINES).encode()))
    parquet(place / "facts" / "day=2026-11-23" / "part=007" / "a.parquet", FACTS[:5])
    parquet(place / "facts" / "day=2026-11-23" / "part=008" / "a.parquet", FACTS[5:])
    for parts in (1, 7):
        run(packed, "--parts", parts, "--out", f"of-{parts}", facts="facts")
        assert classes(place, f"of-{parts}") == CLASSES


def test_rejected_rows_are_kept_and_are_not_well(place):
    bad = (
        text(line("matched"))
        .replace("T,1,", "L,L-x,capture,net_1,,12,USD,0,soon,1,1,,,\nT,2,")
        .replace(",4200,86\n", ",4212,86\n")
    )
    put(place / "visa.csv", bad)
    feed(place / "feed.jsonl.gz", [fact("matched")])
    outcome = run("visa.csv")
    assert outcome.exit_code == 1, outcome.output
    (rejects,) = (place / "reconciliation" / "rejects").iterdir()
    assert "L-x" in rejects.read_text()
    assert classes(place) == {"matched": 1}


@pytest.mark.parametrize("before", [False, True], ids=["nothing there", "an earlier output there"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (text(*LINES).rpartition("T,")[0], "truncated"),
        (text(*LINES).replace("T,14,", "T,15,"), "count_differs"),
        ("something else\n", "unknown_layout"),
        ("", "empty"),
        (gzip.compress(text(*LINES).encode())[:-20], "damaged"),
    ],
)
def test_a_bad_file_is_exit_code_2_and_leaves_everything_as_it_was(place, content, told, before):
    put(place / "bad.csv", content)
    if before:
        run("visa.csv", "--state", "state")
    there = seen(place)
    outcome = run("visa.csv", "bad.csv", "--state", "state")
    assert outcome.exit_code == 2
    assert "bad.csv" in outcome.output and told in outcome.output
    assert seen(place) == there
    assert {path.name for path in place.iterdir()} <= {
        "visa.csv",
        "bad.csv",
        "feed.jsonl.gz",
        "reconciliation",
        "state",
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--as-of", "soon"), "soon"),
        (("--memory", "lots"), "lots"),
        (("--terms", "bad-terms.json"), "bad-terms.json"),
        (("--facts", "bad.jsonl.gz"), "bad.jsonl.gz"),
        (("--facts", "bad.parquet"), "bad.parquet"),
        (("--facts", "other.parquet"), "other.parquet"),
        (("--facts", "nothing"), "nothing"),
        (("--facts", "absent"), "absent"),
        (("absent.csv",), "absent.csv"),
        (("--out", "mine"), "letter.txt"),
    ],
)
def test_what_cannot_be_used_is_exit_code_2(place, arguments, told):
    put(place / "bad-terms.json", '{"default": {"due_days": 1.5}}')
    put(place / "bad.jsonl.gz", b"no gzip")
    put(place / "bad.parquet", b"no parquet")
    duckdb.sql(f"COPY (SELECT 1 AS a) TO '{place}/other.parquet' (FORMAT parquet)")
    (place / "nothing").mkdir()
    put(place / "mine" / "letter.txt", "dear")
    there = seen(place)
    outcome = run("visa.csv", *arguments)
    assert outcome.exit_code == 2, outcome.output
    assert told in outcome.output
    assert seen(place) == there


def test_an_output_is_replaced_as_a_whole(place):
    run("visa.csv", "--parts", 7)
    put(place / "visa.csv", text(line("matched")))
    feed(place / "feed.jsonl.gz", [fact("matched")])
    run("visa.csv")
    assert [path.name for path in (place / "reconciliation" / "results").iterdir()] == ["0.parquet"]
    assert classes(place) == {"matched": 1}


def test_with_a_state_the_next_run_goes_on(place):
    late = put(place / "late.csv", text(line("late", 700), reference="visa-2"))
    empty = feed(place / "nothing-new.jsonl.gz", [fact("other", 1)])
    run("visa.csv", "--state", "state", "--parts", 3)
    outcome = run("visa.csv", late, "--state", "state", facts=empty, as_of="2026-11-26")
    assert outcome.exit_code == 1
    assert [file["result"] for file in report(place)["files"]] == ["repeated", "accepted"]
    found = classes(place)
    assert found["matched"] == 2, "what was missing has come; else only what has a duplicate is told again"
    assert "missing_at_network" not in found and found["missing_in_ledger"] == 2
    ages = {row["days"] for row in report(place)["open_by_age"]}
    assert ages == {"2-7"}, "what is open has been so since the first run"


def test_an_orphan_that_was_captured_after_all_is_taken_back(place):
    run("visa.csv", "--state", "state")
    authorized = fact("orphan", kind="authorization", day=LONG_AGO)
    late = feed(place / "late.jsonl.gz", [fact("orphan"), authorized])
    run("visa.csv", "--state", "state", facts=late)
    assert "orphan" not in classes(place)
    withdrawn = f"SELECT network_ref, record FROM '{place}/reconciliation/results/*.parquet' WHERE withdrawn"
    assert duckdb.sql(withdrawn).fetchall() == [(payment("orphan"), "authorization#")]
    run("visa.csv", "--state", "state", facts=late)
    assert duckdb.sql(withdrawn).fetchall() == [], "it was told, and is not told again"


def test_a_state_that_does_not_fit_is_refused_and_stays(place):
    run("visa.csv", "--state", "state", "--parts", 3)
    there = seen(place)
    assert run("visa.csv", "--state", "state", "--parts", 4).exit_code == 2
    assert run("visa.csv", "--state", "state", as_of="2026-11-23").exit_code == 2
    assert seen(place) == there
    put(place / "state" / "state.json", "{}")
    assert run("visa.csv", "--state", "state").exit_code == 2


def test_the_same_run_from_the_same_state_comes_to_the_same(place):
    """A run that was cut off before it left its state is repeated."""
    run("visa.csv", "--state", "state")
    saved = {path: path.read_bytes() for path in (place / "state").rglob("*") if path.is_file()}
    late = put(place / "late.csv", text(line("late", 700), reference="visa-2"))
    run(late, "--state", "state", as_of="2026-11-26")
    first = report(place)
    for path, content in saved.items():
        put(path, content)
    run(late, "--state", "state", as_of="2026-11-26")
    assert {**report(place), "created_at": ""} == {**first, "created_at": ""}


@pytest.mark.parametrize(("size", "mebibytes"), [("3GB", 2861), ("500MB", 476), ("1GiB", 1024)])
def test_memory(size, mebibytes):
    assert megabytes(size) == mebibytes


@pytest.mark.parametrize("size", ["", "3", "3 GB", "-1GB", "0GB", "3gb", "1.5GB", "10MB", "3GB; DROP"])
def test_no_memory(size):
    with pytest.raises(BadInput):
        megabytes(size)
