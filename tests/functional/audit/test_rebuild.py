"""`payments ledger rebuild`: what the projector kept equals what the ledger sums up to, or is put right."""

from datetime import UTC, datetime

import pytest

from local.ledger import Refused
from local.ledger_rebuild import Rebuild
from payments import accounts, identifiers, projection, records
from tests.functional.audit.conftest import EAST, KEYS, NOW, WEST, life, typed

PERIOD = "USD#2026-11-22"
SHARD = projection.shard_account(identifiers.merchant_shard("mer_a"))


@pytest.fixture
def work(projected, tmp_path):
    return Rebuild(projected.regions[EAST], tmp_path, lambda seconds: None, lambda: NOW)


def change(world, account, name, amount, period=PERIOD):
    world.regions[EAST].dynamodb.update_item(
        TableName="balances",
        Key=typed({"account": account, "period": period}),
        UpdateExpression="ADD #name :amount",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues=typed({":amount": amount}),
    )


def delete(world, table, item):
    key = {name: item[name] for name in KEYS[table]}
    world.regions[EAST].dynamodb.delete_item(TableName=table, Key=key)


def test_rebuilt_equals_incremental(work):
    outcome = work.compare()
    assert outcome.equal and not outcome.moving
    assert (outcome.journals, outcome.items, outcome.rows) == (20, 4, 20)


@pytest.mark.parametrize(
    ("account", "name"),
    [
        (accounts.merchant("mer_a"), "credits_posted"),
        (accounts.merchant("mer_b"), "debits_pending"),
        (SHARD, "customers/credits_posted"),
        (SHARD, "bank:platform/debits_posted"),
        (accounts.merchant("mer_unknown"), "credits_posted"),
    ],
)
def test_a_difference_is_named_and_put_right(projected, work, account, name):
    change(projected, account, name, 1)
    outcome = work.compare()
    (difference,) = outcome.differences
    assert difference.key == (account, PERIOD) and name in str(difference)
    assert work.write(outcome) == (1, 0)
    assert work.compare().equal


def test_a_lost_item_is_named_and_put_back(projected, work):
    delete(projected, "balances", typed({"account": SHARD, "period": PERIOD}))
    outcome = work.compare()
    assert [difference.key for difference in outcome.differences] == [(SHARD, PERIOD)]
    work.write(outcome)
    assert work.compare().equal


def test_an_item_in_another_period_is_named(projected, work):
    change(projected, SHARD, "customers/credits_posted", 5, "USD#2026-11-21")
    assert [found.key[1] for found in work.compare().differences] == ["USD#2026-11-21"]


def test_everything_lost_is_rebuilt(projected, work):
    for table in ("balances", "accounts"):
        for page in projected.regions[EAST].scan(table):
            for item in page:
                delete(projected, table, item)
    outcome = work.compare()
    assert (len(outcome.differences), len(outcome.missing)) == (4, 20)
    with pytest.raises(Refused, match="projector seems to be behind"):
        Rebuild(projected.regions[EAST], work._file.parent, now=lambda: datetime(2026, 11, 23, tzinfo=UTC)).write(
            outcome
        )
    work.write(outcome, unseen_too=True)
    again = work.compare()
    assert again.equal and again.rows == 20


def test_what_the_projector_counts_late_is_no_difference(projected, work):
    journals = life("key-9")
    projected.write(journals)
    work._sleep = lambda seconds: projected.project()
    outcome = work.compare()
    assert outcome.equal and not outcome.moving


def test_what_goes_on_changing_is_moving_and_is_not_written(projected, work):
    work._sleep = lambda seconds: change(projected, SHARD, "customers/credits_posted", 1)
    change(projected, SHARD, "customers/credits_posted", 1)
    outcome = work.compare()
    assert outcome.equal and [found.key for found in outcome.moving] == [(SHARD, PERIOD)]
    assert work.write(outcome) == (0, 0)


def test_an_item_that_changed_since_is_not_written_over(projected, work):
    change(projected, SHARD, "customers/credits_posted", 1)
    change(projected, SHARD, "bank:platform/credits_posted", 1)
    outcome = work.compare()
    change(projected, SHARD, "customers/credits_posted", 4)
    assert work.write(outcome) == (0, 0)
    assert not work.compare().equal


def test_a_changed_row_of_history_is_named_and_put_right(projected, work):
    region = projected.regions[EAST]
    row = next(iter(next(page for page in region.scan("accounts") if page)))
    changed = records.plain(row)
    changed["journal"]["entries"][0]["amount"] += 1
    region.dynamodb.put_item(TableName="accounts", Item=typed(changed))
    outcome = work.compare()
    assert list(outcome.missing) == [(changed["account"], changed["position"])]
    work.write(outcome, unseen_too=True)
    assert work.compare().equal


def test_history_of_a_journal_that_the_other_region_replaced_is_not_missing(projected, work):
    region = projected.regions[EAST]
    for created_at in ("2026-11-22T10:00:01.000Z", "2026-11-22T10:00:09.000Z"):
        item = region.journals(identifiers.payment_id("mer_a", "key-1"))[1]
        projected.replace(typed(item), typed(item | {"region": WEST, "created_at": created_at}))
        assert work.compare().missing == {}


def test_what_is_no_journal_is_named(projected, work):
    item = typed({"payment_id": "pay_x", "journal_id": "y", "kind": "charge"})
    projected.regions[EAST].dynamodb.put_item(TableName="ledger", Item=item)
    outcome = work.compare()
    assert not outcome.equal and outcome.unreadable[0].startswith("pay_x#y")


def test_an_unbalanced_journal_is_counted_like_any_other(projected, work):
    item = records.journal_record(life("odd")[0], EAST)
    item["entries"] = item["entries"][:1]
    projected.write([])
    for region in projected.regions.values():
        region.dynamodb.put_item(TableName="ledger", Item=typed(item))
    assert not work.compare().equal
    projected.project()
    assert work.compare().equal


def test_a_period_is_the_sum_of_its_lanes_and_is_put_right_beside_them(projected, work):
    """The projector spreads what several of its containers write at once."""
    dynamodb, first = projected.regions[EAST].dynamodb, typed({"account": accounts.merchant("mer_a"), "period": PERIOD})
    lane = dynamodb.get_item(TableName="balances", Key=first)["Item"] | typed({"period": PERIOD + "#7"})
    dynamodb.put_item(TableName="balances", Item=lane)
    delete(projected, "balances", first)
    assert work.compare().equal

    dynamodb.put_item(TableName="balances", Item=lane | typed({"credits_posted": 1}))
    outcome = work.compare()
    assert [difference.key for difference in outcome.differences] == [(accounts.merchant("mer_a"), PERIOD)]
    assert work.write(outcome) == (1, 0)

    assert work.compare().equal
