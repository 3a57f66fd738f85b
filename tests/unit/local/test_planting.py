"""Errors are planted where they are said to be, each about a payment of its own, and the rest stays as it was."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local import planting, settlement_export
from local.planting import KINDS, Planted, plant
from local.planting_field import Mark
from local.settlement_export import File, Row

DAY = "2026-11-23"
EVERYTHING = dict.fromkeys(KINDS, 2)


def files(payments: int = 60, networks: tuple[str, ...] = ("visa", "amex")) -> list[File]:
    """Files with a capture of each payment, a refund of every third and a chargeback of every tenth."""
    return [File(network, DAY, f"{network}-1", tuple(rows(network, payments))) for network in networks]


def rows(network: str, payments: int) -> list[Row]:
    made = []
    for number in range(payments):
        name, currency, amount = f"{network}_{number}", ("USD", "EUR", "KWD")[number % 3], 1000 + number
        fee = settlement_export.fee(network, "capture", amount)
        made.append(Row(f"L{name}", "capture", f"net_{name}", "", amount, currency, fee, DAY))
        if number % 3 == 0:
            made.append(Row(f"LR{name}", "refund", f"net_{name}", f"ref_{name}", 500, currency, 0, DAY))
        if number % 10 == 0:
            case = {"case_ref": f"case_{name}", "reason": "fraud"}
            made.append(Row(f"LC{name}", "chargeback", f"net_{name}", "", 500, currency, 0, DAY, **case))
    return made


def tolerance(_: str, currency: str) -> int:
    return 5 if currency == "USD" else 0


def planted(seed: int = 1, **wanted: int) -> Planted:
    return plant(files(), wanted, seed, tolerance)


def all_rows(found: tuple[File, ...] | list[File]) -> Counter[Row]:
    return Counter(row for file in found for row in file.rows)


def added_and_removed(found: Planted) -> tuple[list[Row], list[Row]]:
    before, after = all_rows(files()), all_rows(found.files)
    return list((after - before).elements()), list((before - after).elements())


def test_nothing_wanted_nothing_changed() -> None:
    assert plant(files(), {}, 1, tolerance) == Planted(tuple(files()), ())


def test_the_same_seed_plants_the_same_and_another_seed_elsewhere() -> None:
    assert plant(files(), EVERYTHING, 7, tolerance) == plant(files(), EVERYTHING, 7, tolerance)
    assert plant(files(), EVERYTHING, 7, tolerance) != plant(files(), EVERYTHING, 8, tolerance)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.dictionaries(st.sampled_from(sorted(KINDS)), st.integers(0, 3)))
def test_every_error_has_payments_of_its_own_and_the_rest_is_untouched(seed: int, wanted: dict[str, int]) -> None:
    found = plant(files(), wanted, seed, tolerance)

    added, removed = added_and_removed(found)
    touched = {row.network_ref for row in (*added, *removed) if row.network_ref}
    marked = [(mark.kind, mark.row.network_ref) for mark in found.marks if mark.row.network_ref]
    assert touched <= {reference for _, reference in marked}
    assert len({reference for _, reference in marked}) == len({(kind, reference) for kind, reference in marked}), (
        "two errors about one payment"
    )
    assert Counter(kind for kind in KINDS for mark in found.marks if mark.kind == kind).keys() == {
        kind for kind, number in wanted.items() if number
    }
    assert not any(row.type == "chargeback" for row in (*added, *removed))


def test_marks_name_rows_that_are_in_the_files() -> None:
    found = plant(files(), EVERYTHING, 3, tolerance)
    names = Counter(row.line_ref for file in found.files for row in file.rows)

    for mark in found.marks:
        assert mark.kind in KINDS
        assert names[mark.line_ref] == (2 if mark.kind == "repeated_row" else 1 if mark.line_ref else 0), mark
    assert names.total() - len(names) == EVERYTHING["repeated_row"]


def only(found: Planted, class_: str | None) -> Mark:
    (mark,) = [mark for mark in found.marks if mark.class_ == class_]
    return mark


@pytest.mark.parametrize(
    ("kind", "class_", "more", "less"),
    [
        ("missing_at_network", "missing_at_network", 0, 1),
        ("missing_in_ledger", "missing_in_ledger", 1, 0),
        ("unknown_refund", "missing_in_ledger", 1, 0),
        ("amount_mismatch", "amount_mismatch", 1, 1),
        ("duplicate_at_network", "duplicate_at_network", 1, 0),
        ("fee_mismatch", "fee_mismatch", 1, 1),
        ("split_mismatch", "amount_mismatch", 2, 1),
        ("partial", "missing_at_network", 1, 1),
        ("batch_mismatch", "batch_mismatch", 4, 3),
    ],
)
def test_an_error_puts_at_risk_what_it_is_about(kind: str, class_: str, more: int, less: int) -> None:
    found = planted(**{kind: 1})

    added, removed = added_and_removed(found)
    opened = [mark for mark in found.marks if mark.open]
    assert (len(added), len(removed)) == (more, less)
    assert {mark.class_ for mark in opened} == {class_}
    assert sum(mark.at_risk for mark in opened) > 0
    assert len(opened) == (2 if kind == "split_mismatch" else 1)


def test_a_line_in_another_currency_leaves_its_movement_open_too() -> None:
    found = planted(currency_mismatch=1)

    (wrong,), (right,) = added_and_removed(found)
    at_risk = {mark.class_: (mark.at_risk, mark.row.currency) for mark in found.marks if mark.open}
    assert wrong.currency != right.currency
    assert at_risk == {
        "currency_mismatch": (wrong.amount, wrong.currency),
        "missing_at_network": (right.amount, right.currency),
    }


@pytest.mark.parametrize("kind", ["split", "batch", "tolerated", "bad_row", "repeated_row", "fee_line"])
def test_what_is_fine_opens_nothing(kind: str) -> None:
    marks = planted(**{kind: 1}).marks

    assert marks
    assert not any(mark.open or mark.at_risk for mark in marks)


def test_a_wrong_amount_is_wrong_beyond_the_tolerance() -> None:
    found = plant(files(), {"amount_mismatch": 20, "split_mismatch": 5}, 1, tolerance)
    right = {row.line_ref: row for row in all_rows(files())}

    for mark in found.marks:
        if mark.kind == "amount_mismatch":
            expected = right[mark.line_ref].amount
            assert abs(mark.row.amount - expected) == mark.at_risk > tolerance("", mark.row.currency)
    assert all(row.amount > 0 for row in all_rows(found.files))


def test_a_split_is_what_it_was_together_also_its_fee() -> None:
    found = planted(split=1)
    added, (row,) = added_and_removed(found)

    assert [(half.sequence, half.count) for half in added] == [(1, 2), (2, 2)]
    assert sum(half.amount for half in added) == row.amount
    assert sum(half.fee for half in added) == row.fee
    assert all(half.amount > 0 for half in added)


@pytest.mark.parametrize(("kind", "too_much"), [("batch", 0), ("batch_mismatch", 100)])
def test_a_batch_is_its_members_or_more(kind: str, too_much: int) -> None:
    added, removed = added_and_removed(planted(**{kind: 1}))
    (batch,) = [row for row in added if row.type == "batch"]
    members = [row for row in added if row.type == "capture"]

    assert batch.amount == sum(member.amount for member in members) + too_much
    assert {(member.batch_ref, member.currency) for member in members} == {(batch.batch_ref, batch.currency)}
    assert len({member.network_ref for member in members}) == len(members) == len(removed) == 3


def test_the_line_that_counts_comes_before_its_duplicate() -> None:
    found = planted(duplicate_at_network=1)

    second, first = only(found, "duplicate_at_network"), only(found, "matched")
    assert f"{first.line_ref}~" < f"{second.line_ref}~"
    assert (first.row.network_ref, first.row.movement) == (second.row.network_ref, second.row.movement)


def test_tolerated_is_planted_only_where_something_is() -> None:
    found = plant(files(), {"tolerated": 3}, 1, tolerance)

    assert {mark.row.currency for mark in found.marks} == {"USD"}
    with pytest.raises(planting.NotEnough, match="tolerated"):
        plant(files(), {"tolerated": 1}, 1, lambda *_: 0)


def test_more_than_there_is_room_for_is_refused() -> None:
    with pytest.raises(planting.NotEnough, match="fee_mismatch"):
        plant(files(4, ("visa",)), {"fee_mismatch": 5}, 1, tolerance)
    with pytest.raises(planting.NotEnough, match="batch"):
        plant(files(6, ("visa",)), {"batch": 1}, 1, tolerance)


def test_a_file_that_broke_off_has_no_trailer() -> None:
    text = settlement_export.written(files()[0], "1")

    assert text.startswith(short := planting.truncated(text))
    assert "\nT," in text and "\nT," not in short
    assert planting.truncated("one line\n") == "one line\n"
