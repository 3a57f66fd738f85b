"""Parts: Python and DuckDB put every reference into the same one."""

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.reconciliation.parts import part_of, part_sql

_CONNECTION = duckdb.connect()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=50),
    st.integers(1, 1000),
)
def test_sql_and_python_agree_about_every_text(references, parts):
    found = _CONNECTION.execute(
        f"SELECT {part_sql('r', parts)} FROM unnest(?::VARCHAR[]) t(r)", [references]
    ).fetchall()
    assert found == [(part_of(reference, parts),) for reference in references]


def test_the_rule_is_that_of_the_store():
    """What is stored under a part stays there: RFC 1321's MD5 of "abc" begins with 90015098."""
    assert part_of("abc", 1 << 32) == 0x90015098
    assert part_of("abc", 128) == 0x18


def test_what_has_no_reference_is_in_the_first_part():
    assert part_of("", 128) == 0
    assert _CONNECTION.execute(f"SELECT {part_sql('r', 128)} FROM (SELECT '' AS r)").fetchone() == (0,)


def test_nothing_has_no_part():
    assert _CONNECTION.execute(f"SELECT {part_sql('NULL::VARCHAR', 4)}").fetchone() == (None,)
