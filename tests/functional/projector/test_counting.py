"""Balances, history and feed of batches that arrive as they should: every journal once, in every place it belongs."""

import random

import pytest

from functions.projector import chunks, feed
from payments import clients, proofs
from payments.journal import Phase
from tests.functional.projector.stream import (
    DAYS,
    HERE,
    THERE,
    balances,
    deliver,
    expected,
    history,
    item,
    journal,
    merchant,
    random_stream,
    record,
    scan,
)


def fed():
    """Every line of the feed, in its order."""
    return [line for lines in feed.read(feed.first(1000, 10**9)).values() for line in lines]


@pytest.fixture
def calls():
    """Requests to DynamoDB by operation, as they are made."""
    made = []
    events = clients.client("dynamodb").meta.events

    def note(params, model, **_):
        made.append((model.name, params))

    events.register("provide-client-params.dynamodb", note)
    yield made
    events.unregister("provide-client-params.dynamodb", note)


def test_pending_amounts_become_posted_or_are_released(tables):
    steps = [(Phase.PENDING, 150), (Phase.POST_PENDING, 100), (Phase.VOID_PENDING, 50)]

    deliver([record(n, item(journal(n, phase=phase, amount=amount))) for n, (phase, amount) in enumerate(steps, 1)])

    assert balances()[f"merchant:{merchant(1)}", "USD#2026-11-23"] == {"credits_pending": 0, "credits_posted": 100}


def test_balances_are_per_account_currency_and_day(tables):
    deliver(
        [
            record(1, item(journal(1, amount=1))),
            record(2, item(journal(2, amount=2, at=DAYS[0]))),
            record(3, item(journal(3, amount=4, currency="JPY"))),
            record(4, item(journal(4, merchant(2), amount=8))),
        ]
    )

    merchants = {key: found["credits_posted"] for key, found in balances().items() if key[0].startswith("merchant:")}
    assert merchants == {
        (f"merchant:{merchant(1)}", "USD#2026-11-23"): 1,
        (f"merchant:{merchant(1)}", "USD#2026-11-22"): 2,
        (f"merchant:{merchant(1)}", "JPY#2026-11-23"): 4,
        (f"merchant:{merchant(2)}", "USD#2026-11-23"): 8,
    }


def test_a_stream_of_random_journals_adds_up_and_its_shards_balance(tables):
    found, written = random_stream(seed=1, length=150)

    deliver(found)

    assert balances() == expected(written)
    for (account, _), counters in balances().items():
        if account.startswith("shard:"):
            for phase in ("pending", "posted"):
                debits = sum(n for name, n in counters.items() if name.endswith(f"/debits_{phase}"))
                assert debits == sum(n for name, n in counters.items() if name.endswith(f"/credits_{phase}"))


def test_the_other_regions_copy_of_a_journal_is_not_counted_again(tables):
    deliver([record(1, item(journal(1)))])
    deliver([record(2, item(journal(1), THERE), "MODIFY")])

    assert balances() == expected([item(journal(1))])
    assert [found["region"] for found in history().values()] == [HERE]


def test_journals_of_both_regions_are_counted_and_shown_but_only_our_own_are_sealed_here(tables):
    ours, theirs = item(journal(1), HERE), item(journal(2), THERE)

    deliver([record(1, ours), record(2, theirs)])

    assert balances() == expected([ours, theirs])
    assert len(history()) == 2
    assert fed() == [proofs.canonical(ours)]


def test_a_batch_of_the_other_regions_journals_leaves_no_item_in_the_feed(tables):
    deliver([record(1, item(journal(1), THERE))])

    assert scan("proofs") == []


def test_history_has_every_journal_under_its_merchant_by_time(tables):
    made = [item(journal(n, merchant(n % 2), at=DAYS[n % 2])) for n in range(60)]

    deliver([record(n + 1, found) for n, found in enumerate(made)])

    found = history()
    assert len(found) == 60
    for (bucket, position), shown in found.items():
        assert shown in made
        assert position == f"{shown['created_at']}#{shown['payment_id']}#{shown['journal_id']}"
        owner, _, number = bucket.partition("#")
        assert any(entry["account"] == f"merchant:{owner}" for entry in shown["entries"])
        assert int(number) in range(8)
    assert len({bucket for bucket, _ in found}) > 2, "a merchant's history is spread over partitions"


def test_a_hot_merchants_thousand_journals_are_one_update_of_its_balance(tables, calls):
    made = [item(journal(n)) for n in range(1000)]

    deliver([record(n + 1, found) for n, found in enumerate(made)])

    written = [write for name, request in calls if name == "TransactWriteItems" for write in request["TransactItems"]]
    touched = [write["Update"]["Key"]["account"]["S"] for write in written if "Update" in write]
    transactions = [name for name, _ in calls].count("TransactWriteItems")
    assert touched.count(f"merchant:{merchant(1)}") == transactions
    assert transactions <= 3, "only the feed's size limits a hot merchant's chunk"
    assert balances() == expected(made)


def test_the_largest_batch_of_all_different_merchants_is_counted_in_chunks_that_fit(tables, calls):
    made = [item(journal(n, merchant(n))) for n in range(200)]

    deliver([record(n + 1, found) for n, found in enumerate(made)])

    transactions = [request["TransactItems"] for name, request in calls if name == "TransactWriteItems"]
    assert all(len(writes) <= 100 for writes in transactions)
    assert len(transactions) <= 5
    assert balances() == expected(made)
    assert sorted(fed()) == sorted(map(proofs.canonical, made))


def test_large_journals_end_a_chunk_before_its_item_of_the_feed_is_too_large(tables):
    chance = random.Random(1)
    made = [{**item(journal(n)), "reason": f"{chance.getrandbits(8 * 20_000):x}"} for n in range(20)]

    deliver([record(n + 1, found) for n, found in enumerate(made)])

    sizes = [len(found["journals"]["B"]) for found in scan("proofs")]
    assert len(sizes) > 1
    assert max(sizes) <= chunks.MOST_FEED_BYTES
    assert sorted(fed()) == sorted(map(proofs.canonical, made))
    assert balances() == expected(made)


def test_characters_that_end_lines_elsewhere_do_not_end_a_journal(tables):
    made = {**item(journal(1)), "reason": 'a\nb\rc\x85d\u2028e\x1ef"\\'}

    deliver([record(1, made), record(2, item(journal(2)))])

    assert fed() == [proofs.canonical(made), proofs.canonical(item(journal(2)))]


def test_one_journal_twice_in_a_batch_is_one_row_of_history(tables):
    made = item(journal(1))

    deliver([record(1, made), record(2, made)])

    assert list(history().values()) == [made]


def test_the_feed_is_read_in_the_order_of_the_stream(tables):
    numbers = [9, 10, 99, 100, 10**30]

    for n in numbers:
        deliver([record(n, item(journal(n)))])

    assert [proofs.canonical(item(journal(n))) for n in numbers] == fed()


def test_markers_expire_after_the_stream_has_forgotten_the_batch_and_balances_never(tables):
    deliver([record(1, item(journal(1)))])

    for found in scan("balances"):
        assert ("expires_at" in found) is found["account"]["S"].startswith("batch#")
