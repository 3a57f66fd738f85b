"""A part that is divided comes to what it comes to whole."""

from collections import Counter
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.reconciliation import database, dividing
from functions.reconciliation.exchange import Booking, OpenClaim, Summary, Total
from functions.reconciliation.matching import Part
from tests.unit.reconciliation import matched_runs
from tests.unit.reconciliation.strategies import AS_OF, fact, in_files, line, payment, worlds
from tests.unit.reconciliation.test_matching import ledger_of, many

few = settings(many, max_examples=3)


@pytest.fixture
def shared(monkeypatch, tmp_path):
    """Has runs matched in shares of so many rows; tells in how many each was."""
    shares, number, stack = [], count(), ExitStack()

    def opened(name: str):
        return database.opened(tmp_path / f"duckdb-{next(number)}-{name}", "300MB", 1)

    def divide(most_rows: int | None, consume: bool = False):
        def part(connection, inputs, agreed, as_of):
            place: Path = tmp_path / f"shares-{next(number)}"
            made = stack.enter_context(
                dividing.matching(opened, place, inputs, agreed, as_of, most_rows, consume=consume)
            )
            shares.append(len(made._shares) if isinstance(made, dividing.DividedPart) else 1)
            return made

        shares.clear()
        monkeypatch.setattr(matched_runs, "Part", part if most_rows else Part)
        return shares

    with stack:
        yield divide


def after_two_runs(begin, world, random):
    runs = begin()
    facts, lines = in_files(random, world.facts, 2), in_files(random, world.lines, 2)
    for turn in range(2):
        runs.run(AS_OF, facts[turn : turn + 1], lines[turn : turn + 1], ledger_of(world), introduced=True)
    for row in runs.open()[:2]:
        runs.decide(row)
    runs.run(AS_OF, [], lines[:1], introduced=True)
    return runs


@given(worlds(), st.integers(0, 2**32), st.sampled_from((60, 200)))
@few
def test_shares_come_to_what_the_whole_comes_to(begin, shared, world, seed, most_rows):
    from random import Random

    shared(None)
    whole = after_two_runs(begin, world, Random(seed))
    shares = shared(most_rows)
    divided = after_two_runs(begin, world, Random(seed))

    assert max(shares) > 1 or len(world.facts) + len(world.lines) <= most_rows
    assert divided.told == whole.told
    assert divided.booked == whole.booked
    assert divided.claims == whole.claims


@pytest.mark.parametrize("consume", [True, False])
def test_files_are_removed_once_they_are_divided_only_where_they_are_to_be_consumed(begin, shared, tmp_path, consume):
    paid = [payment(f"p{number}") for number in range(12)]
    shares = shared(10, consume)

    lines = [line(f"L{number}", "capture", 1000, one) for number, one in enumerate(paid)]
    begin().run(AS_OF, [[fact(one, "capture", 1000, AS_OF) for one in paid]], [lines])

    assert shares[0] > 2
    assert bool(list(tmp_path.rglob("facts-0")) or list(tmp_path.rglob("lines-0"))) is not consume


def test_a_batch_and_its_members_are_compared_though_their_payments_are_in_other_shares(begin, shared):
    paid = [payment(f"p{number}") for number in range(12)]
    members = [line(f"L{number}", "capture", 1000, one, batch_ref="B1") for number, one in enumerate(paid)]
    batch = line("L99", "batch", 12_000, batch_ref="B1")
    shares = shared(10)

    runs = begin()
    runs.run(AS_OF, [[fact(one, "capture", 1000, AS_OF) for one in paid]], [[*members, batch]])

    assert shares[0] > 2
    assert Counter(row["class"] for row in runs.told.values() if row["type"] == "batch") == {"batch": 1}
    assert {row["settled"] for row in runs.told.values() if row["type"] == "capture"} == {1000}


def test_sums_of_shares_are_added_and_what_cancels_out_is_not_booked():
    total = Total(None, "matched", "capture", "visa", "USD", 1, 10, 9, -1, 2, 0)
    of_nobody = Total(None, "network_fee", "fee", None, "USD", 1, 0, 5, 5, 0, 0)
    first = Summary(
        [total, of_nobody], [], [Booking(1, "visa", "USD", 10, 0, 2, 1)], [OpenClaim("visa", "USD", 5)], {"lost": 0}
    )
    other = Summary(
        [total], [], [Booking(1, "visa", "USD", -10, 0, -2, -1)], [OpenClaim("visa", "USD", -5)], {"lost": 0}
    )

    added = dividing.together([first, other])

    assert added.totals == [Total(None, "matched", "capture", "visa", "USD", 2, 20, 18, -2, 4, 0), of_nobody]
    assert (added.bookings, added.open_claims, added.counts) == ([], [], {"lost": 0})
