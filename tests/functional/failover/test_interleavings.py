"""Several at the same map at once, in any order of their requests, some of whom are gone for good in the middle.

The map is in memory, with DynamoDB's conditions as the simulator reads them (held against moto by its own tests); each
operator is a greenlet that lets the others go on before every request.
"""

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from greenlet import GreenletExit, getcurrent, greenlet
from hypothesis import example, given, settings
from hypothesis import strategies as st

from payments import clock, identifiers, regions, shard_map, shard_moves
from payments.shard_moves import LAPSE_SECONDS, MoveRefused, MoveRunning, Order
from tests.simulation import expressions

EAST, WEST, SOUTH = "us-east-1", "us-west-2", "sa-east-1"
SHARDS = 5
PATIENCE = 30
"""How often somebody asks again who is told that another move is running."""

START = datetime(2026, 11, 23, 10, tzinfo=UTC)


class Map:
    """The table `shards`. Notes every epoch of a shard: its primary, and the move that made it."""

    def __init__(self):
        self.items, self.history, self.now = {}, {}, 0.0

    def put_item(self, TableName, Item, ConditionExpression, **names):
        self._turn()
        key = int(Item["shard"]["N"])
        test = expressions.condition(ConditionExpression)
        held = names.get("ExpressionAttributeValues", {})
        if not test(self.items.get(key, {}), names["ExpressionAttributeNames"], held):
            raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, "PutItem")
        self.items[key] = Item
        if key >= 0:
            told = int(Item["epoch"]["N"]), Item["primary"]["S"], int(Item["move"]["N"])
            self.history.setdefault(key, []).append(told)

    def batch_get_item(self, RequestItems):
        self._turn()
        asked = RequestItems["shards"]
        assert asked["ConsistentRead"]
        found = [self.items[int(key["shard"]["N"])] for key in asked["Keys"] if int(key["shard"]["N"]) in self.items]
        return {"Responses": {"shards": found}}

    def _turn(self):
        """The others go on. A request takes a second, so that who waits for long is taken for gone."""
        if getcurrent().parent:
            getcurrent().parent.switch()
        self.now += 1.0


@pytest.fixture(scope="module", autouse=True)
def small_world():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identifiers, "SHARDS", SHARDS)
        patch.setattr(regions, "endpoints", lambda: dict.fromkeys((EAST, WEST, SOUTH)))
        yield


def played(orders, turns):
    """What came of these orders (action, region, number) when their makers took turns so: who, for how many requests,
    and what happens then. Everybody who is left comes to his end, and the last one finishes what was left."""
    world = Map()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_map, "client", lambda _: world)
        patch.setattr(clock, "utc", lambda: START + timedelta(seconds=world.now))
        makers = [greenlet(lambda found=found: carry_out(*found)) for found in orders]
        for who, requests, then in turns:
            maker = makers[who % len(makers)]
            for _ in range(requests):
                maker.dead or maker.switch()
            if then == "dies" and maker:
                maker.throw(GreenletExit)
            world.now += LAPSE_SECONDS * (then == "sleeps")
        for maker in makers:
            while not maker.dead:
                maker.switch()
        seen = shard_map.overview()
        if seen.newest and seen.newest.state == "running":
            shard_moves.go_on(seen.newest)
        seen = shard_map.overview()
        made = seen.newest.move if seen.newest else 0
        return world, seen, shard_map.shards(), shard_map.trail(made, made)


def carry_out(action, region, number):
    make = {"fail": shard_moves.fail, "restore": shard_moves.restore}[action]
    for _ in range(PATIENCE):
        try:
            return make(region, Order(identifiers.move_id("operator", str(number)), "somebody", "a reason"))
        except MoveRunning:
            continue
        except MoveRefused as refused:
            return refused
    return None


ORDERS = st.lists(
    st.tuples(st.sampled_from(["fail", "restore"]), st.sampled_from([EAST, WEST, SOUTH]), st.integers(1, 4)),
    min_size=2,
    max_size=5,
)
TURNS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 40), st.sampled_from(["waits", "waits", "sleeps", "dies"])), max_size=12
)


@settings(max_examples=400, deadline=None)
@example([("fail", EAST, 1), ("fail", EAST, 2)], [(0, 1, "waits"), (1, 1, "waits")] * 60)
@example([("fail", EAST, 1), ("fail", EAST, 1)], [(0, 1, "waits"), (1, 1, "waits")] * 60)
@example([("fail", EAST, 1), ("restore", EAST, 2)], [(0, 5, "dies"), (1, 90, "waits")])
@example([("fail", EAST, 1), ("fail", WEST, 2), ("fail", SOUTH, 3)], [(n, 1, "waits") for n in (0, 1, 2)] * 60)
@example([("fail", EAST, 1), ("fail", WEST, 2), ("fail", SOUTH, 3)], [(n, 2, "waits") for n in (0, 1, 2)] * 60)
@example([("fail", EAST, 1), ("restore", EAST, 2)], [(0, 4, "sleeps"), (1, 90, "waits"), (0, 90, "waits")])
@example([("fail", EAST, 1), ("restore", EAST, 2)], [(0, 5, "sleeps"), (1, 90, "waits"), (0, 90, "waits")])
@example([("fail", EAST, 1), ("restore", EAST, 2)], [(0, 6, "sleeps"), (1, 90, "waits"), (0, 90, "waits")])
@example([("fail", EAST, 1), ("restore", EAST, 2)], [(0, 7, "sleeps"), (1, 90, "waits"), (0, 90, "waits")])
@example([("fail", EAST, 1), ("restore", EAST, 2)], [(0, 8, "sleeps"), (1, 90, "waits"), (0, 90, "waits")])
@example([("fail", EAST, 1), ("restore", EAST, 2)], [(0, 9, "sleeps"), (1, 90, "waits"), (0, 90, "waits")])
@given(ORDERS, TURNS)
def test_an_epoch_has_one_primary_and_no_shard_is_without_one(orders, turns):
    world, seen, shards, trail = played(orders, turns)

    for number, moves in world.history.items():
        assert [epoch for epoch, _, _ in moves] == list(range(1, len(moves) + 1)), f"shard {number}"
        before = regions.home(number)
        by = [move for _, _, move in moves]
        assert by == sorted(set(by)), "a move that is over moves nothing any more"
        for _, primary, _ in moves:
            assert primary != before, "an epoch is a change of the primary"
            before = primary
    assert seen.serving(), "somebody is left"
    assert {shard.primary for shard in shards} <= set(seen.serving()), "a failed region writes for no shard"
    assert [move.move for move in trail] == list(range(len(trail), 0, -1)), "every move is in the trail"
    assert len({move.id for move in trail}) == len(trail), "an order is one move"
    assert all(move.state == "done" for move in trail)
    for shard in shards:
        assert shard.epoch == 0 or trail[-shard.move].id == shard.moved_by


def test_of_two_who_fail_different_regions_both_are_heard_one_after_the_other():
    _, seen, shards, trail = played([("fail", EAST, 1), ("fail", WEST, 2)], [(0, 1, "waits"), (1, 1, "waits")] * 100)

    assert seen.serving() == [SOUTH]
    assert {shard.primary for shard in shards} == {SOUTH}
    assert [move.move for move in trail] == [2, 1]
