"""The archive: every journal of the feed once, in chains without a gap, whatever happens to the notaries."""

import gzip
import json
from itertools import count
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.projector import app, feed, notary
from functions.projector.rounds import ChainBroken
from payments import clients, identifiers, proofs
from tests.functional.projector.stream import (
    HERE,
    Crash,
    crash_at,
    deliver,
    item,
    journal,
    merchant,
    random_stream,
    record,
    scan,
)

BUCKET = "payments-ledger-archive"


@pytest.fixture(autouse=True)
def two_partitions(monkeypatch):
    """As good as sixteen, and every call at which these tests let a notary die is one less of many."""
    monkeypatch.setattr(proofs, "FEEDS", proofs.FEEDS[:2])
    monkeypatch.setattr(feed, "FEEDS", proofs.FEEDS)


@pytest.fixture
def fresh(remake_tables):
    """Call it for empty tables and an empty archive."""

    def remake():
        remake_tables()
        clients.client("s3").create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)

    remake()
    return remake


def notarize(milliseconds=100_000):
    return app.notarize({}, SimpleNamespace(get_remaining_time_in_millis=lambda: milliseconds))


def write(*numbers, merchants=4):
    """Journals of several shards that arrive in one batch; what is to be in the archive of them."""
    made = [item(journal(n, merchant(n % merchants))) for n in numbers]
    deliver([record(n + 1, found) for n, found in zip(numbers, made, strict=True)])
    return [proofs.canonical(found) for found in made]


def objects():
    found = clients.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {entry["Key"]: content(entry["Key"]) for entry in found}


def content(key):
    return clients.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()


def batches():
    """Every batch of the archive by shard; each is what it claims to be, and where it belongs."""
    chains = {}
    for key, archived in objects().items():
        batch = proofs.parse(archived)
        assert key == f"journals/{HERE}/{batch.shard:03d}/{batch.number:012d}.json.gz"
        chains.setdefault(batch.shard, []).append(batch)
    return chains


def heads():
    return {
        int(found["position"]["S"]): (int(found["number"]["N"]), found["hash"]["S"])
        for found in scan("proofs")
        if found["record"]["S"] == "head"
    }


def check(lines):
    """The archive has these journals, each once and in its shard's chain; the chains have no gap; nothing is left."""
    chains = batches()
    for chain in chains.values():
        assert [batch.number for batch in chain] == list(range(1, len(chain) + 1))
        assert [batch.previous for batch in chain] == [proofs.GENESIS, *(batch.hash for batch in chain[:-1])]
        assert all(batch.journals for batch in chain)
    sealed = [(shard, line) for shard, chain in chains.items() for batch in chain for line in batch.journals]
    assert sorted(sealed) == sorted((identifiers.shard_of(json.loads(line)["payment_id"]), line) for line in lines)
    assert heads() == {shard: (len(chain), chain[-1].hash) for shard, chain in chains.items()}
    assert [found for found in scan("proofs") if found["record"]["S"].startswith("feed")] == []


def test_a_batch_per_shard_has_its_journals_and_says_where_it_is_in_the_chain(fresh):
    lines = write(0, 1, 2, 3, 4, 5)

    answer = notarize()

    check(lines)
    archived = json.loads(
        gzip.decompress(content(f"journals/{HERE}/{identifiers.merchant_shard(merchant(1)):03d}/000000000001.json.gz"))
    )
    assert set(archived) == {"region", "shard", "number", "previous", "root", "sealed_at", "hash", "count", "journals"}
    assert archived["previous"] == "0" * 64
    assert archived["journals"] == [
        line for line in lines if json.loads(line)["payment_id"][4:6] == f"{archived['shard']:02x}"
    ]
    assert answer == {"rounds": 1, "batches": len(heads()), "journals": 6}


def test_nothing_to_seal_is_nothing_done(fresh):
    assert notarize() == {"rounds": 0, "batches": 0, "journals": 0}
    assert objects() == {}
    assert scan("proofs") == []


def test_chains_grow_over_many_rounds(fresh):
    lines = []
    for start in range(0, 40, 4):
        lines += write(*range(start, start + 4), merchants=2 + start % 3)
        notarize()

    check(lines)
    assert max(number for number, _ in heads().values()) == 10


def test_a_round_takes_no_more_than_its_limits_and_rounds_follow_until_the_feed_is_empty(fresh, monkeypatch):
    monkeypatch.setattr(notary, "MOST_ITEMS", 2)
    lines = [line for n in range(7) for line in write(n)]

    assert notarize()["rounds"] == 4

    check(lines)


def test_a_round_of_large_journals_is_limited_by_their_size(fresh, monkeypatch):
    lines = [line for n in range(6) for line in write(n, merchants=1)]
    monkeypatch.setattr(notary, "MOST_BYTES", 2 * len(lines[0]) + 10)

    assert notarize()["rounds"] == 3

    check(lines)
    assert {len(batch.journals) for chain in batches().values() for batch in chain} == {2}


def test_an_item_larger_than_a_round_is_a_round_by_itself(fresh, monkeypatch):
    monkeypatch.setattr(notary, "MOST_BYTES", 1)
    lines = write(0, 1, 2) + write(3)

    assert notarize()["rounds"] == 2

    check(lines)


def test_a_feed_of_many_pages_is_sealed_whole(fresh):
    lines = []
    for n in range(12):
        made = {**item(journal(n)), "reason": "".join(f"{n}{i:x}" for i in range(40_000))}
        deliver([record(n + 1, made)])
        lines.append(proofs.canonical(made))

    notarize()

    check(lines)


def test_no_round_begins_when_time_is_short_and_the_next_minute_goes_on(fresh, monkeypatch):
    monkeypatch.setattr(notary, "MOST_ITEMS", 1)
    lines = write(0) + write(1) + write(2)

    assert notarize(milliseconds=1000)["rounds"] == 1
    assert notarize()["rounds"] == 2

    check(lines)


def test_what_is_no_journal_is_sealed_too(fresh):
    deliver([record(1, {"payment_id": "somebody", "journal_id": "x"})])

    notarize()

    (chain,) = batches().values()
    assert chain[0].journals == ('{"journal_id":"x","payment_id":"somebody"}',)
    assert chain[0].shard == 0


@pytest.mark.parametrize("after", [False, True], ids=["call not made", "answer lost"])
def test_a_crash_at_any_call_loses_and_doubles_nothing(fresh, after, monkeypatch):
    monkeypatch.setattr(notary, "MOST_ITEMS", 2)
    for n in count():
        fresh()
        lines = write(0, 1, 2) + write(3, 4) + write(5)
        crashed = notarize_until(n, after)
        lines += write(6, 7)
        notarize()
        check(lines)
        if not crashed:
            break
    assert n > 15, "nothing was interrupted"


def notarize_until(n, after):
    """Whether the notary came as far as its n-th call and ended there."""
    with crash_at(n, after=after):
        try:
            notarize()
        except Crash:
            return True
    return False


crashes = st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=6)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), length=st.integers(1, 40), crashes=crashes)
def test_what_went_through_the_stream_is_in_the_archive_once(fresh, seed, length, crashes):
    """Batches, each followed by a notary that ends somewhere; at last one that does not."""
    fresh()
    records, written = random_stream(seed, length)
    size = 1 + length // (len(crashes) + 1)
    for n in range(0, length, size):
        deliver(records[n : n + size])
        if crashes:
            notarize_until(*crashes.pop())
    notarize()
    check([proofs.canonical(found) for found in written if found["region"] == HERE])


@pytest.mark.parametrize("more", [False, True], ids=["the same round", "and a round that follows"])
def test_two_notaries_at_once_make_one_chain(fresh, more):
    """The second does all its work before the n-th call of the first, which then goes on with what it had read."""
    for n in count():
        fresh()
        lines, calls = write(9, 10, 11, 12), []
        notarize()
        lines += write(0, 1, 2) + write(3, 4, 5)

        def meet(n=n, lines=lines, calls=calls, **_):
            calls.append(None)
            if len(calls) == n + 1:
                notarize()
                if more:
                    lines += write(6, 7, 8)
                    notarize_until(7, after=True)  # in the middle of the round

        events = [clients.client("dynamodb").meta.events, clients.client("s3", read_timeout=10).meta.events]
        for event in events:
            event.register("before-call", meet)
        try:
            notarize()
        finally:
            for event in events:
                event.unregister("before-call", meet)
        lines += write(13, 14, 15, 16)  # a round of a number that was used would pass these over
        notarize()
        check(lines)
        if len(calls) <= n:
            break
    assert n > 10


def test_a_batch_that_is_there_already_in_other_bytes_is_the_same_batch(fresh):
    """Another version of gzip may have written it, before a crash."""
    lines = write(0)
    with crash_at(0, after=True, services=("s3",)), pytest.raises(Crash):
        notarize()
    ((key, archived),) = objects().items()
    clients.client("s3").put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(gzip.decompress(archived), 1, mtime=7))

    notarize()

    check(lines)


@pytest.mark.parametrize("foreign", [b"nothing", "another batch"])
def test_a_foreign_object_in_the_chain_stops_the_notary_and_stays(fresh, foreign):
    write(0)
    shard = identifiers.merchant_shard(merchant(0))
    if isinstance(foreign, str):
        foreign = proofs.Batch(HERE, shard, 1, proofs.GENESIS, "2026-11-23T10:00:00.000Z", ("{}",)).archived()
    key = f"journals/{HERE}/{shard:03d}/000000000001.json.gz"
    clients.client("s3").put_object(Bucket=BUCKET, Key=key, Body=foreign)
    before = scan("proofs")

    for _ in range(2):
        with pytest.raises(ChainBroken, match=key):
            notarize()

    assert content(key) == foreign
    assert heads() == {}
    assert [found for found in scan("proofs") if found["record"]["S"].startswith("feed")] == before


def test_a_head_that_was_set_back_stops_the_notary(fresh):
    write(0)
    notarize()
    clients.client("dynamodb").delete_item(
        TableName="proofs",
        Key={"record": {"S": "head"}, "position": {"S": f"{identifiers.merchant_shard(merchant(0)):03d}"}},
    )
    write(4)

    with pytest.raises(ChainBroken):
        notarize()


def test_a_feed_that_lost_an_item_stops_the_notary(fresh):
    write(0)
    write(1)
    with crash_at(0, after=False, services=("s3",)), pytest.raises(Crash):
        notarize()
    clients.client("dynamodb").delete_item(
        TableName="proofs", Key={"record": {"S": "feed#1"}, "position": {"S": f"{1:040d}"}}
    )

    with pytest.raises(ChainBroken, match="lost"):
        notarize()

    assert objects() == {}


def test_objects_have_the_checksum_that_a_lock_asks_for(fresh):
    sent = []
    events = clients.client("s3", read_timeout=10).meta.events
    events.register("provide-client-params.s3.PutObject", lambda params, **_: sent.append(params))
    write(0)

    notarize()

    assert [(request["ChecksumAlgorithm"], request["IfNoneMatch"]) for request in sent] == [("SHA256", "*")]
