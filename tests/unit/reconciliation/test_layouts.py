"""Both layouts of settlement files say the same in their own words."""

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.reconciliation import card_data, layouts
from functions.reconciliation.layouts import COLUMNS, Header, Trailer
from payments.rest import card_numbers
from tests.unit.reconciliation.settlement_texts import ROWS, text

FIRST, SECOND = layouts.LAYOUTS


@pytest.fixture(scope="module")
def connection():
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("CREATE TABLE texts (row BIGINT, text VARCHAR)")
    connection.execute("CREATE TABLE currencies (code VARCHAR, exponent INTEGER)")
    connection.execute("INSERT INTO currencies VALUES ('USD', 2), ('JPY', 0), ('KWD', 3), ('CLF', 4)")
    return connection


def taken_apart(connection, layout, *lines):
    connection.execute("DELETE FROM texts")
    if lines:
        connection.executemany("INSERT INTO texts VALUES (?, ?)", list(enumerate(lines, 2)))
    rows = connection.execute(f"SELECT * FROM ({layout.rows}) ORDER BY row")
    assert tuple(column[0] for column in rows.description) == COLUMNS
    return [dict(zip(COLUMNS, values, strict=True)) for values in rows.fetchall()]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_both_layouts_say_the_same(connection, rows):
    said = []
    for layout, name in ((FIRST, "1"), (SECOND, "2")):
        header, *lines, trailer = text(*rows, layout=name).splitlines()
        assert layouts.detected(header) == (layout, Header("visa", "2026-11-23"))
        found = taken_apart(connection, layout, *lines)
        assert {(one["record"], one["malformed"]) for one in found} <= {("detail", None)}
        sums = {control: sum(one[control] for one in found) for control in ("control_amount", "control_fee")}
        told = layout.trailer(trailer)
        assert told.count == len(rows)
        assert told.sums.items() <= sums.items()
        said.append([{**one, "text": "", "control_amount": 0, "control_fee": 0} for one in found])

    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("H,1,visa,2026-11-23,r", (FIRST, Header("visa", "2026-11-23"))),
        ('H,1,visa,2026-11-23,"r, of the day"', (FIRST, Header("visa", "2026-11-23"))),
        ("FH|mastercard|20261123|r", (SECOND, Header("mastercard", "2026-11-23"))),
        ("H,1,visa,2026-11-23", None),
        ("H,01,visa,2026-11-23,r", None),
        ("h,1,visa,2026-11-23,r", None),
        ("H,1,Visa,2026-11-23,r", None),
        ("H,1,,2026-11-23,r", None),
        ("H,1,visa,2026-W48-1,r", None),
        ("FH|visa|2026112٣|r", None),
        ("FH|visa|20261123|r|", None),
        ("L,L1", None),
        ("", None),
    ],
)
def test_a_layout_is_known_by_its_header(line, found):
    assert layouts.detected(line) == found


@pytest.mark.parametrize(
    ("layout", "line", "found"),
    [
        (FIRST, "T,2,10,-3", Trailer(2, {"control_amount": 10, "control_fee": -3})),
        (FIRST, "T,0,0,0", Trailer(0, {"control_amount": 0, "control_fee": 0})),
        (SECOND, "FT|2|0.0030", Trailer(2, {"control_amount": 30})),
        *(
            (FIRST, line, None)
            for line in ("T,2,10", "T,2,10,", "T,2,10,3,4", "T,02,10,3", "T,2,1_0,3", "T,2,10,-0", "T,٢,1,1")
        ),
        (FIRST, "T,2,10," + "9" * 5_000, None),
        *(
            (SECOND, line, None)
            for line in ("FT|2|1.000", "FT|2|1", "FT|2|1.0000|", "FT|2|01.0000", "FT|2|-1.0000", "FT|٢|1.0000")
        ),
    ],
)
def test_a_trailer_is_whole_or_none(layout, line, found):
    assert layout.trailer(line) == found


@pytest.mark.parametrize(
    ("layout", "line", "record", "malformed"),
    [
        (FIRST, "L" + ",x" * 13, "detail", None),
        (FIRST, "L" + ',"x"' * 13, "detail", None),
        (FIRST, 'L,"a,b""c"' + "," * 12, "detail", None),
        (FIRST, "L" + ",x" * 12, "detail", "wrong_number_of_fields"),
        (FIRST, 'L,"' + ",x" * 12, "detail", "unbalanced_quotes"),
        (FIRST, 'L,x"y"' + ",x" * 12, "detail", "unbalanced_quotes"),
        (FIRST, "T,", "trailer", "wrong_number_of_fields"),
        (FIRST, "X", "other", "wrong_number_of_fields"),
        (SECOND, "FD" + "|x" * 12, "detail", None),
        (SECOND, "FD" + '|"' * 12, "detail", None),
        (SECOND, "FD" + "|x" * 13, "detail", "wrong_number_of_fields"),
        (SECOND, "FT|", "trailer", "wrong_number_of_fields"),
        (SECOND, "L,1", "other", "wrong_number_of_fields"),
    ],
)
def test_rows_are_taken_apart_or_said_to_be_malformed(connection, layout, line, record, malformed):
    (found,) = taken_apart(connection, layout, line)

    assert (found["record"], found["malformed"]) == (record, malformed)
    if malformed:
        assert {value for name, value in found.items() if name not in ("row", "text", "record", "malformed")} == {None}


@pytest.mark.parametrize(
    ("currency", "amount", "minor_units"),
    [
        ("USD", "42.00", 4200),
        ("USD", "0.05", 5),
        ("USD", "-0.05", -5),
        ("JPY", "4200", 4200),
        ("KWD", "4.200", 4200),
        ("CLF", "0.0001", 1),
        *(
            ("USD", text, None)
            for text in ("42", "42.0", "42.000", ".50", "00.50", "4,200.00", "1e2.00", "+1.00", " 1.00", "")
        ),
        ("JPY", "42.00", None),
        ("KWD", "42.00", None),
        ("XXX", "42.00", None),
    ],
)
def test_amounts_in_major_units_have_the_decimals_of_their_currency(connection, currency, amount, minor_units):
    (found,) = taken_apart(connection, SECOND, f"FD|L1|SALE|n||20261123|{currency}|{amount}|{amount}|1/1|||")

    assert (found["amount"], found["fee"]) == (minor_units, minor_units)


@pytest.mark.parametrize(
    ("place", "found"),
    [("1/2", (1, 2)), ("1", (1, None)), ("1/2/3", (1, None)), ("a/b", (None, None)), ("/", (None, None))],
)
def test_the_place_of_a_split_line(connection, place, found):
    (row,) = taken_apart(connection, SECOND, f"FD|L1|SALE|n||20261123|USD|1.00|0.00|{place}|||")

    assert (row["sequence"], row["count"]) == found


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(st.text("0123456789", min_size=10, max_size=22), min_size=1, max_size=30))
def test_card_numbers_are_found_as_in_requests(texts):
    """But for numbers that are longer than a card's: in a file those are references."""
    query = f"SELECT {card_data.found_sql('one')} FROM (SELECT unnest(?) AS one)"
    found = [is_card for (is_card,) in duckdb.execute(query, [texts]).fetchall()]

    assert found == [len(one) <= 19 and card_numbers.occurs_in(one) for one in texts]
