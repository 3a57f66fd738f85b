"""`payments ledger prove` and docs/check_proof.py: a proof that needs nobody's trust, and of which no bit is free."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local import ledger_prove
from local.ledger import Refused
from payments import identifiers, proofs
from tests.functional.audit.conftest import EAST, WEST, life

SCRIPT = Path("docs/check_proof.py")
PAYMENT = identifiers.payment_id("mer_a", "key-2")
SHARD = identifiers.merchant_shard("mer_a")

_spec = importlib.util.spec_from_file_location("check_proof", SCRIPT)
checking = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(checking)


def refused(content, anchors=()):
    try:
        checking.check(content, list(anchors))
    except checking.Refused:
        return True
    return False


def proof_of(world, payment=PAYMENT, until=None):
    proof = ledger_prove.prove(world.regions[EAST].journals(payment), world.regions, until)
    return ledger_prove.written(proof).encode()


@pytest.fixture(scope="module")
def proven(clients):
    """A proof over several batches of a chain, and its last hash."""
    from tests.functional.audit.conftest import emptied

    world = emptied(clients)
    journals = life("key-2")
    world.write(life("key-0") + journals[:2] + life("key-1"))
    world.seal()
    world.write([*journals[2:], *life("key-3")])
    world.seal(sealed_at="2026-11-22T10:06:00.000Z")
    world.write(life("key-4"))
    world.seal(sealed_at="2026-11-22T10:07:00.000Z")
    return proof_of(world), world.chains[EAST, SHARD][-1].hash


def test_a_proof_holds_with_nothing_but_the_standard_library(proven, tmp_path):
    content, newest = proven
    file = tmp_path / "proof.json"
    file.write_bytes(content)
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(file), "--anchor", newest]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "OK: 4 journals, vouched for by what you wrote down." in checked.stdout
    assert newest in checked.stdout and '"journal_id":"capture"' in checked.stdout

    command[-1] = "0" * 64
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_every_single_bit_of_a_proof_counts(proven):
    content, _ = proven
    assert not refused(content)
    for position in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            assert refused(bytes(changed)), (position, bit, content[max(0, position - 20) : position + 20])


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_proof_with_anything_cut_out_doubled_or_put_in_is_refused(proven, data):
    content, newest = proven
    start = data.draw(st.integers(0, len(content) - 1))
    end = data.draw(st.integers(start, min(len(content), start + 400)))
    middle = data.draw(st.sampled_from([b"", content[start:end] * 2, b" ", b"0", b"null", b"[]"]))
    changed = content[:start] + middle + content[end:]
    assert changed == content or refused(changed, [newest])


def places(value, path=()):
    """Every place in the proof."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


def test_another_value_anywhere_is_refused_also_in_the_right_form(proven):
    content, newest = proven
    for path in places(json.loads(content)):
        for value in (None, True, 0, 1, -1, 2, 1.0, 10**9, "", "0" * 64, [], {}, [[]], "absent"):
            proof = json.loads(content)
            inner = proof
            for step in path[:-1]:
                inner = inner[step]
            if type(inner[path[-1]]) is type(value) and inner[path[-1]] == value:
                continue
            if value == "absent":
                del inner[path[-1]]
            else:
                inner[path[-1]] = value
            changed = ledger_prove.written(proof).encode()
            # fewer journals of the payment are proven as well: a proof says what is there, not what is not
            fewer = value == "absent" and len(path) == 4 and path[2] == "journals"
            assert fewer or refused(changed, [newest]), (path, value)


def test_a_chain_that_somebody_made_holds_in_itself_but_not_against_an_anchor(proven):
    content, newest = proven
    proof = json.loads(content)
    (chain,) = proof["chains"]
    chain["headers"][-1]["sealed_at"] = "2026-11-22T10:08:00.000Z"
    forged = dict(chain["headers"][-1])
    chain["hash"] = checking.hashlib.sha256(checking.canonical(forged).encode()).hexdigest()
    changed = ledger_prove.written(proof).encode()
    assert not refused(changed)
    assert refused(changed, [newest])


def test_a_proof_in_another_form_is_refused(proven):
    content, newest = proven
    for changed in (
        content[:-1],
        content + b"\n",
        content.replace(b'"index":', b'"index": ', 1),
        json.dumps(json.loads(content)).encode() + b"\n",
        content.replace(b'{"chains":', b'{"chains":[],"chains":', 1),
        b"[" * 100_000,
        b"null\n",
    ):
        assert refused(changed, [newest])


def test_a_journal_shown_twice_is_refused(proven):
    content, newest = proven
    proof = json.loads(content)
    proof["chains"][0]["journals"].append(proof["chains"][0]["journals"][0])
    assert refused(ledger_prove.written(proof).encode(), [newest])


def test_an_anchor_before_the_last_journal_vouches_for_nothing(proven):
    content, newest = proven
    headers = json.loads(content)["chains"][0]["headers"]
    hashes = [header["previous"] for header in headers[1:]] + [newest]
    assert [refused(content, [value]) for value in hashes] == [True, False, False]


def test_an_anchor_before_the_journals_vouches_for_nothing(sealed):
    content = proof_of(sealed, identifiers.payment_id("mer_a", "key-3"))
    one, two = sealed.chains[EAST, SHARD]
    assert not refused(content, [two.hash])
    assert refused(content, [one.hash])


def test_journals_of_two_regions_are_proven_in_two_chains(world):
    journals = life()
    world.write(journals[:2], EAST)
    world.write(journals[2:], WEST)
    world.seal(EAST)
    world.seal(WEST)
    content = proof_of(world, journals[0].payment_id)
    hashes = [chain[-1].hash for chain in world.chains.values()]
    assert not refused(content, hashes)
    assert refused(content, hashes[:1])
    assert len(json.loads(content)["chains"]) == 2


@pytest.mark.parametrize("batches", [1, 2, 3, 8])
def test_every_payment_of_every_batch_can_be_proven(world, batches):
    for number in range(batches):
        for key in range(number % 3 + 1):
            world.write(life(f"key-{number}-{key}", day=f"2026-11-22T10:{number:02d}:{{:02d}}.000Z"))
        world.seal(sealed_at=f"2026-11-22T10:{number:02d}:30.000Z")
    newest = world.chains[EAST, SHARD][-1].hash
    for number in range(batches):
        for key in range(number % 3 + 1):
            payment = identifiers.payment_id("mer_a", f"key-{number}-{key}")
            assert not refused(proof_of(world, payment), [newest])


def test_a_proof_can_end_at_an_anchor_of_before(sealed):
    one, _ = sealed.chains[EAST, SHARD]
    content = proof_of(sealed, until={(EAST, SHARD): {1: one.hash}})
    assert not refused(content, [one.hash])
    assert len(json.loads(content)["chains"][0]["headers"]) == 1
    with pytest.raises(Refused, match="anchor"):
        proof_of(sealed, until={(EAST, SHARD): {1: "f" * 64}})


def test_no_proof_is_made_of_what_is_not_sealed_or_was_changed(sealed):
    with pytest.raises(Refused, match="no journals"):
        proof_of(sealed, "pay_none")
    sealed.write(life("key-9"))
    with pytest.raises(Refused, match="not sealed yet"):
        proof_of(sealed, identifiers.payment_id("mer_a", "key-9"))
    item = next(item for item in sealed.items() if item["payment_id"]["S"] == PAYMENT)
    sealed.replace(item, item | {"sequence": {"N": "9"}})
    with pytest.raises(Refused, match="was changed"):
        proof_of(sealed)


def test_no_proof_is_made_over_a_broken_chain(sealed):
    one, two = sealed.chains[EAST, SHARD]
    sealed.put(two, content=one.archived())
    with pytest.raises(Refused, match="another batch"):
        proof_of(sealed)
    sealed.put(two, content=b"")
    with pytest.raises(Refused, match="not a batch"):
        proof_of(sealed)
    sealed.purge(two.key)
    with pytest.raises(Refused, match="is not in"):
        proof_of(sealed)


def test_anchors_are_the_newest_hash_of_every_chain(sealed):
    found = [anchor for region in sealed.regions.values() for anchor in ledger_prove.anchors(region)]
    expected = {(region, shard, len(chain), chain[-1].hash) for (region, shard), chain in sealed.chains.items()}
    assert {(anchor.region, anchor.shard, anchor.number, anchor.hash) for anchor in found} == expected


def test_no_anchor_is_written_down_that_differs_from_its_head(sealed):
    newest = sealed.chains[EAST, SHARD][-1]
    sealed.head(proofs.Batch(EAST, SHARD, 2, "f" * 64, "", newest.journals))
    with pytest.raises(Refused, match="head"):
        list(ledger_prove.anchors(sealed.regions[EAST]))
