"""When a region counts as down, and when that is followed: several signals, several rounds, and never in a flutter."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.watchman import judgement
from functions.watchman.judgement import ROUNDS, Seen, Streak
from payments import clock
from payments.shard_map import Move, Overview, State

EAST, WEST = "us-east-1", "us-west-2"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
QUIET = 30

SIGNAL = st.sampled_from([True, False, None])
SEEN = st.builds(Seen, st.booleans(), SIGNAL, SIGNAL, SIGNAL)


@given(SEEN)
def test_down_is_said_by_three_signals_with_the_tables_among_them_and_never_against_a_sign_of_life(seen):
    silent = [seen.tables, seen.health, seen.functions, seen.sign].count(False)

    assert judgement.is_down(seen) == (seen.tables is False and seen.sign is not True and silent >= 3)


@given(SEEN)
def test_one_sign_more_never_makes_a_region_down(seen):
    for name in ("tables", "health", "functions", "sign"):
        better = Seen(**{**{each: getattr(seen, each) for each in Seen.__slots__}, name: True})
        assert judgement.is_down(seen) or not judgement.is_down(better)


@pytest.mark.parametrize(
    ("seen", "down"),
    [
        (Seen(False, False, False, False), True),
        (Seen(False, None, False, False), True),  # no public address is known
        (Seen(False, False, False, None), True),  # it never gave a sign of life
        (Seen(False, None, False, None), False),  # that is two
        (Seen(False, False, False, True), False),  # cut off, and well
        (Seen(False, True, False, False), True),
        (Seen(False, True, True, False), False),
        (Seen(True, False, False, False), False),  # slow, but there
    ],
)
def test_what_counts_as_down(seen, down):
    assert judgement.is_down(seen) is down


@pytest.mark.parametrize(
    ("own", "signed", "well"),
    [
        (Seen(True, True, True), True, True),
        (Seen(True, None, True), True, True),
        (Seen(True, True, False), True, True),
        (Seen(True, False, False), True, False),
        (Seen(True, None, False), True, False),
        (Seen(False, True, True), True, False),
        (Seen(True, True, True), False, False),  # it cannot write where all regions agree: it is the one cut off
    ],
)
def test_who_is_not_well_himself_judges_nobody(own, signed, well):
    assert judgement.is_well(own, signed) is well


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 30)), max_size=30))
def test_a_streak_is_of_rounds_that_agreed_one_right_after_the_other(rounds):
    streak, now, expected = Streak(), 100.0, 0
    for agrees, pause in rounds:
        now += pause
        streak = judgement.counted(streak, agrees, now, 8)
        expected = (expected + 1 if pause <= 8 or not expected else 1) if agrees else 0
        assert streak.rounds == expected


def overview(newest=None, **states):
    regions = (EAST, WEST)
    return Overview(newest, {name: State(name, states.get(name.split("-")[1], "serving")) for name in regions}, {})


def move(minutes_ago, state="done", action="restore"):
    at = clock.timestamp(NOW - timedelta(minutes=minutes_ago))
    return Move(3, "mov_3", action, EAST, "somebody", "because", at, state, ended_at=at if state == "done" else None)


def test_nothing_stands_against_the_first_failover():
    assert judgement.doubts(EAST, WEST, overview(), NOW, QUIET) == []


@given(st.floats(0, 120), st.sampled_from(["fail", "restore"]))
def test_after_any_move_no_other_follows_by_itself_for_a_while(minutes, action):
    doubts = judgement.doubts(EAST, WEST, overview(move(minutes, action=action)), NOW, QUIET)

    assert bool(doubts) == (minutes < QUIET) or abs(minutes - QUIET) < 0.001


def test_a_move_that_is_running_is_waited_for_however_old():
    (doubt,) = judgement.doubts(EAST, WEST, overview(move(600, "running")), NOW, QUIET)

    assert doubt == "move 3 is running"


def test_the_last_serving_region_stays_whatever_is_seen():
    assert judgement.doubts(WEST, EAST, overview(east="failed"), NOW, QUIET) == [
        "this region is sent no traffic itself",
        "no other region is serving",
    ]


def test_three_rounds_are_asked_for():
    """Both numbers are promises of docs/operations.md."""
    assert (judgement.ROUNDS, judgement.SIGNALS) == (ROUNDS, 3) == (3, 3)
