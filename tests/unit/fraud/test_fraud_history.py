"""The counters of a profile: windows, expiry, summing over regions, samples of crowds, confirmed frauds."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.fraud.history import (
    CARDS_REMEMBERED,
    DAY,
    DAYS,
    EXACT,
    FIVE_DAYS,
    FRAUDS,
    HABITS_REMEMBERED,
    HOUR,
    HOURS,
    LIFETIME,
    MERCHANT_DAYS,
    MINUTES,
    PAYMENTS_REMEMBERED,
    QUIET_FRAUDS,
    RINGS,
    SCALE,
    TEN_MINUTES,
    Fact,
    History,
    change,
    changed,
    confirmed,
    counted,
    merged,
    weight,
    window,
)

NOON = 1_795_435_200  # 23 November 2026, 12:00 UTC: a full hour

charges = st.lists(st.tuples(st.integers(0, 10**11), st.integers(0, 40 * DAY)), max_size=40)


def fact(number: int, value: int, at: int, blocked: bool = False) -> Fact:
    return Fact(f"pay_{number}", value, at, blocked, tried={"cards": f"c{number:03}"})


def after(history: History, number: int, value: int, at: int, blocked: bool = False, kind: str = "card") -> History:
    return changed(history, change(kind, history, fact(number, value, at, blocked)))


@given(charges, st.sampled_from([10 * TEN_MINUTES, 3 * DAY, 40 * DAY]))
def test_a_window_holds_exactly_the_buckets_that_end_now(stream: list[tuple[int, int]], span: int) -> None:
    history = History()
    ordered = sorted([(value, offset % span) for value, offset in stream], key=lambda charge: charge[1])
    for number, (value, offset) in enumerate(ordered):
        history = after(history, number, value, NOON + offset)
    now = NOON + (ordered[-1][1] if ordered else 0)
    for ring in RINGS["card"]:
        last = now // ring.seconds
        inside = [value for value, offset in ordered if last - (NOON + offset) // ring.seconds < ring.length]
        assert window(history, ring, now, ring.length) == (len(inside), sum(inside))


def test_buckets_that_left_their_window_are_dropped_by_the_next_charge() -> None:
    history = after(after(History(), 1, 100, NOON), 2, 200, NOON + 30 * HOUR)
    buckets = {name for name in history.numbers if name[0] in "mh"}
    assert buckets == {f"h{NOON // HOUR + 30}", f"m{NOON // TEN_MINUTES + 180}"}
    assert window(history, DAYS, NOON + 30 * HOUR, 7) == (2, 300)
    assert history.numbers["charges"] == 2


def test_a_bucket_number_that_comes_round_is_not_mistaken_for_an_old_one() -> None:
    history = after(History(), 1, 100, NOON)
    assert window(history, HOURS, NOON + DAY, 24) == (0, 0)


def test_a_late_charge_counts_in_its_own_hour_and_drops_nothing_newer() -> None:
    history = after(after(History(), 1, 100, NOON), 2, 200, NOON - 5 * HOUR)
    assert window(history, HOURS, NOON, 24) == (2, 300)
    assert window(history, MINUTES, NOON, 6) == (1, 100)
    assert history.numbers["first_seen"] == NOON


def test_the_same_payment_changes_nothing_the_second_time() -> None:
    once = after(History(), 1, 100, NOON)
    assert counted(once, "pay_1", NOON + TEN_MINUTES)
    assert after(once, 1, 100, NOON + 60) == once
    assert not counted(once, "pay_2", NOON)


def test_what_is_remembered_is_bounded() -> None:
    history = History()
    for number in range(100):
        told = Fact(f"pay_{number}", 1, NOON + number, False, False, {"cards": f"{number}"}, {"emails": f"{number}"})
        history = changed(history, change("customer", history, told))
    assert len(history.sets["cards"]) == CARDS_REMEMBERED
    assert len(history.sets["emails"]) == HABITS_REMEMBERED
    assert max(len(members) for name, members in history.sets.items() if name[0] == "p") == PAYMENTS_REMEMBERED


def test_a_blocked_charge_is_an_attempt_but_no_habit() -> None:
    told = Fact("pay_1", 950_000, NOON, True, False, {"cards": "mine"}, {"emails": "thief"})
    history = changed(History(), change("customer", History(), told))
    assert window(history, HOURS, NOON, 24) == (1, 950_000)
    assert {"charges", "spent", "squares", "peak", "first_seen"}.isdisjoint(history.numbers)
    assert (history.sets["cards"], history.sets.get("emails")) == ({"mine"}, None)


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
    for ring in RINGS["card"]:
        assert window(both, ring, now, ring.length) == window(alone, ring, now, ring.length)


@given(st.data())
def test_copies_that_arrive_late_and_out_of_order_end_in_the_same_sums(data: st.DataObject) -> None:
    """Each region ships whole items; the other keeps the newest it has seen, whatever the order of arrival."""
    stream = data.draw(st.lists(st.tuples(st.booleans(), st.integers(1, 9999), st.integers(0, 20 * DAY)), min_size=1))
    versions: dict[str, list[History]] = {"east": [History()], "west": [History()]}
    for number, (in_east, value, offset) in enumerate(sorted(stream, key=lambda charge: charge[2])):
        own = versions["east" if in_east else "west"]
        own.append(after(own[-1], number, value, NOON + offset))
    arrivals = data.draw(st.permutations([(region, n) for region, own in versions.items() for n in range(len(own))]))
    replica = {"east": 0, "west": 0}
    for region, version in arrivals:
        replica[region] = max(replica[region], version)
        seen = merged(versions[name][newest] for name, newest in replica.items())
        assert seen.numbers.get("charges", 0) == sum(replica.values())
    assert merged(versions[name][newest] for name, newest in replica.items()) == merged(
        own[-1] for own in versions.values()
    )
    now = NOON + max(offset for _, _, offset in stream)
    inside = [value for _, value, offset in stream if now // DAY - (NOON + offset) // DAY < 7]
    assert window(seen, DAYS, now, 7) == (len(inside), sum(inside))


def _item_bytes(history: History) -> int:
    """As in DynamoDB's developer guide, "Item sizes and formats": names, and a byte per two digits and one more."""
    keys = len("entity") + 72 + len("region") + len("ap-southeast-2") + len("expires_at") + 7
    numbers = sum(len(name) + (len(str(number).strip("0-")) + 1) // 2 + 1 for name, number in history.numbers.items())
    sets = sum(len(name) + 3 + sum(len(member) + 1 for member in members) for name, members in history.sets.items())
    return keys + numbers + sets


@pytest.mark.parametrize(("kind", "seconds", "most"), [("card", 2000, 1024), ("customer", 2000, 1024),
                                                       ("device", 30, 1024), ("ip", 30, 1024), ("email", 30, 1024),
                                                       ("merchant", 600, 1024)])  # fmt: skip
def test_a_busy_item_stays_below_one_write_unit(kind: str, seconds: int, most: int) -> None:
    """DynamoDB bills a write by started KB. Charges of some 1,000 dollars at this interval, 40 days (2, if short)."""
    history = History()
    span = 40 * DAY if seconds > 100 else 2 * DAY
    for number, at in enumerate(range(NOON, NOON + span, seconds)):
        tried = {"cards": f"{number:04}"}
        habits = (
            {}
            if kind != "card"
            else {"merchants": f"{number:04}", "countries": f"{number:02}"[:2], f"g{at // DAY}": "US"}
        )
        told = Fact(f"pay_{number}", 99_999, at, False, number % 50 == 0 and kind == "card",
                    tried if kind != "card" else {}, habits)  # fmt: skip
        history = changed(history, change(kind, history, told))
    assert _item_bytes(history) < most


def test_a_bucket_keeps_count_and_value_apart_at_the_extremes() -> None:
    packed = History({f"h{NOON // HOUR}": (10**12) * SCALE + SCALE - 1})
    assert window(packed, HOURS, NOON, 24) == (SCALE - 1, 10**12)


def test_a_profile_outlives_its_last_charge_by_a_season() -> None:
    assert change("card", History(), fact(1, 1, NOON)).expires_at == NOON + LIFETIME


def _crowd(kind: str, number: int) -> tuple[History, int]:
    history, writes = History(), 0
    for charge in range(number):
        times = weight(kind, history, f"pay_{charge}", NOON)
        if times:
            writes += 1
            history = changed(history, change(kind, history, Fact(f"pay_{charge}", 1000, NOON, False), times))
    return history, writes


def test_a_crowded_merchant_is_counted_in_samples_that_keep_the_sums_true() -> None:
    exact, writes = _crowd("merchant", EXACT)
    assert (exact.numbers["charges"], writes) == (EXACT, EXACT)
    history, writes = _crowd("merchant", 60_000)
    assert history.numbers["charges"] == pytest.approx(60_000, rel=0.2)
    assert history.numbers["spent"] == 1000 * history.numbers["charges"]
    assert window(history, MERCHANT_DAYS, NOON, 1)[0] == history.numbers["charges"]
    assert writes < 1500


def test_a_card_is_never_sampled() -> None:
    history, writes = _crowd("card", 3 * EXACT)
    assert history.numbers["charges"] == writes == 3 * EXACT


def test_the_choice_of_a_sample_is_the_payments_own() -> None:
    crowded = History({f"d{NOON // DAY}": 50 * EXACT})
    chosen = [weight("merchant", crowded, f"pay_{number}", NOON) for number in range(4000)]
    assert chosen == [weight("merchant", crowded, f"pay_{number}", NOON + 60) for number in range(4000)]
    assert set(chosen) == {0, 64}
    assert sum(chosen) == pytest.approx(4000, rel=0.4)


def test_a_confirmed_fraud_is_no_habit_and_counts_on_its_own_day() -> None:
    honest = after(History(), 1, 4000, NOON, kind="merchant")
    fooled = after(honest, 2, 90_000, NOON + 60, kind="merchant")
    label = confirmed("merchant", fooled, fact(2, 90_000, NOON + 60), NOON + 9 * DAY)
    known = changed(fooled, label)
    assert _habit(known) == _habit(honest)
    assert known.numbers["frauds"] == known.numbers[f"{FRAUDS.letter}{NOON // DAY}"] == 1
    assert known.numbers[f"{QUIET_FRAUDS.letter}{NOON // DAY}"] == 1
    assert window(known, MERCHANT_DAYS, NOON, 1)[0] == 2
    assert changed(known, label) == known


def _habit(history: History) -> list[int]:
    return [history.numbers[name] for name in ("charges", "spent", "squares")]


def test_labels_come_in_any_order_and_the_newest_charge_is_kept() -> None:
    history = after(after(History(), 1, 100, NOON), 2, 200, NOON + DAY)
    labels = [fact(1, 100, NOON), fact(2, 200, NOON + DAY)]
    ends = set[Mapping[str, int] | int]()
    for order in (labels, labels[::-1]):
        known = history
        for label in order:
            known = changed(known, confirmed("card", known, label, NOON + 8 * DAY))
        ends.add(tuple(sorted(known.numbers.items())))  # type: ignore[arg-type]
        assert (known.numbers["charges"], known.numbers["spent"], known.numbers["fraud_at"]) == (0, 0, NOON + DAY)
    assert len(ends) == 1


def test_a_label_after_the_season_of_its_bucket_still_counts_for_the_card_and_makes_no_bucket() -> None:
    label = confirmed("merchant", History(), fact(1, 100, NOON), NOON + 60 * DAY)
    assert not [name for name in label.add if name[0] in "fq" and name[1:].isdecimal()]
    assert label.add["frauds"] == 1


def test_thirty_days_are_told_by_five_day_buckets() -> None:
    history = History()
    for number in range(60):
        history = after(history, number, 100, NOON + number * DAY)
    count, value = window(history, FIVE_DAYS, NOON + 59 * DAY, 6)
    assert 26 <= count <= 30
    assert value == 100 * count
    assert all(a < b for a, b in pairwise(sorted(int(n[1:]) for n in history.numbers if n[0] == "w")))
