"""The part a reference belongs to, in Python and in DuckDB: what is compared with each other is in one part."""

from payments.settlement import part_of

__all__ = ["part_of", "part_sql"]


def part_sql(reference: str, parts: int) -> str:
    """The SQL of `part_of` for an expression of type VARCHAR, such as a column's name; an integer, and NULL of NULL."""
    return f"(CASE {reference} WHEN '' THEN 0 ELSE ('0x' || md5({reference})[:8])::UINTEGER % {parts} END)::INTEGER"
