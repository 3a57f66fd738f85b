"""`payments ledger restore`: the archive is the whole ledger, so a lost table comes back from it."""

import pytest

from local.ledger import Read, Refused
from local.ledger_rebuild import Rebuild
from local.ledger_restore import Restoration
from payments import identifiers, records
from tests.functional.audit.conftest import EAST, KEYS, NOW, WEST, life, typed

SHARD = identifiers.merchant_shard("mer_a")


def restore(world, table="ledger", region=EAST, check=True):
    """What it came to, and the journals that differ."""
    work = Restoration([world.regions[EAST], world.regions[WEST]], world.regions[region], table)
    if check:
        work.check()
    return [(found.what, found.name) for found in work.run()], work.counts


def in_order(items):
    return sorted(map(Read.of_item, items), key=str), len(items)


def lose(world, keep=lambda item: False):
    for region in world.regions:
        for item in world.items(region):
            if not keep(item):
                key = {name: item[name] for name in KEYS["ledger"]}
                world.regions[region].dynamodb.delete_item(TableName="ledger", Key=key)


def test_a_lost_ledger_is_restored_as_it_was_and_again(projected, tmp_path):
    before = in_order(projected.items())
    lose(projected)
    assert projected.items() == []
    assert len(projected.verify(tmp_path)[0]) == 40

    assert restore(projected) == ([], {"restored": 20})
    assert restore(projected, region=WEST) == ([], {"restored": 20})
    assert in_order(projected.items()) == before
    assert projected.verify(tmp_path)[0] == []
    assert Rebuild(projected.regions[EAST], tmp_path, lambda seconds: None, lambda: NOW).compare().equal
    assert restore(projected) == ([], {"there": 20})


def test_a_restore_that_was_stopped_goes_on(sealed):
    lose(sealed, keep=lambda item: item["journal_id"]["S"] == "capture")
    assert restore(sealed) == ([], {"restored": 15, "there": 5})


def test_another_table_can_be_restored_into(sealed):
    restore(sealed, "restored")
    restored = [item for page in sealed.regions[EAST].scan("restored") for item in page]
    assert in_order(restored) == in_order(sealed.items())


def test_what_waits_in_the_feed_is_restored_too(sealed):
    sealed.write(life("key-9"))
    sealed.feed()
    lose(sealed)
    assert restore(sealed) == ([], {"restored": 24})


def test_a_journal_that_is_there_otherwise_is_named_and_left(sealed):
    item = sealed.items()[0]
    sealed.replace(item, item | {"sequence": {"N": "9"}})
    found, counts = restore(sealed)
    assert found == [("differs", Read.of_item(item).name)]
    assert counts == {"there": 19, "differ": 1}
    assert item | {"sequence": {"N": "9"}} in sealed.items()


def test_a_journal_of_two_regions_is_there_once(sealed):
    sealed.write(life("key-1")[:1], WEST)
    sealed.seal(WEST)
    lose(sealed)
    assert restore(sealed) == ([], {"restored": 20, "written twice": 1})
    assert restore(sealed) == ([], {"there": 20, "written twice": 1})


@pytest.mark.parametrize("harm", ["altered", "cut short", "missing"])
def test_nothing_is_restored_from_an_archive_that_is_not_in_order_unless_asked(sealed, harm):
    one, two = sealed.chains[EAST, SHARD]
    lose(sealed)
    batch = two if harm == "cut short" else one
    sealed.purge(batch.key)
    if harm == "altered":
        sealed.put(batch, content=b"nothing")
    with pytest.raises(Refused, match="not in order"):
        restore(sealed)
    assert sealed.items() == []
    assert restore(sealed, check=False)[1] == {"restored": 20 - len(batch.journals)}


def test_without_the_table_of_heads_the_chains_still_say_whether_they_are_in_order(sealed):
    for page in sealed.regions[EAST].scan("proofs"):
        for item in page:
            key = {name: item[name] for name in KEYS["proofs"]}
            sealed.regions[EAST].dynamodb.delete_item(TableName="proofs", Key=key)
    lose(sealed)
    assert restore(sealed) == ([], {"restored": 20})


def test_what_was_sealed_and_is_no_journal_is_named(sealed):
    from payments.proofs import Batch

    newest = sealed.chains[EAST, SHARD][-1]
    batch = Batch(EAST, SHARD, 3, newest.hash, newest.sealed_at, ("{", '{"a":1.5}'))
    sealed.put(batch)
    sealed.head(batch)
    found, counts = restore(sealed)
    assert counts["unreadable"] == 2 and {what for what, _ in found} == {"unreadable"}


def test_a_restored_item_is_typed_as_it_was(sealed):
    lose(sealed)
    restore(sealed)
    (item,) = (found for found in sealed.items() if found["journal_id"]["S"] == "ref_key-1")
    assert item == typed(records.plain(item)) and item["reason"] == {"S": "requested\u2028by customer"}
