"""`payments ledger verify`: what was sealed is what is there, and everything that is not is named."""

import copy
import gzip
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.ledger import Read
from local.ledger_prove import anchors, noted
from payments import identifiers, proofs, records
from payments.proofs import Batch
from tests.functional.audit.conftest import EAST, JUST_NOW, WEST, life, typed
from tests.functional.samples import AUTHORIZATION

SHARD = identifiers.merchant_shard("mer_a")
HOSTILE = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def first(world):
    return world.chains[EAST, SHARD]


def name(batch):
    return f"{batch.region}/{batch.shard:03d}/{batch.number}"


def resealed(batch, **changes):
    """The batch with other content and a hash that is right for it."""
    return replace(batch, **changes)


def leaves(value, path=()):
    """Every place in an item where there is a text or a number, with its kind."""
    for kind, content in value.items() if isinstance(value, dict) else enumerate(value):
        if kind in ("S", "N") and isinstance(content, str):
            yield (*path, kind)
        elif not isinstance(content, str):
            yield from leaves(content, (*path, kind))


def flipped(item, path, position, bit):
    """The item with one bit of one byte of the value at the path flipped; None where no such value can be stored."""
    other = copy.deepcopy(item)
    *where, kind = path
    inner = other
    for step in where:
        inner = inner[step]
    data = bytearray(inner[kind].encode())
    data[position % len(data)] ^= 1 << bit
    try:
        inner[kind] = data.decode()
        if kind == "N":
            inner[kind] = str(int(inner[kind]))
    except ValueError:
        return None
    return None if other == item else other


def test_an_untouched_ledger_is_in_order(sealed, tmp_path):
    found, counts = sealed.verify(tmp_path)
    assert found == []
    assert (counts["journals in us-east-1"], counts["journals in us-west-2"], counts["journals sealed"]) == (20, 20, 20)
    assert (counts["chains"], counts["batches"], counts["sealed again"], counts["waiting in the feed"]) == (3, 4, 0, 0)


def test_an_empty_ledger_is_in_order(world, tmp_path):
    assert world.verify(tmp_path)[0] == []


def test_every_flipped_bit_of_every_value_gives_another_leaf(sealed):
    tried = 0
    for item in sealed.items():
        leaf = Read.of_item(item).leaf
        for path in leaves(item):
            value = item
            for step in path:
                value = value[step]
            for position in range(len(value.encode())):
                for bit in range(8):
                    other = flipped(item, path, position, bit)
                    tried += other is not None
                    assert other is None or Read.of_item(other).leaf != leaf, (path, position, bit)
    assert tried > 20_000


@HOSTILE
@given(st.data())
def test_a_journal_with_one_flipped_byte_is_named(sealed, tmp_path, data):
    item = data.draw(st.sampled_from(sorted(sealed.items(), key=str)))
    path = data.draw(st.sampled_from(list(leaves(item))))
    other = flipped(item, path, data.draw(st.integers(0, 200)), data.draw(st.integers(0, 6)))
    if other is None or not all(other[key]["S"] for key in ("payment_id", "journal_id")):
        return
    sealed.replace(item, other)
    found, _ = sealed.verify(tmp_path)
    sealed.replace(other, item)
    before, after = Read.of_item(item).name, Read.of_item(other).name
    if before == after:
        assert set(found) == {("changed", before)}
    else:
        assert set(found) == {("removed", before), ("inserted", after)}


@pytest.mark.parametrize(
    "change",
    [
        lambda item: item | {"note": {"S": "x"}},
        lambda item: item | {"reason": {"NULL": True}},
        lambda item: {name: value for name, value in item.items() if name != "sequence"},
        lambda item: item | {"sequence": {"S": item["sequence"]["N"]}},
        lambda item: item | {"sequence": {"N": "1.5"}},
        lambda item: item | {"kind": {"B": item["kind"]["S"].encode()}},
        lambda item: item | {"entries": {"L": list(reversed(item["entries"]["L"]))}},
        lambda item: item | {"entries": {"L": item["entries"]["L"] * 2}},
        lambda item: item | {"entries": {"L": []}},
        lambda item: item | {"entries": {"S": "none"}},
        lambda item: item | {"region": {"S": "us-east-9"}},
        lambda item: item | {"region": {"S": WEST}},
    ],
)
def test_a_journal_of_another_shape_is_named(sealed, tmp_path, change):
    item = next(item for item in sealed.items() if item["journal_id"]["S"] == "capture" and item["region"]["S"] == EAST)
    sealed.replace(item, change(item))
    assert set(sealed.verify(tmp_path)[0]) == {("changed", Read.of_item(item).name)}


@HOSTILE
@given(st.data())
def test_a_removed_journal_is_named(sealed, tmp_path, data):
    item = data.draw(st.sampled_from(sorted(sealed.items(), key=str)))
    sealed.replace(item, None)
    found, _ = sealed.verify(tmp_path)
    sealed.replace(item, item)
    assert set(found) == {("removed", Read.of_item(item).name)}
    assert len(found) == 2  # once for each copy of the table


def test_an_inserted_journal_is_named(sealed, tmp_path):
    forged = records.journal_record(life("forged")[0], EAST)
    for region in sealed.regions.values():
        region.dynamodb.put_item(TableName="ledger", Item=typed(forged))
    assert set(sealed.verify(tmp_path)[0]) == {("inserted", f"{forged['payment_id']}#{AUTHORIZATION}")}


@pytest.mark.parametrize("created_at", ["2027-01-01T00:00:00.000Z", "", "9", "2026-11-23T11:49:59.999Z"])
def test_an_inserted_journal_does_not_hide_behind_its_time(sealed, tmp_path, created_at):
    forged = records.journal_record(life("forged")[0], EAST) | {"created_at": created_at}
    sealed.regions[EAST].dynamodb.put_item(TableName="ledger", Item=typed(forged))
    assert [what for what, _ in sealed.verify(tmp_path)[0]] == ["inserted"]


def test_journals_that_are_not_sealed_yet_are_counted_and_compared_with_the_feed(sealed, tmp_path):
    sealed.write(life("key-8"))
    sealed.feed()
    found, counts = sealed.verify(tmp_path)
    assert (found, counts["waiting in the feed"]) == ([], 4)

    item = sealed.regions[EAST].journals(identifiers.payment_id("mer_a", "key-8"))[0]
    sealed.replace(typed(item), typed(item | {"sequence": 7}))
    assert set(sealed.verify(tmp_path)[0]) == {("changed", f"{item['payment_id']}#{item['journal_id']}")}
    sealed.replace(typed(item), None)
    assert set(sealed.verify(tmp_path)[0]) == {("removed", f"{item['payment_id']}#{item['journal_id']}")}


def test_a_feed_that_cannot_be_read_is_named(sealed, tmp_path):
    item = {"record": "feed#1", "position": "1", "journals": b"no zlib"}
    sealed.regions[EAST].dynamodb.put_item(TableName="proofs", Item=typed(item))
    assert sealed.verify(tmp_path)[0] == [("foreign", "feed of us-east-1")]


def test_a_journal_that_was_just_written_is_no_finding(sealed, tmp_path):
    sealed.write([replace(life("key-9")[0], created_at=JUST_NOW)])
    found, counts = sealed.verify(tmp_path)
    assert (found, counts["not sealed yet"]) == ([], 2)


def test_a_journal_that_is_not_replicated_yet_is_no_finding(sealed, tmp_path):
    late = replace(life("key-9")[0], created_at=JUST_NOW)
    sealed.write([late])
    sealed.seal()
    key = {"payment_id": {"S": late.payment_id}, "journal_id": {"S": late.journal_id}}
    sealed.regions[WEST].dynamodb.delete_item(TableName="ledger", Key=key)
    found, counts = sealed.verify(tmp_path)
    assert (found, counts["not replicated yet"]) == ([], 1)
    sealed.regions[EAST].dynamodb.delete_item(TableName="ledger", Key=key)
    assert set(sealed.verify(tmp_path)[0]) == {("removed", f"{late.payment_id}#{late.journal_id}")}


def test_a_journal_that_both_regions_wrote_is_no_tampering(sealed, tmp_path):
    journals = life("key-7")
    sealed.write(journals, EAST)
    sealed.write([replace(journal, created_at="2026-11-22T10:00:09.000Z") for journal in journals], WEST)
    sealed.seal(EAST)
    sealed.seal(WEST)
    found, counts = sealed.verify(tmp_path)
    assert (found, counts["written twice"]) == ([], 4)


def test_a_journal_that_the_other_region_wrote_again_just_now_is_no_tampering(sealed, tmp_path):
    again = replace(life("key-1")[1], created_at=JUST_NOW)
    sealed.write([again], WEST)
    found, counts = sealed.verify(tmp_path)
    assert (found, counts["written twice, one not sealed yet"]) == ([], 2)


def test_a_changed_journal_does_not_pass_for_the_other_regions_copy(sealed, tmp_path):
    item = next(item for item in sealed.items() if item["region"]["S"] == EAST)
    forged = item | {"region": {"S": WEST}, "created_at": {"S": JUST_NOW}, "reason": {"S": "other"}}
    sealed.replace(item, forged)
    assert set(sealed.verify(tmp_path)[0]) == {("changed", Read.of_item(item).name)}


def test_what_comes_into_the_feed_while_it_is_read_is_no_finding(sealed, tmp_path, monkeypatch):
    scan = sealed.regions[EAST].scan

    def scan_while_charges_go_on(table):
        sealed.write(life("key-8"))
        sealed.feed()
        yield from scan(table)

    monkeypatch.setattr(sealed.regions[EAST], "scan", scan_while_charges_go_on)
    found, counts = sealed.verify(tmp_path)
    assert (found, counts["waiting in the feed"]) == ([], 4)


def test_regions_that_sealed_different_journals_under_one_id_are_named(sealed, tmp_path):
    sealed.write(life("key-7", amount=3000)[:1], EAST)
    sealed.write(life("key-7", amount=3001)[:1], WEST)
    sealed.seal(EAST)
    sealed.seal(WEST)
    assert sealed.verify(tmp_path)[0] == [("conflict", f"{identifiers.payment_id('mer_a', 'key-7')}#{AUTHORIZATION}")]


def test_one_region_is_verified_without_the_other(sealed, tmp_path):
    found, counts = sealed.verify(tmp_path, regions=[EAST])
    assert (found, counts["of other regions, not looked at"]) == ([], 4)
    item = next(item for item in sealed.items() if item["region"]["S"] == EAST)
    sealed.replace(item, item | {"sequence": {"N": "9"}})
    assert sealed.verify(tmp_path, regions=[EAST])[0] == [("changed", Read.of_item(item).name)]


def test_journals_sealed_twice_the_same_are_only_counted(sealed, tmp_path):
    sealed.unsealed[EAST] = [records.journal_record(journal, EAST) for journal in life("key-1")]
    sealed.seal()
    found, counts = sealed.verify(tmp_path)
    assert (found, counts["sealed again"]) == ([], 4)


# --- the archive


@HOSTILE
@given(st.integers(0, 5000), st.integers(0, 7))
def test_an_altered_batch_is_named_and_its_first_version_used(sealed, tmp_path, position, bit):
    batch = first(sealed)[0]
    content = bytearray(gzip.decompress(batch.archived()))
    content[position % len(content)] ^= 1 << bit
    sealed.put(batch, content=gzip.compress(bytes(content)))
    found, _ = sealed.verify(tmp_path)
    sealed.purge(batch.key)
    sealed.put(batch)
    assert found == [("altered", name(batch))]


def test_an_altered_batch_without_another_version_is_named_and_its_journals_are_not_vouched_for(sealed, tmp_path):
    batch = first(sealed)[0]
    sealed.purge(batch.key)
    sealed.put(batch, content=batch.archived()[:-9])
    found, _ = sealed.verify(tmp_path)
    assert found[0] == ("altered", name(batch))
    inserted = {f"{item['payment_id']}#{item['journal_id']}" for item in map(json.loads, batch.journals)}
    assert set(found[1:]) == {("inserted", journal) for journal in inserted}


def test_a_batch_that_was_rewritten_with_a_right_hash_breaks_the_link_after_it(sealed, tmp_path):
    batch = first(sealed)[0]
    journal = json.loads(batch.journals[0]) | {"sequence": 9}
    forged = resealed(batch, journals=(proofs.canonical(journal), *batch.journals[1:]))
    sealed.purge(batch.key)
    sealed.put(forged)
    sealed.replace(typed(json.loads(batch.journals[0])), typed(journal))  # the table agrees with the forgery
    assert sealed.verify(tmp_path)[0] == [("unlinked", name(first(sealed)[1]))]


def test_the_newest_batch_rewritten_with_a_right_hash_is_not_the_head(sealed, tmp_path):
    batch = first(sealed)[1]
    sealed.purge(batch.key)
    sealed.put(resealed(batch, sealed_at="2026-11-22T10:06:00.001Z"))
    assert sealed.verify(tmp_path)[0] == [("unlinked", name(batch))]


def test_a_rewritten_batch_over_the_first_version_is_named_even_with_its_head(sealed, tmp_path):
    batch = first(sealed)[1]
    forged = resealed(batch, sealed_at="2026-11-22T10:06:00.001Z")
    sealed.put(forged)
    sealed.head(forged)
    assert ("overwritten", name(batch)) in sealed.verify(tmp_path)[0]


def test_a_chain_forged_from_its_beginning_is_found_by_an_anchor(sealed, tmp_path):
    known = noted([vars(anchor) for anchor in anchors(sealed.regions[EAST])])
    previous = proofs.GENESIS
    for batch in first(sealed):
        forged = resealed(batch, previous=previous, journals=batch.journals[:-1])
        previous = forged.hash
        sealed.purge(batch.key)
        sealed.put(forged)
        sealed.head(forged)
        sealed.replace(typed(json.loads(batch.journals[-1])), None)
    assert sealed.verify(tmp_path)[0] == []
    assert sealed.verify(tmp_path, anchors=known)[0] == [("unlinked", name(first(sealed)[1]))]


def test_a_chain_that_is_gone_with_its_head_and_journals_is_found_by_an_anchor(sealed, tmp_path):
    known = noted([vars(anchor) for anchor in anchors(sealed.regions[EAST])])
    for batch in first(sealed):
        sealed.purge(batch.key)
        for journal in batch.journals:
            sealed.replace(typed(json.loads(journal)), None)
    key = {"record": {"S": "head"}, "position": {"S": f"{SHARD:03d}"}}
    sealed.regions[EAST].dynamodb.delete_item(TableName="proofs", Key=key)
    assert sealed.verify(tmp_path)[0] == []
    assert sealed.verify(tmp_path, anchors=known)[0] == [("cut short", name(first(sealed)[1]))]


def test_a_missing_batch_is_named(sealed, tmp_path):
    batch = first(sealed)[0]
    sealed.purge(batch.key)
    found, _ = sealed.verify(tmp_path)
    assert found[0] == ("missing", name(batch))


def test_a_batch_under_a_delete_marker_is_named_and_used(sealed, tmp_path):
    for batch in first(sealed):
        at = sealed.regions[EAST]
        at.s3.delete_object(Bucket=at.bucket, Key=batch.key)
    assert sealed.verify(tmp_path)[0] == [("deleted", name(batch)) for batch in first(sealed)]


def test_swapped_batches_are_both_named(sealed, tmp_path):
    one, two = first(sealed)
    for batch, key in ((one, two.key), (two, one.key)):
        sealed.purge(key)
        sealed.put(batch, key)
    found, _ = sealed.verify(tmp_path)
    assert found[:2] == [("renumbered", name(one)), ("renumbered", name(two))]


def test_another_shards_batch_in_its_place_is_named(sealed, tmp_path):
    one = first(sealed)[0]
    other = next(batches[0] for chain, batches in sealed.chains.items() if chain not in ((EAST, SHARD), (WEST, SHARD)))
    sealed.put(other, one.key)
    assert sealed.verify(tmp_path)[0] == [("renumbered", name(one))]


def test_a_renumbered_batch_is_named(sealed, tmp_path):
    two = first(sealed)[1]
    sealed.purge(two.key)
    moved = resealed(two, number=3)
    sealed.put(moved)
    found, _ = sealed.verify(tmp_path)
    assert found[0] == ("missing", name(two))
    assert ("beyond", name(moved)) in found


def test_a_chain_cut_short_is_named(sealed, tmp_path):
    one, two = first(sealed)
    sealed.purge(two.key)
    assert ("cut short", name(one)) in sealed.verify(tmp_path)[0]


def test_a_chain_cut_short_to_nothing_is_named(sealed, tmp_path):
    for batch in first(sealed):
        sealed.purge(batch.key)
    assert ("cut short", f"{EAST}/{SHARD:03d}/0") in sealed.verify(tmp_path)[0]


def test_a_batch_appended_by_somebody_else_is_named(sealed, tmp_path):
    newest = first(sealed)[-1]
    journal = records.journal_record(life("forged")[0], EAST)
    forged = Batch(EAST, SHARD, 3, newest.hash, newest.sealed_at, (proofs.canonical(journal),))
    sealed.put(forged)
    sealed.regions[EAST].dynamodb.put_item(TableName="ledger", Item=typed(journal))
    assert ("beyond", name(forged)) in sealed.verify(tmp_path)[0]


def test_an_older_object_put_back_is_named(sealed, tmp_path):
    one, two = first(sealed)
    sealed.put(one, two.key)
    assert sealed.verify(tmp_path)[0] == [("renumbered", name(two))]


def test_an_object_that_is_no_batch_is_named_once(sealed, tmp_path):
    for key in ("zzz", f"{0:012d}.json.gz"):
        sealed.put(first(sealed)[0], f"journals/{EAST}/{SHARD:03d}/{key}")
    found, _ = sealed.verify(tmp_path)
    assert sorted(found) == [
        ("stray", f"journals/{EAST}/{SHARD:03d}/000000000000.json.gz"),
        ("stray", f"journals/{EAST}/{SHARD:03d}/zzz"),
    ]


def test_a_batch_with_another_shards_journal_is_named(sealed, tmp_path):
    newest = first(sealed)[-1]
    stranger = proofs.canonical(records.journal_record(life("x", merchant="mer_b")[0], EAST))
    batch = Batch(EAST, SHARD, 3, newest.hash, newest.sealed_at, (stranger, "no journal"))
    sealed.put(batch)
    sealed.head(batch)
    assert set(sealed.verify(tmp_path)[0]) == {
        ("foreign", name(batch)),
        ("removed", f"{json.loads(stranger)['payment_id']}#{AUTHORIZATION}"),
    }


@pytest.mark.parametrize("moment", ["before the scan", "after the scan"])
def test_what_is_sealed_while_it_is_read_is_no_finding(sealed, tmp_path, monkeypatch, moment):
    scan = sealed.regions[EAST].scan

    def scan_while_charges_go_on(table):
        if moment == "after the scan":
            yield from scan(table)
        sealed.write(life("key-8"))
        sealed.seal()
        if moment == "before the scan":
            yield from scan(table)

    monkeypatch.setattr(sealed.regions[EAST], "scan", scan_while_charges_go_on)
    found, counts = sealed.verify(tmp_path)
    assert (found, counts["journals sealed"]) == ([], 24)
