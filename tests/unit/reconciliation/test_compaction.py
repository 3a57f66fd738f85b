"""The projector's feed becomes facts by day and part: each once, none lost, whatever else is in the objects."""

import gzip
import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.reconciliation import compaction, database
from functions.reconciliation.parts import part_of

RUN = "2026-11-23-000001"
PARTS = 128


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    return database.opened(tmp_path_factory.mktemp("spill"), "200MB", 2)


def fact(n, **changes):
    values = {
        "network_ref": f"net_{n:03d}",
        "payment_id": f"pay_{n:03d}",
        "merchant_id": "mer_a",
        "shard": 5,
        "journal_id": "capture",
        "kind": "capture",
        "movement": "",
        "network": "visa",
        "currency": "USD",
        "amount": 100 + n,
        "fee": 3,
        "at": "2026-11-23T10:00:00.000Z",
    }
    return {**values, **changes}


def feed(directory, *objects):
    """Objects of the feed: lists of facts, or bytes."""
    directory.mkdir(exist_ok=True)
    files = []
    for number, found in enumerate(objects):
        files.append(directory / f"{number}.jsonl.gz")
        packed = found if isinstance(found, bytes) else packed_lines(found)
        files[-1].write_bytes(packed)
    return files


def packed_lines(facts):
    return gzip.compress("".join(json.dumps(found) + "\n" for found in facts).encode(), mtime=0)


def compacted(connection, directory, *objects):
    """Facts by day and part, and the names of damaged objects."""
    files = feed(directory / "feed", *objects)
    damaged = []
    found = compaction.compact(
        connection, files, directory / "out", RUN, lambda file, why: damaged.append((file.name, bool(why))), PARTS
    )
    facts = {}
    for one in found:
        assert one.path == directory / "out" / f"day={one.day}" / f"part={one.part:03d}" / f"{RUN}.parquet"
        rows = connection.execute("SELECT * FROM read_parquet(?, hive_partitioning=false)", [str(one.path)])
        names = [column[0] for column in rows.description]
        facts[one.day, one.part] = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
    assert len(facts) == len(found), "a day and part has one file"
    return facts, damaged


def all_of(facts):
    return [{name: value for name, value in row.items() if name != "day"} for rows in facts.values() for row in rows]


def as_set(facts):
    return Counter(tuple(sorted((name, str(value)) for name, value in found.items())) for found in facts)


def test_facts_are_sorted_out_by_day_and_part(connection, tmp_path):
    given = [fact(n, at=f"2026-11-{22 + n % 2}T10:00:00.000Z") for n in range(300)]

    facts, damaged = compacted(connection, tmp_path, given[:100], given[100:])

    assert damaged == []
    assert as_set(all_of(facts)) == as_set(given)
    for (day, part), rows in facts.items():
        assert {row["day"] for row in rows} == {row["at"][:10] for row in rows} == {day}
        assert {part_of(row["network_ref"], PARTS) for row in rows} == {part}
    assert len(facts) > 100, "many parts, or nothing was sorted out"


def test_the_columns_are_those_of_the_contract(connection, tmp_path):
    ((row,),) = compacted(connection, tmp_path, [fact(1, merchant_id=None, network=None, amount=10**17)])[0].values()

    assert row == fact(1, merchant_id=None, network=None, amount=10**17) | {"day": "2026-11-23"}
    assert [*row] == [*compaction.COLUMNS, "day"]


def test_a_repetition_is_dropped_and_what_differs_is_kept(connection, tmp_path):
    facts, _ = compacted(connection, tmp_path, [fact(1), fact(1)], [fact(1), fact(1, amount=7)], [fact(1)])
    assert as_set(all_of(facts)) == as_set([fact(1), fact(1, amount=7)])


def test_settlements_which_have_no_reference_are_in_the_first_part(connection, tmp_path):
    facts, _ = compacted(connection, tmp_path, [fact(1, network_ref="", kind="settlement", merchant_id=None)])
    assert list(facts) == [("2026-11-23", 0)]


def test_nothing_comes_of_nothing(connection, tmp_path):
    assert compacted(connection, tmp_path) == ({}, [])
    assert compacted(connection, tmp_path, []) == ({}, [])


GOOD = packed_lines([fact(90), fact(91)])
DAMAGED = {
    "empty": b"",
    "no gzip": b"\x00\x01hello" * 10,
    "not even compressed": json.dumps(fact(90)).encode(),
    "cut short": GOOD[:-9],
    "cut very short": GOOD[:12],
    "something behind it": GOOD + b"garbage",
    "no JSON": gzip.compress(b"hello\nworld\n"),
    "JSON cut short": gzip.compress(json.dumps(fact(90)).encode() + b'\n{"network_ref": "ne'),
    "no text": gzip.compress(b'{"network_ref": "\xff\xfe"}\n'),
    "a list": gzip.compress(b"[1, 2]\n"),
    "nothing of a fact": gzip.compress(b"{}\n"),
    "no reference": packed_lines([fact(90, network_ref=None)]),
    "no amount": packed_lines([fact(90), fact(91, amount=None)]),
    "an amount in words": packed_lines([fact(90, amount="much")]),
    "an amount beyond all": packed_lines([fact(90, amount=10**19)]),
    "a negative amount": packed_lines([fact(90, amount=-5)]),
    "a time that leads elsewhere": packed_lines([fact(90, at="../../../etc")]),
}


@pytest.mark.parametrize("bad", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_object_is_named_and_stops_nothing(connection, tmp_path, bad):
    facts, damaged = compacted(connection, tmp_path, [fact(1)], bad, [fact(2)])

    assert as_set(all_of(facts)) == as_set([fact(1), fact(2)])
    assert damaged == [("1.jsonl.gz", True)]


def test_all_objects_may_be_damaged(connection, tmp_path):
    facts, damaged = compacted(connection, tmp_path, b"", b"\x1f\x8b")
    assert facts == {}
    assert [name for name, _ in damaged] == ["0.jsonl.gz", "1.jsonl.gz"]


def test_damage_is_logged_and_counted_by_default(connection, tmp_path, capsys):
    compaction.compact(connection, feed(tmp_path / "feed", b"no gzip"), tmp_path / "out", RUN)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["FeedObjectsDamaged"] == 1


def test_that_the_disk_is_full_is_no_damage(connection, tmp_path, monkeypatch):
    def full(*_):
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr(compaction, "_spread", full)
    with pytest.raises(duckdb.IOException, match="No space"):
        compacted(connection, tmp_path, [fact(1)])


def test_what_an_earlier_attempt_left_is_overwritten(connection, tmp_path):
    compacted(connection, tmp_path, [fact(1)])
    again, _ = compacted(connection, tmp_path, [fact(1), fact(2)])
    assert as_set(all_of(again)) == as_set([fact(1), fact(2)])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
facts = st.builds(
    fact,
    st.integers(1, 20),
    network_ref=texts,
    journal_id=texts,
    merchant_id=st.none() | texts,
    network=st.none() | st.sampled_from(["visa", "amex"]),
    amount=st.integers(1, 2**63 - 1),
    fee=st.integers(-5, 5),
    at=st.sampled_from(["2026-11-22T23:59:59.999Z", "2026-11-23T00:00:00.000Z", "9999-99-99T99:99:99.999Z"]),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(facts, max_size=6), max_size=4))
def test_every_fact_is_there_once_whatever_it_says(connection, objects):
    with TemporaryDirectory() as name:
        found, damaged = compacted(connection, Path(name), *objects)
    assert damaged == []
    assert set(as_set(all_of(found)).values()) <= {1}
    assert as_set(all_of(found)).keys() == as_set(given for object_ in objects for given in object_).keys()


def test_a_line_that_was_cut_off_is_never_passed_over(connection, tmp_path):
    """DuckDB's reader of JSON lines does so one time in three on an idle machine, and seldom on a busy one."""
    for turn in range(40):
        directory = tmp_path / str(turn)
        directory.mkdir()
        _, damaged = compacted(connection, directory, [fact(1)], DAMAGED["JSON cut short"], [fact(2)])
        assert damaged == [("1.jsonl.gz", True)]
