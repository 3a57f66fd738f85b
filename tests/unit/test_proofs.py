"""Merkle trees and batches, against the published rules and an implementation of their own here."""

import gzip
import json
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments import proofs
from payments.proofs import GENESIS, Batch, InvalidBatch

JOURNALS = ("one", "zwei", '{"a":1}')
BATCH = Batch("us-east-1", 7, 3, "a" * 64, "2026-11-23T10:00:00.000Z", JOURNALS)
VECTORS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
"""The inputs of the test vectors that come with Certificate Transparency's implementations of RFC 6962."""
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def vector_leaves(count):
    return [sha256(b"\0" + bytes.fromhex(text)).digest() for text in VECTORS[:count]]


def naive_root(leaves):
    """RFC 6962, 2.1, level by level: an odd one out goes up as it is."""
    while len(leaves) > 1:
        pairs = [leaves[at : at + 2] for at in range(0, len(leaves), 2)]
        leaves = [sha256(b"\1" + b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return leaves[0]


def some_leaves(count):
    return [proofs.leaf(str(number)) for number in range(count)]


@pytest.mark.parametrize("count", range(1, 9))
def test_roots_are_those_of_the_published_vectors(count):
    assert proofs.root(vector_leaves(count)).hex() == ROOTS[count - 1]


@pytest.mark.parametrize("count", range(1, 70))
def test_roots_are_those_of_another_implementation(count):
    assert proofs.root(some_leaves(count)) == naive_root(some_leaves(count))


@pytest.mark.parametrize("count", range(1, 40))
def test_every_audit_path_leads_to_the_root_from_its_own_place_only(count):
    leaves = some_leaves(count)
    root = proofs.root(leaves)
    for index in range(count):
        path = proofs.path(leaves, index)
        found = [at for at in range(-2, count + 3) if proofs.root_of_path(leaves[index], at, count, path) == root]
        assert found == [index]


@given(st.integers(1, 60), st.data())
def test_no_other_leaf_or_path_leads_to_the_root(count, data):
    leaves = some_leaves(count)
    root, index = proofs.root(leaves), data.draw(st.integers(0, count - 1))
    path = proofs.path(leaves, index)
    assert proofs.root_of_path(proofs.leaf("other"), index, count, path) != root
    assert proofs.root_of_path(leaves[index], index, count, [*path, leaves[0]]) is None
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        other = [*path[:at], proofs.leaf("other"), *path[at + 1 :]]
        assert proofs.root_of_path(leaves[index], index, count, other) != root
        assert proofs.root_of_path(leaves[index], index, count, path[:-1]) is None


def test_a_leaf_is_never_a_node():
    left, right = some_leaves(2)
    assert proofs.root([left, right]) != sha256(b"\0" + left + right).digest()


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.text()) | st.none()))
def test_canonical_form_does_not_depend_on_the_order(record):
    text = proofs.canonical(record)
    assert text == proofs.canonical(dict(reversed(record.items())))
    assert json.loads(text) == record
    assert "\n" not in text


def test_canonical_form_is_fixed():
    assert (
        proofs.canonical({"b": [1, "ä\u2028"], "a": {"d": None, "c": True}})
        == '{"a":{"c":true,"d":null},"b":[1,"ä\u2028"]}'
    )


def test_a_batch_is_archived_and_read_again():
    assert proofs.parse(BATCH.archived()) == BATCH
    assert BATCH.archived() == replace(BATCH).archived()
    assert BATCH.key == "journals/us-east-1/007/000000000003.json.gz"


def test_the_hash_is_that_of_the_header_as_documented():
    header = {
        "count": 3,
        "number": 3,
        "previous": "a" * 64,
        "region": "us-east-1",
        "root": naive_root([sha256(b"\0" + text.encode()).digest() for text in JOURNALS]).hex(),
        "sealed_at": "2026-11-23T10:00:00.000Z",
        "shard": 7,
    }
    assert BATCH.hash == sha256(json.dumps(header, separators=(",", ":")).encode()).hexdigest()


@pytest.mark.parametrize(
    "changes",
    [
        {"region": "us-west-2"},
        {"shard": 8},
        {"number": 4},
        {"previous": GENESIS},
        {"sealed_at": "2026-11-23T10:00:00.001Z"},
        {"journals": JOURNALS[:2]},
        {"journals": (*JOURNALS, "")},
        {"journals": (JOURNALS[1], JOURNALS[0], JOURNALS[2])},
        {"journals": ("one" + "zwei", *JOURNALS[2:])},
    ],
)
def test_everything_of_a_batch_is_in_its_hash(changes):
    assert replace(BATCH, **changes).hash != BATCH.hash


def test_every_changed_bit_of_what_a_batch_says_is_refused():
    content = BATCH.content.encode()
    for position in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            with pytest.raises(InvalidBatch):
                proofs.parse(gzip.compress(bytes(changed)))


def test_a_changed_bit_of_the_object_is_refused_or_is_none_of_the_content():
    archived = BATCH.archived()
    for position in range(len(archived)):
        for bit in range(8):
            changed = bytearray(archived)
            changed[position] ^= 1 << bit
            try:
                assert proofs.parse(bytes(changed)) == BATCH
            except InvalidBatch:
                continue


def content(**changes):
    return {**BATCH.header, "hash": BATCH.hash, "journals": list(BATCH.journals)} | changes


@pytest.mark.parametrize(
    "archived",
    [
        b"",
        b"no gzip",
        BATCH.archived()[:-1],
        BATCH.archived()[:20],
        gzip.compress(b"\xff", mtime=0),
        gzip.compress(b"[" * 100_000, mtime=0),
        gzip.compress(b"null", mtime=0),
        gzip.compress(json.dumps(content()).encode(), mtime=0),  # right, but not in canonical form
        *(
            gzip.compress(proofs.canonical(found).encode(), mtime=0)
            for found in (
                [],
                content(note="more"),
                content(journals=[]),
                content(journals="abc"),
                content(journals=None),
                content(journals=[1, 2]),
                content(journals=[["one"]]),
                content(count=4),
                content(root=GENESIS),
                content(hash=GENESIS),
                {name: value for name, value in content().items() if name != "sealed_at"},
            )
        ),
    ],
)
def test_what_is_no_batch_is_refused(archived):
    with pytest.raises(InvalidBatch):
        proofs.parse(archived)


@pytest.mark.parametrize(
    "changes",
    [{"shard": "7"}, {"shard": True}, {"number": 3.0}, {"number": None}, {"previous": 1}, {"sealed_at": None}],
)
def test_a_batch_of_other_types_is_refused_also_with_a_right_hash(changes):
    with pytest.raises(InvalidBatch):
        proofs.parse(replace(BATCH, **changes).archived())
