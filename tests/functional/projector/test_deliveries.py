"""Exactly once, whatever the event source does: repeats, longer and shorter batches, lost answers, late ones, two at a
time, and the end of the function between any two of its calls.
"""

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.projector import chunks, dynamodb, feed
from payments import accounts, clients, proofs
from payments.journal import transfer
from tests.functional.projector.stream import (
    DAYS,
    HERE,
    Crash,
    balances,
    cleared,
    crash_at,
    deliver,
    expected,
    history,
    item,
    journal,
    merchant,
    random_stream,
    record,
    settlement_feed,
)


def check(written):
    """All that the projector keeps is what it must be after these journals."""
    assert balances() == expected(written)
    assert sorted(map(proofs.canonical, history().values())) == sorted(map(proofs.canonical, written))
    lines = [line for lines in feed.read(feed.first(10_000, 10**9)).values() for line in lines]
    assert sorted(lines) == sorted(proofs.canonical(found) for found in written if found["region"] == HERE)
    assert fed_to_reconciliation() == cleared(written)


def fed_to_reconciliation():
    """Every fact once, however often it was put."""
    name = ("payment_id", "journal_id", "kind", "currency", "at")
    named = {}
    for fact in (fact for facts in settlement_feed().values() for fact in facts):
        named.setdefault(tuple(fact[part] for part in name), set()).add(tuple(fact.items()))
    assert all(len(found) == 1 for found in named.values()), "a fact was told in two ways"
    return {key: dict(fact)["amount"] for key, (fact,) in named.items()}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Transactions and requests of few items, so that few records make many calls."""
    monkeypatch.setattr(chunks, "MOST_BALANCES", 5)
    monkeypatch.setattr(dynamodb, "MOST_WRITES", 3)


def captured(found):
    """The journal, with an amount that a network then owes."""
    owed = transfer(accounts.network("visa"), accounts.BANK, 7, "USD")
    return replace(found, entries=(*found.entries, *owed))


def different_merchants(length):
    """A stream whose batches take several chunks."""
    made = [item(captured(journal(n, merchant(n), at=DAYS[n > 7]))) for n in range(length)]
    return [record(100 + 3 * n, found) for n, found in enumerate(made)], made


def crashes(n, after, batch):
    """Whether the delivery came as far as its n-th call and ended there."""
    with crash_at(n, after=after):
        try:
            deliver(batch)
        except Crash:
            return True
    return False


@pytest.mark.parametrize("after", [False, True], ids=["call not made", "answer lost"])
@pytest.mark.parametrize("again", [9, 12, 5], ids=["same", "longer", "shorter"])
def test_a_crash_at_any_call_is_made_good_by_the_next_delivery(remake_tables, again, after):
    records, made = different_merchants(12)
    for n in count():
        remake_tables()
        crashed = crashes(n, after, records[:9])
        deliver(records[:again])
        if again < 12:
            deliver(records[again:])
        check(made)
        if not crashed:
            break
    assert n > 8, "nothing was interrupted"


@pytest.mark.parametrize("after", [False, True], ids=["call not made", "answer lost"])
def test_a_crash_while_what_is_counted_is_handed_over_is_made_good(remake_tables, after):
    records, made = different_merchants(12)
    for n in count():
        remake_tables()
        deliver(records[:8])
        crashed = crashes(n, after, records[:3])
        if crashed:
            deliver(records[:5])
            deliver(records[5:7])
            deliver(records[7:])
        else:
            deliver(records[3:])
        check(made)
        if not crashed:
            break
    assert n > 1


def test_batches_cut_short_again_and_again_count_nothing_twice(tables):
    records, made = different_merchants(30)

    deliver(records[:20])
    deliver(records[:15])
    deliver(records[:10])
    deliver(records[:5])
    deliver(records[:25])
    deliver(records[:3])
    deliver(records[3:10])
    deliver(records[3:5])
    deliver(records[5:28])
    deliver(records[5:12])
    deliver(records[12:])

    check(made)


steps = st.lists(
    st.tuples(
        st.integers(1, 12),
        st.none() | st.tuples(st.integers(0, 12), st.booleans()),
        st.booleans(),
        st.none() | st.tuples(st.integers(0, 12), st.integers(1, 20)),
    ),
    max_size=12,
)
"""Of each delivery: how many records; at which call it crashes and how; whether its answer arrives; and which delivery
from an earlier start comes after it, late."""


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), length=st.integers(1, 40), steps=steps)
def test_any_deliveries_of_any_stream_add_up(remake_tables, seed, length, steps):
    """As the event source does it: from where the last batch ended whose answer arrived."""
    remake_tables()
    records, written = random_stream(seed, length)
    starts = [0]
    for size, crash, arrives, late in [*steps, (length, None, True, None)]:
        batch = records[starts[-1] : starts[-1] + size]
        if not batch:
            break
        ended = not (crashes(*crash, batch) if crash else deliver(batch))
        if ended and arrives:
            starts.append(starts[-1] + len(batch))
        if late:
            start = starts[late[0] % len(starts)]
            deliver(records[start : start + late[1]] or batch)
    check(written)


def interleaved(n, first, second):
    """`second` is delivered as a whole before the n-th call of `first`. Which of them came to a good end, and whether
    they met at all."""
    ended, calls = [], []

    def meet(**_):
        calls.append(None)
        if len(calls) == n + 1:
            attempt("second", second)

    def attempt(name, batch):
        try:
            deliver(batch)
            ended.append(name)
        except clients.client("dynamodb").exceptions.TransactionCanceledException:
            pass

    events = clients.client("dynamodb").meta.events
    events.register("before-call", meet)
    try:
        attempt("first", first)
    finally:
        events.unregister("before-call", meet)
    return ended, len(calls) > n


@pytest.mark.parametrize("before", [0, 5], ids=["fresh", "repeated"])
@pytest.mark.parametrize("trusted", ["first", "second"])
@pytest.mark.parametrize(("one", "other"), [(8, 8), (3, 8), (8, 3), (4, 8), (8, 4), (5, 7)])
def test_two_deliveries_of_one_batch_count_it_once(remake_tables, one, other, trusted, before):
    """Whichever of the two the event source takes for the one that counts."""
    records, made = different_merchants(11)
    for n in count():
        remake_tables()
        if before:
            deliver(records[:before])
        ended, met = interleaved(n, records[:one], records[:other])
        assert ended, "one of them wins"
        following = (one if trusted == "first" else other) if trusted in ended else 0
        deliver(records[following:])
        check(made)
        if not met:
            break
    assert n > 1
