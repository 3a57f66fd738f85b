"""Runs in which shards move come to what they are for: charges that are fenced, commands that contradict each other."""

from random import Random

from functions.api import lookup
from functions.ledger import fencing
from payments import books
from payments.lifecycle import REFUSED
from tests.simulation.faults import Faults
from tests.simulation.world import World

MOST = 2_000
"""Seeds that are looked at."""


def worlds(wanted):
    """The runs whose faults are of this kind, played."""
    for seed in range(MOST):
        if wanted(Faults(Random(seed))):
            world = World(seed)
            yield world, world.run()


def moves(faults):
    return bool(faults.moves)


def silent(faults):
    return faults.long_silence


def test_a_charge_is_fenced_in_some_run_and_every_promise_holds():
    assert any(world.fences.held and not broken for world, broken in worlds(silent))


def test_the_network_refuses_contradictory_commands_in_some_run_and_every_promise_holds():
    def refused(world):
        return any(journal_id.endswith(REFUSED) for _, journal_id in world.regions[0].tables.items["ledger"])

    assert any(refused(world) and not broken for world, broken in worlds(silent))


def test_commands_that_do_not_look_at_the_map_are_found(monkeypatch):
    monkeypatch.setattr(fencing, "refusal", lambda shard: None)

    assert any("too early" in found or "no primary" in found for _, broken in worlds(moves) for found in broken)


def test_a_read_that_does_not_ask_the_primary_is_found(monkeypatch):
    def here_only(event, payment_id):
        found = books.find(payment_id, consistent=True)
        if found is None:
            raise lookup._not_found()
        return found

    monkeypatch.setattr(lookup, "payment", here_only)

    assert any("is not there" in found for _, broken in worlds(lambda faults: True) for found in broken)
