"""The counters of a profile: windows, expiry, summing over regions."""

from hypothesis import given
from hypothesis import strategies as st

from functions.fraud.history import (
    HOUR,
    LIFETIME,
    PAYMENTS_REMEMBERED,
    SCALE,
    TEN_MINUTES,
    History,
    change,
    changed,
    counted,
    merged,
    window,
)

NOON = 1_795_435_200  # 23 November 2026, 12:00 UTC: a full hour

charges = st.lists(st.tuples(st.integers(0, 10**11), st.integers(0, 40 * HOUR)), max_size=40)


def after(history: History, number: int, value: int, at: int, blocked: bool = False) -> History:
    return changed(history, change(history, f"pay_{number}", "tok_1", value, at, blocked))


@given(charges)
def test_a_window_holds_exactly_the_buckets_that_end_now(stream: list[tuple[int, int]]) -> None:
    history = History()
    ordered = sorted(stream, key=lambda charge: charge[1])
    for number, (value, offset) in enumerate(ordered):
        history = after(history, number, value, NOON + offset)
    now = NOON + (ordered[-1][1] if ordered else 0)
    for bucket, length, seconds in (("h", 24, HOUR), ("m", 6, TEN_MINUTES)):
        last = now // seconds
        inside = [value for value, offset in ordered if last - (NOON + offset) // seconds < length]
        assert window(history, bucket, last, length) == (len(inside), sum(inside))


def test_buckets_that_left_their_window_are_dropped_by_the_next_charge() -> None:
    history = after(after(History(), 1, 100, NOON), 2, 200, NOON + 30 * HOUR)
    buckets = {name for name in history.numbers if name[0] in "mh"}
    assert buckets == {f"h{NOON // HOUR + 30}", f"m{NOON // TEN_MINUTES + 180}"}
    assert history.numbers["charges"] == 2


def test_a_bucket_number_that_comes_round_is_not_mistaken_for_an_old_one() -> None:
    history = after(History(), 1, 100, NOON)
    assert window(history, "h", NOON // HOUR + 24, 24) == (0, 0)


def test_a_late_charge_counts_in_its_own_hour_and_drops_nothing_newer() -> None:
    history = after(after(History(), 1, 100, NOON), 2, 200, NOON - 5 * HOUR)
    assert window(history, "h", NOON // HOUR, 24) == (2, 300)
    assert window(history, "m", NOON // TEN_MINUTES, 6) == (1, 100)
    assert history.numbers["first_seen"] == NOON


def test_the_same_payment_changes_nothing_the_second_time() -> None:
    once = after(History(), 1, 100, NOON)
    assert counted(once, "pay_1", NOON + TEN_MINUTES)
    assert after(once, 1, 100, NOON + 60) == once
    assert not counted(once, "pay_2", NOON)


def test_remembered_payments_are_bounded() -> None:
    history = History()
    for number in range(100):
        history = after(history, number, 100, NOON + 30 * number)
    assert max(len(members) for name, members in history.sets.items() if name[0] == "p") == PAYMENTS_REMEMBERED
    assert sum(name[0] == "p" for name in history.sets) <= 2


def test_a_blocked_charge_is_an_attempt_but_no_habit() -> None:
    history = after(History(), 1, 950_000, NOON, blocked=True)
    assert window(history, "h", NOON // HOUR, 24) == (1, 950_000)
    assert {"charges", "spent", "squares", "peak"}.isdisjoint(history.numbers)


@given(charges, st.lists(st.booleans(), min_size=40, max_size=40))
def test_two_regions_together_know_what_one_would(stream: list[tuple[int, int]], in_east: list[bool]) -> None:
    alone, east, west = History(), History(), History()
    for number, (value, offset) in enumerate(sorted(stream, key=lambda charge: charge[1])):
        alone = after(alone, number, value, NOON + offset)
        if in_east[number]:
            east = after(east, number, value, NOON + offset)
        else:
            west = after(west, number, value, NOON + offset)
    both = merged([east, west])
    now = NOON + max((offset for _, offset in stream), default=0)
    for name in ("charges", "spent", "squares", "peak", "first_seen"):
        assert both.numbers.get(name) == alone.numbers.get(name)
    assert window(both, "h", now // HOUR, 24) == window(alone, "h", now // HOUR, 24)
    assert window(both, "m", now // TEN_MINUTES, 6) == window(alone, "m", now // TEN_MINUTES, 6)


def test_a_full_item_stays_below_one_write_unit() -> None:
    """DynamoDB bills a write by started KB; item sizes as in its developer guide (CapacityUnitCalculations)."""
    history = History()
    for number in range(30 * 12 * 10):  # every 30 s for more than a day, on a device with many cards
        difference = change(history, f"pay_{number}", f"tok_{number}", 99_999_99, NOON + 30 * number, False)
        history = changed(history, difference)
    keys = len("entity") + 72 + len("region") + len("ap-southeast-2") + len("expires_at") + 7
    numbers = sum(len(name) + len(str(number).rstrip("0")) // 2 + 2 for name, number in history.numbers.items())
    sets = sum(len(name) + 3 + sum(len(member) + 1 for member in members) for name, members in history.sets.items())
    assert keys + numbers + sets < 1024


def test_a_bucket_keeps_count_and_value_apart_at_the_extremes() -> None:
    packed = History({"h5": (10**12) * SCALE + SCALE - 1})
    assert window(packed, "h", 5, 24) == (SCALE - 1, 10**12)


def test_a_profile_outlives_its_last_charge_by_a_season() -> None:
    assert change(History(), "pay_1", None, 1, NOON, False).expires_at == NOON + LIFETIME
