"""What was planted must be found as it was planted, and nothing else may be open."""

from dataclasses import replace
from typing import Any

import pytest

from local.planting_field import Mark
from local.settle_check import differences, waiting
from local.settlement_export import Row

DAY, LATER = "2026-11-23", "2026-12-04"
ROW = Row("L1", "capture", "net_1", "", 4200, "USD", 86, DAY)
WRONG = Mark("amount_mismatch", "amount_mismatch", ROW, "L1", 100)
MISSING = Mark("missing_at_network", "missing_at_network", ROW, "", 4200)
NO_RECORD = Mark("bad_row", None, ROW, "X1")


def record(**changes: Any) -> dict[str, Any]:
    made = {"network_ref": "net_1", "line": "L1~12345678", "line_ref": "L1", "class": "amount_mismatch"}
    return {**made, "at_risk": 100, "currency": "USD", "due": "2026-11-26", **changes}


def unsettled(**changes: Any) -> dict[str, Any]:
    made = record(**{"line": "capture#", "class": "missing_at_network", "at_risk": 4200, **changes})
    del made["line_ref"]  # as the table has it
    return made


def test_found_as_planted_and_nothing_else() -> None:
    other = record(**{"network_ref": "net_2", "line": "L2~1", "line_ref": "L2", "class": "matched"})

    assert list(differences([WRONG], [record(), other], LATER)) == []
    assert list(differences([MISSING], [unsettled(), other], LATER)) == []
    assert list(differences([NO_RECORD], [other], LATER)) == []


@pytest.mark.parametrize(
    "found",
    [
        [record(**{"class": "matched"})],
        [record(at_risk=99)],
        [record(at_risk=None)],
        [],
    ],
)
def test_another_class_another_risk_or_no_record_is_told(found: list[dict[str, Any]]) -> None:
    (told,) = differences([WRONG], found, LATER)

    assert told.startswith("amount_mismatch L1:")


@pytest.mark.parametrize("class_", ["missing_at_network", "orphan", "duplicate_at_network", "batch_mismatch"])
def test_what_is_open_and_was_not_planted_is_told(class_: str) -> None:
    (told,) = differences([], [record(**{"class": class_})], LATER)

    assert told.startswith(f"not planted: {class_} L1 of net_1")


def test_a_row_that_must_be_rejected_has_no_record() -> None:
    mark = replace(NO_RECORD, line_ref="L1")

    (told,) = differences([mark], [record(**{"class": "matched"})], LATER)

    assert told.startswith("bad_row L1")


def test_what_is_missing_waits_until_it_is_due() -> None:
    expected = unsettled(**{"class": "expected", "at_risk": 0, "due": "2026-11-26"})

    assert list(differences([MISSING], [expected], DAY)) == []
    assert list(waiting([MISSING], [expected], DAY)) == [expected]
    assert list(waiting([MISSING], [unsettled()], LATER)) == []
    assert len(list(differences([MISSING], [expected], LATER))) == 1, "it is due"


def test_one_record_is_not_two_marks() -> None:
    assert len(list(differences([WRONG, WRONG], [record()], LATER))) == 1
