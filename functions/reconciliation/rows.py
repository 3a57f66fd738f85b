"""The columns of what is told and kept: one schema for both, so that what a run told is what the next reads.

A row is a line with the movement it belongs to, or a movement without a line. One row of each movement with a fact
carries the fact: the one whose `expected` is not 0.
"""

RESULT: dict[str, str] = {
    "network_ref": "VARCHAR",
    "record": "VARCHAR",
    "class": "VARCHAR",
    "type": "VARCHAR",
    "movement": "VARCHAR",
    "network": "VARCHAR",
    "currency": "VARCHAR",
    "expected": "BIGINT",
    "settled": "BIGINT",
    "difference": "BIGINT",
    "fee_expected": "BIGINT",
    "fee_settled": "BIGINT",
    "at_risk": "BIGINT",
    "split": "BOOLEAN",
    "tolerated": "BOOLEAN",
    "merchant_id": "VARCHAR",
    "payment_id": "VARCHAR",
    "shard": "INTEGER",
    "line_ref": "VARCHAR",
    "file": "VARCHAR",
    "row": "BIGINT",
    "day": "DATE",
    "due": "DATE",
    "batch_ref": "VARCHAR",
    "case_ref": "VARCHAR",
    "note": "VARCHAR",
    "booked": "BOOLEAN",
    "changed": "BOOLEAN",
    "withdrawn": "BOOLEAN",
}
"""What a result is (docs/reconciliation.md, "Results"). `changed`: it is new, or another class than before.
`withdrawn`: an earlier run told it, and it is no more, because the movement now has a line, the network has refused the
capture, or the authorization was captured."""

KEPT: dict[str, str] = {
    "settled_on": "DATE",
    "sequence": "UTINYINT",
    "count": "UTINYINT",
    "reason": "VARCHAR",
    "role": "VARCHAR",
    "closed_on": "DATE",
    "booked_amount": "BIGINT",
    "booked_fees": "BIGINT",
    "booked_written_off": "BIGINT",
}
"""What the next run must know besides. `role`: `record` of what was told, `authorization`, `release`, `failed_capture`
or `member` of what is only kept. `closed_on`: the day as of which nothing of the movement was open any more.
`booked_…`: what stands in the books for it."""

ALL = RESULT | KEPT

LINE_TYPES = ("capture", "refund", "chargeback", "representment")
"""Types of lines, and kinds of facts, that are movements."""

ENDS = ("release", "failed_capture")
"""Kinds of facts by which something else is expected no more. They are remembered: what they end may be fed later."""

DISPUTED = ("chargeback", "representment")
"""Those whose movement no file names."""


def projected(values: dict[str, str]) -> str:
    """The SQL of a row in the order of the schema: the given expressions; NULL of what is not given."""
    unknown = values.keys() - ALL.keys()
    if unknown:
        raise KeyError(f"no such column: {sorted(unknown)}")
    return ", ".join(f'CAST({values.get(name, "NULL")} AS {kind}) AS "{name}"' for name, kind in ALL.items())


def names() -> str:
    """All columns, in order."""
    return ", ".join(f'"{name}"' for name in ALL)


def _same(*columns: str) -> dict[str, str]:
    return {name: name for name in columns}


WITHDRAWN: dict[str, str] = {
    **_same(
        "network_ref", "record", "type", "movement", "network", "currency", "merchant_id", "payment_id", "shard", "day"
    ),
    **dict.fromkeys(("expected", "settled", "difference", "fee_expected", "fee_settled", "at_risk"), "0"),
    **dict.fromkeys(("booked_amount", "booked_fees", "booked_written_off"), "0"),
    **dict.fromkeys(("split", "tolerated", "booked"), "false"),
    "class": "'matched'",
    "note": "'withdrawn'",
    "role": "'record'",
    "changed": "true",
    "withdrawn": "true",
}
"""The result that takes an earlier one back, made of the row of that one."""
