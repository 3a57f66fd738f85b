"""A settlement file is read whole and exactly, or refused: a bad row is told and stops nothing."""

import csv
import gzip
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.reconciliation import database, ingest, unpacking
from functions.reconciliation.loading import LINE
from functions.reconciliation.parts import part_of
from functions.reconciliation.row_checks import REASONS
from tests.unit.reconciliation.settlement_texts import (
    DAY,
    NETWORK,
    ROWS,
    expected,
    row,
    text,
    with_lines,
)

ROOT = Path(__file__).resolve().parents[3]
KEY = f"inbox/{NETWORK}/file.csv"
PARTS = 3
PAN = "4242424242424242"
BATCH = {"type": "batch", "network_ref": "", "batch_ref": "B1"}
FEE = {"type": "fee", "network_ref": ""}
DISPUTE = {"type": "chargeback", "case_ref": "case_1"}
HOSTILE = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    return database.opened(tmp_path_factory.mktemp("spill"), "200MB", 1)


class Taken:
    """What a file came to, read before its directory is gone."""

    def __init__(self, connection, content, key=KEY):
        content = content.encode() if isinstance(content, str) else content
        with TemporaryDirectory() as name:
            source = Path(name) / "source"
            source.write_bytes(content)
            self.outcome = ingest.ingest(connection, source, key, Path(name), PARTS)
            self.lines = [(part, line) for part, path in self.outcome.lines.items() for line in _read(connection, path)]
            rejects = self.outcome.rejects
            self.told = rejects.read_text() if rejects else ""
        self.rejects = [(int(one["row"]), one["reason"], one["text"]) for one in csv.DictReader(self.told.splitlines())]
        assert (self.outcome.rejects is None) == (not self.rejects)
        assert len(self.rejects) == (0 if self.outcome.refused else self.outcome.rejected)
        assert self.outcome.rejected <= self.outcome.rows
        assert {reason for _, reason, _ in self.rejects} <= set(REASONS)
        assert not (self.outcome.refused and self.lines)

    @property
    def reasons(self):
        return [reason for _, reason, _ in self.rejects]

    def without(self, *names):
        """The lines, with their parts, without what may differ; how often each came."""
        return bag((part, {name: line[name] for name in line if name not in names}) for part, line in self.lines)


def bag(lines):
    return Counter((part, *sorted(line.items())) for part, line in lines)


def _read(connection, path):
    rows = connection.execute("SELECT * FROM read_parquet(?, hive_partitioning = false)", [str(path)])
    columns = {column[0]: str(column[1]) for column in rows.description}
    assert columns == LINE
    return [dict(zip(columns, values, strict=True)) for values in rows.fetchall()]


@pytest.mark.parametrize("layout", ["1", "2"])
@HOSTILE
@given(rows=ROWS)
def test_what_the_network_wrote_is_what_is_read(connection, layout, rows):
    taken = Taken(connection, text(*rows, layout=layout))

    assert (taken.outcome.refused, taken.outcome.rejected, taken.outcome.rows) == (None, 0, len(rows))
    assert taken.outcome.business_date == DAY
    assert taken.without("file", "line_id") == bag((part_of(key, PARTS), line) for key, line in expected(rows))
    assert {line["file"] for _, line in taken.lines} <= {taken.outcome.file}


@settings(deadline=None, max_examples=10)
@given(rows=ROWS, data=st.data())
def test_lines_are_the_same_however_they_are_spread_over_files(connection, rows, data):
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    first, second = (Taken(connection, text(*some)) for some in (shuffled[:cut], shuffled[cut:]))
    whole = Taken(connection, text(*rows))

    assert first.without("file", "row") + second.without("file", "row") == whole.without("file", "row")


def test_a_line_is_named_by_its_reference_and_its_whole_row(connection):
    same, other = row(), row(amount=1)
    taken = Taken(connection, text(same, other, same))
    again = Taken(connection, text(row(line_ref="L9"), same).replace("\n", "\r\n"))

    names = [line["line_id"] for _, line in sorted(taken.lines, key=lambda found: found[1]["row"])]
    assert names[0] == names[2] != names[1]
    assert all(name.startswith("L1~") and len(name) == len("L1~") + 8 for name in names)
    assert names[0] in {line["line_id"] for _, line in again.lines}


def test_the_same_row_of_two_networks_is_two_lines(connection):
    fee = text(row(type="fee", network_ref="", fee=0))
    others = fee.replace("H,1,visa", "H,1,mastercard")

    ((_, one),), ((_, other),) = Taken(connection, fee).lines, Taken(connection, others, "inbox/mastercard/a.csv").lines

    assert one["network_ref"] == other["network_ref"]
    assert one["line_id"] != other["line_id"]


@pytest.mark.parametrize("layout", ["1", "2"])
@HOSTILE
@given(rows=ROWS, data=st.data())
def test_a_file_that_breaks_off_anywhere_is_refused(connection, layout, rows, data):
    whole = text(*rows, row(settled_on="soon"), layout=layout).encode()
    broken = whole[: data.draw(st.integers(0, len(whole) - 2))]

    assert Taken(connection, broken).outcome.refused in ("truncated", "sum_differs", "unknown_layout", "empty")


@pytest.mark.parametrize("layout", ["1", "2"])
def test_a_file_that_breaks_off_in_its_trailer_is_refused(connection, layout):
    whole = text(row(), row(fee=0, amount=11), layout=layout)
    trailer = len(whole.splitlines()[-1])

    for missing in range(2, trailer + 2):
        assert Taken(connection, whole[:-missing]).outcome.refused in ("truncated", "sum_differs")


@pytest.mark.parametrize("layout", ["1", "2"])
@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_row_that_is_missing_or_came_twice_is_seen_by_the_trailer(connection, layout, gone):
    lines = text(row(), row(line_ref="L2"), row(line_ref="L3", settled_on="soon"), layout=layout).splitlines()
    without, twice = lines[:gone] + lines[gone + 1 :], lines[: gone + 1] + lines[gone:]

    assert Taken(connection, "\n".join(without)).outcome.refused == "count_differs"
    assert Taken(connection, "\n".join(twice)).outcome.refused == "count_differs"


@pytest.mark.parametrize("layout", ["1", "2"])
def test_an_amount_that_was_changed_on_its_way_is_seen_by_the_trailer(connection, layout):
    changed = text(row(), layout=layout).replace("4200,USD", "4100,USD").replace("USD|42.00", "USD|41.00")

    assert Taken(connection, changed).outcome.refused == "sum_differs"


def test_line_ends_a_byte_order_mark_and_a_missing_last_newline_are_of_no_account(connection):
    whole = text(row(), row(line_ref="L2", reason="é"))
    forms = (whole, whole.replace("\n", "\r\n"), "\ufeff" + whole, whole[:-1], whole.replace("\nL", "\n\n\nL") + "\n\n")
    plain, *others = (Taken(connection, form) for form in forms)

    assert len(plain.lines) == 2
    for other in others:
        assert (other.outcome.refused, other.outcome.rejected, other.outcome.rows) == (None, 0, 2)
        assert other.without("file", "row") == plain.without("file", "row")


def test_gzip_is_told_by_the_content_and_changes_nothing(connection):
    whole = text(row()).encode()
    plain = Taken(connection, whole, f"inbox/{NETWORK}/a.csv.gz")
    halves = gzip.compress(whole[:9]) + gzip.compress(whole[9:])

    for packed in (gzip.compress(whole), halves):
        taken = Taken(connection, packed)
        assert taken.outcome.file == plain.outcome.file
        assert taken.without() == plain.without() != Counter()


@pytest.mark.parametrize(
    "break_it", [lambda packed: packed[:-1], lambda packed: packed[:30], lambda packed: packed + b"x"]
)
def test_gzip_that_is_broken_is_refused(connection, break_it):
    packed = gzip.compress(text(*[row(line_ref=f"L{n}") for n in range(50)]).encode())
    outcome = Taken(connection, break_it(packed)).outcome

    assert (outcome.refused, len(outcome.file)) == ("damaged", 32)


def test_a_bomb_is_refused(connection, monkeypatch):
    monkeypatch.setattr(unpacking, "LARGEST_FILE", 2**22)

    assert Taken(connection, gzip.compress(bytes(2**22 + 1))).outcome.refused == "too_large"
    assert Taken(connection, gzip.compress(bytes(2**22))).outcome.refused == "unknown_layout"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "empty"),
        ("\n\r\n\n", "empty"),
        ("\ufeff", "empty"),
        ("H,2,visa,2026-11-23,r\nT,0,0,0\n", "unknown_layout"),
        ("H,1,visa,2026-13-23,r\nT,0,0,0\n", "unknown_layout"),
        ("H,1,visa,20261123,r\nT,0,0,0\n", "unknown_layout"),
        ("FH|visa|2026-11-23|r\nFT|0|0.0000\n", "unknown_layout"),
        ('H,1,visa,2026-11-23,"r\nT,0,0,0\n', "unknown_layout"),
        ("\nH,1,visa,2026-11-23,r\nT,0,0,0\n", "unknown_layout"),
        ("H,1,mastercard,2026-11-23,r\nT,0,0,0\n", "network_differs"),
        ("H,1,visa,2026-11-23,r\n", "truncated"),
        ("H,1,visa,2026-11-23,r\nT,0,0\n", "truncated"),
        ("H,1,visa,2026-11-23,r\nT,0,0,0\nT,0,0,0\n", "after_trailer"),
        ("H,1,visa,2026-11-23,r\nT,0,0,0\n \n", "after_trailer"),
        ("H,1,visa,2026-11-23,r\nT,1,0,0\n", "count_differs"),
        ("H,1,visa,2026-11-23,r\nT,0,0,1\n", "sum_differs"),
        ("H,1,visa,2026-11-23,r\nT,0,0,0\n", None),
        ("FH|visa|20261123|r\nFT|0|0.0000\n", None),
    ],
)
def test_a_file_that_is_none_is_refused_with_a_code(connection, content, code):
    assert Taken(connection, content).outcome.refused == code


@pytest.mark.parametrize("key", ["inbox/mastercard/a.csv", "inbox/nobody/a.csv", "inbox/", "visa.csv"])
def test_a_file_in_the_wrong_folder_is_refused(connection, key):
    content = text(row()).replace("visa", "nobody") if "nobody" in key else text(row())

    assert Taken(connection, content, key).outcome.refused == "network_differs"


BAD = {
    "bad_line_ref": [
        {"line_ref": ""},
        {"line_ref": "L~1"},
        {"line_ref": "L#1"},
        {"line_ref": "a/b"},
        {"line_ref": "L" * 65},
    ],
    "unknown_type": [{"type": "CAPTURE"}, {"type": ""}, {"type": "sale"}],
    "no_network_ref": [{"network_ref": ""}],
    "bad_network_ref": [{"network_ref": name} for name in ("a b", "a#b", "é", "run", "file", "fee:F1", "x" * 65)],
    "bad_movement": [{"movement": "cap~1"}, {"movement": "cap 1"}],
    "unknown_currency": [{"currency": name} for name in ("", "usd", "XXX", "ABC", "XAU", "USDX")],
    "bad_amount": [
        {"amount": found} for found in (0, -1, 100_000_000, "1.5", "1e3", "01", "+1", " 1", "", "9" * 12, "٤٢")
    ]
    + [{**BATCH, "amount": 10**12}],
    "bad_fee": [{"fee": found} for found in ("", "x", "-0", 100_000_000)],
    "bad_date": [
        {"settled_on": day} for day in ("soon", "", "2026-02-30", "infinity", "23.11.2026", "1999-12-31", "2100-01-01")
    ],
    "bad_sequence": [
        {"sequence": n, "count": m} for n, m in ((0, 1), (1, 0), (3, 2), (1, 256), ("x", 1), (1, ""), (-1, 1))
    ],
    "no_batch_ref": [{**BATCH, "batch_ref": ""}],
    "bad_batch_ref": [{"batch_ref": "B#1"}],
    "no_case_ref": [{"type": "chargeback"}, {"type": "representment"}],
    "bad_case_ref": [{**DISPUTE, "case_ref": "c d"}],
    "bad_reason": [{"reason": "x" * 256}, {"reason": "４２４２"}, {"reason": "\u200b"}, {"reason": "②"}],
    "control_character": [{"reason": "a\x00b"}, {"reason": "a\tb"}, {"line_ref": "L\x1a"}, {"reason": "a\x7f"}],
    "not_utf8": [{"reason": "\ufffd"}],
    "too_long": [{"reason": "x" * unpacking.LONGEST_LINE}],
    "unbalanced_quotes": ['L,L1,"capture,x', 'L,a"b,c', 'L,"a"b,c', 'L,"'],
    "wrong_number_of_fields": ["L,", "L,1,2", "L" + ",x" * 14, "L,L1,capture" + "," * 10],
    "unknown_record": ["x", "l,L1", "L", "FD|L1|SALE", " ", "T", "H,1,visa,2026-11-23,r", f"  {','.join('x' * 14)}"],
}


def raw(changes):
    if isinstance(changes, str):
        return changes
    values = row(**changes)
    return ",".join(("L", *(str(getattr(values, name)) for name in values.__match_args__)))


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_is_told_and_stops_nothing(connection, reason):
    bad = [raw(changes) for changes in BAD[reason]]
    unknown = "?"  # with such a record the trailer's sums are upper limits
    content = with_lines(*bad, unknown, rows=[row(), row(**FEE)], counted=len(bad), amounts=10**13)
    taken = Taken(connection, content)

    assert taken.outcome.refused is None
    assert taken.reasons == [reason] * len(bad) + ["unknown_record"]
    assert [number for number, _, _ in taken.rejects] == list(range(4, 5 + len(bad)))
    assert sorted(line["row"] for _, line in taken.lines) == [2, 3]


def test_every_reason_is_tried():
    assert set(BAD) | {"card_number"} == set(REASONS)


def test_bytes_that_are_no_utf_8_spoil_their_row_only(connection):
    content = text(row(reason="qq"), row(line_ref="L2")).encode().replace(b"qq", b"a\xffb\xc3")
    taken = Taken(connection, content)

    assert taken.reasons == ["not_utf8"]
    assert [line["line_ref"] for _, line in taken.lines] == ["L2"]


def test_what_is_told_of_a_row_is_short_and_readable(connection):
    taken = Taken(connection, with_lines("L,\x1b[31m,\u202e" + "x" * 5_000, '=1+1"', counted=1))

    assert [shown for _, _, shown in taken.rejects] == [("L,?[31m,?" + "x" * 200)[:200], '=1+1"']


def test_a_bad_row_counts_in_the_trailer_as_far_as_it_can_be_read(connection):
    bad = "L,L2,capture,net_1,,100,USD,5,soon,1,1,,,"

    assert Taken(connection, with_lines(bad, rows=[row()], counted=1, amounts=100, fees=5)).outcome.refused is None
    for wrong in ({"counted": 2}, {"counted": 0}):
        assert Taken(connection, with_lines(bad, amounts=100, fees=5, **wrong)).outcome.refused == "count_differs"
    for wrong in ({"amounts": 99, "fees": 5}, {"amounts": 101, "fees": 5}, {"amounts": 100, "fees": 6}):
        assert Taken(connection, with_lines(bad, counted=1, **wrong)).outcome.refused == "sum_differs"


@pytest.mark.parametrize(("amounts", "code"), [(99, "sum_differs"), (100, None), (10_000, None)])
def test_where_an_amount_cannot_be_read_the_sum_is_at_least_that_of_the_others(connection, amounts, code):
    bad, good = "L,L2,capture,net_1,,much,USD,5,2026-11-23,1,1,,,", "L,L3,capture,net_1,,100,USD,7,2026-11-23,1,1,,,"

    assert Taken(connection, with_lines(bad, good, counted=2, amounts=amounts, fees=12)).outcome.refused == code
    if code is None:
        told = Taken(connection, with_lines(bad, good, counted=2, amounts=amounts, fees=13))
        assert told.outcome.refused == "sum_differs", "the fees are all readable"


@pytest.mark.parametrize(("counted", "code"), [(0, "count_differs"), (1, None), (2, None), (3, "count_differs")])
def test_a_record_that_nobody_knows_may_be_counted_or_not(connection, counted, code):
    good = "L,L3,capture,net_1,,100,USD,7,2026-11-23,1,1,,,"

    assert Taken(connection, with_lines(good, "X,what", counted=counted, amounts=100, fees=7)).outcome.refused == code


WRITTEN_PANS = (
    PAN,
    "5555555555554444",
    "378282246310005",
    "6221260000000000",
    "4222222222222",
    "6304000000000000000",
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "4242.4242.4242.4242",
    "4242 - 4242 - 4242 - 4242",
    "3782 822463 10005",
    "x4242424242424242x",
    "42424242424242424242 4242 4242 4242 4242",
    "2026 4242 4242 4242 4242 123",
    "12 3782-822463-10005 4",
)


@pytest.mark.parametrize(
    "field", ["line_ref", "network_ref", "movement", "currency", "batch_ref", "case_ref", "reason"]
)
def test_a_card_number_is_kept_nowhere(connection, field):
    taken = Taken(connection, text(*(row(**{field: pan}) for pan in WRITTEN_PANS), row(line_ref="L2")))

    assert taken.reasons == ["card_number"] * len(WRITTEN_PANS)
    assert [line["line_ref"] for _, line in taken.lines] == ["L2"]
    assert not any(part in taken.told for pan in WRITTEN_PANS for part in (pan, pan[:12], pan[-9:]))


@pytest.mark.parametrize(
    "shown",
    ["4242424242424241", "４２４２４２４２４２４２４２４２", "42424242 42424242", "4242\u200b4242\u200b4242\u200b4241"],
)
def test_what_looks_like_a_card_number_is_masked_in_a_row_that_is_told(connection, shown):
    taken = Taken(connection, with_lines(f"L,{shown},x", f"L,{unpacking.LONGEST_LINE * 'x'}{shown}", counted=2))

    assert taken.reasons == ["wrong_number_of_fields", "too_long"]
    assert "4242" not in taken.told
    assert "４２" not in taken.told


def test_long_numbers_in_words_are_masked_and_references_are_kept(connection):
    arn = "74537604221222132710502"
    taken = Taken(connection, text(row(line_ref=arn, reason=f"case {arn} of 2026-11-23")))

    ((_, line),) = taken.lines
    assert taken.outcome.refused is None
    assert (line["line_ref"], line["reason"]) == (arn, "case [digits] of 2026-11-23")


def test_words_keep_no_number_as_long_as_a_card_however_it_is_parted(connection):
    shown = (
        "42424242 42424242",
        "4242,4242,4242,4242",
        "4242 42424242 4242",
        "1234567890123",
        "4-2-4-2-4-2-4-2-4-2-4-2-4-2-4-2",
    )
    taken = Taken(connection, text(*(row(reason=f"card {number}") for number in shown)))

    assert {line["reason"] for _, line in taken.lines} == {"card [digits]"}


@HOSTILE
@given(noise=st.binary(max_size=300), start=st.sampled_from((b"", b"H,1,visa,2026-11-23,r\n", b"FH|visa|20261123|r\n")))
def test_noise_is_refused(connection, noise, start):
    outcome = Taken(connection, start + noise).outcome

    assert outcome.refused
    assert outcome.file


@HOSTILE
@given(noise=st.lists(st.binary(max_size=80).filter(lambda line: b"\n" not in line), max_size=5), rows=ROWS)
def test_noise_between_rows_is_told_and_the_rows_are_kept(connection, noise, rows):
    head, *lines, trailer = text(*rows).encode().splitlines(keepends=True)
    records = [
        line for line in (found.rstrip(b"\r") for found in noise) if line and not line.startswith((b"L,", b"T,"))
    ]
    taken = Taken(connection, b"".join((head, *(line + b"\n" for line in records), *lines, trailer)))

    assert (taken.outcome.refused, taken.outcome.rows) == (None, len(rows) + len(records))
    assert taken.outcome.rejected == len(records)
    assert taken.without("file", "line_id", "row") == bag(
        (part_of(key, PARTS), {name: line[name] for name in line if name != "row"}) for key, line in expected(rows)
    )


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, piece=st.integers(1, 400), block=st.integers(1, 50))
def test_a_large_file_is_read_in_pieces(connection, monkeypatch, rows, piece, block):
    content = text(*rows, row(settled_on="soon"), row(line_ref="L2"), row(amount=0))
    whole = Taken(connection, content)
    with monkeypatch.context() as patched:
        patched.setattr(ingest, "PIECE", piece)
        patched.setattr(unpacking, "_BLOCK", block)
        pieces = Taken(connection, content)

    assert pieces.without() == whole.without()
    assert pieces.rejects == whole.rejects
    assert pieces.outcome.file == whole.outcome.file
    assert pieces.outcome.rows == len(rows) + 3


@pytest.mark.parametrize("after", ["T,1,4200,86", "x", row])
def test_what_comes_after_the_trailer_in_another_piece_is_seen(connection, monkeypatch, after):
    monkeypatch.setattr(ingest, "PIECE", 1)
    monkeypatch.setattr(unpacking, "_BLOCK", 10)
    more = raw({}) if after is row else after

    assert Taken(connection, text(row()) + "\n\n" + more).outcome.refused == "after_trailer"
    assert Taken(connection, text(row()) + "\n\n\n").outcome.refused is None


@pytest.mark.parametrize(
    ("name", "network"), [("settlement_visa.csv", "visa"), ("settlement_mastercard.txt", "mastercard")]
)
def test_the_samples_are_what_the_documentation_says(connection, name, network):
    taken = Taken(connection, (ROOT / "events" / name).read_bytes(), f"inbox/{network}/{name}")

    assert (taken.outcome.refused, taken.outcome.rows) == (None, 13)
    assert taken.reasons == ["bad_date"]
    assert Counter(line["type"] for _, line in taken.lines if line["role"] == "line") == {
        "capture": 6,
        "refund": 2,
        "chargeback": 1,
        "representment": 1,
        "fee": 1,
        "batch": 1,
    }
    assert {line["currency"] for _, line in taken.lines} == {"USD", "EUR", "JPY", "KWD"}
    assert {line["count"] for _, line in taken.lines} == {1, 2}
    members = [line["amount"] for _, line in taken.lines if line["role"] == "member_copy"]
    assert [line["amount"] for _, line in taken.lines if line["type"] == "batch"] == [sum(members)]
