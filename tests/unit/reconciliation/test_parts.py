"""Parts: Python and DuckDB put every reference into the same one."""

import zlib

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.reconciliation.parts import part_of, part_sql, register

_CONNECTION = duckdb.connect()
register(_CONNECTION)


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


def test_the_rule_is_crc32_which_every_language_has():
    assert zlib.crc32(b"123456789") == 0xCBF43926, "the check value of CRC-32/ISO-HDLC"
    assert part_of("123456789", 128) == 0x26
    assert part_of("", 128) == 0


def test_nothing_has_no_part():
    assert _CONNECTION.execute(f"SELECT {part_sql('NULL::VARCHAR', 4)}").fetchone() == (None,)
