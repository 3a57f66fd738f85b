"""Shards are moved in order, each once and with a new epoch, and a move that was left is finished by anybody."""

from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from payments import clients, clock, identifiers, records, regions, shard_map, shard_moves
from payments.shard_moves import LAPSE_SECONDS, Order
from tests.functional.ledger.crashes import Crashes

EAST, WEST = "us-east-1", "us-west-2"
OPERATOR = "arn:aws:sts::123456789012:assumed-role/payments-operator/alice"
MOVES = {"fail": shard_moves.fail, "restore": shard_moves.restore}


@pytest.fixture(autouse=True)
def few(tables, monkeypatch):
    """Six shards stand for all: those of an even number are the first region's."""
    monkeypatch.setattr(identifiers, "SHARDS", 6)


@pytest.fixture
def later(monkeypatch):
    """Lets time pass."""
    now = clock.utc

    def pass_by(seconds):
        monkeypatch.setattr(clock, "utc", lambda: now() + timedelta(seconds=seconds))

    return pass_by


def forget():
    """The table is empty again."""
    for number in stored():
        clients.client("dynamodb").delete_item(TableName="shards", Key={"shard": {"N": str(number)}})


def order(key="1", reason="it does not answer", **more):
    return Order(identifiers.move_id("operator", key), OPERATOR, reason, **more)


def stored():
    """The table, by its keys."""
    items = clients.client("dynamodb").scan(TableName="shards", ConsistentRead=True)["Items"]
    return {int(item["shard"]["N"]): records.plain(item) for item in items}


def owners():
    return {shard.shard: (shard.primary, shard.epoch) for shard in shard_map.shards()}


def ends(steps):
    """A way to have no more time after so many shards."""
    left = iter([True] * steps)
    return lambda: next(left, False)


def test_a_failed_regions_shards_go_to_the_survivor_each_with_a_new_epoch():
    move = shard_moves.fail(EAST, order()).move

    assert owners() == {n: (WEST, 1) if n % 2 == 0 else (WEST, 0) for n in range(6)}
    assert (move.state, move.moved, move.move, move.action, move.region) == ("done", 3, 1, "fail", EAST)
    for number in (0, 2, 4):
        item = stored()[number]
        assert (item["moved_by"], item["move"]) == (move.id, 1)
        assert move.at <= item["since"] <= move.ended_at
    assert not {1, 3, 5} & set(stored()), "what was there before is left alone"


def test_whoever_asks_for_a_shard_sees_the_move():
    shard_moves.fail(EAST, order())

    found = regions.assignment(2, fresh=True)

    assert (found.primary, found.epoch) == (WEST, 1)
    assert found.since == stored()[2]["since"]


def test_traffic_leaves_before_shards_do_and_shards_go_in_ascending_order(monkeypatch):
    written, put = [], shard_map._replace

    def noticed(key, *rest):
        written.append(key)
        return put(key, *rest)

    monkeypatch.setattr(shard_map, "_replace", noticed)

    shard_moves.fail(EAST, order())

    assert written[:6] == [-1, -10, 0, 2, 4, -1001], "lock, mark, shards, trail"
    assert written[-1] == -1
    assert shard_map.state(EAST).state == "failed"


def test_restoring_brings_home_what_is_a_regions_own_and_nothing_else():
    shard_moves.fail(EAST, order())
    move = shard_moves.restore(EAST, order("2")).move

    assert owners() == {n: (EAST, 2) if n % 2 == 0 else (WEST, 0) for n in range(6)}
    assert (move.move, move.moved) == (2, 3)
    assert shard_map.state(EAST).state == "serving"
    assert [one.move for one in shard_map.trail(2, 20)] == [2, 1]


def test_nothing_to_do_is_an_answer():
    shard_moves.fail(EAST, order())

    again = shard_moves.fail(EAST, order("2"))

    assert (again.move.state, again.move.moved, again.replayed) == ("done", 0, False)
    assert owners()[0] == (WEST, 1)
    assert shard_moves.restore(WEST, order("3")).move.moved == 0, "it never lost any"


def test_the_same_order_again_is_answered_and_does_nothing_even_after_later_moves():
    first = shard_moves.fail(EAST, order())
    assert shard_moves.fail(EAST, order()) == shard_moves.Outcome(first.move, replayed=True)
    shard_moves.restore(EAST, order("2"))
    before = stored()

    late = shard_moves.fail(EAST, order())

    assert (late.move, late.replayed) == (first.move, True)
    assert stored() == before


def test_an_order_means_one_thing():
    shard_moves.fail(EAST, order())

    for region, action, reason in ((WEST, "fail", None), (EAST, "restore", None), (EAST, "fail", "another reason")):
        with pytest.raises(shard_moves.OrderReused):
            MOVES[action](region, order(**({"reason": reason} if reason else {})))
    shard_moves.restore(EAST, order("2"))
    with pytest.raises(shard_moves.OrderReused):
        shard_moves.fail(WEST, order())


def test_there_is_always_one_region_left():
    shard_moves.fail(EAST, order())
    before = stored()

    with pytest.raises(shard_moves.LastServingRegion):
        shard_moves.fail(WEST, order("2"))
    with pytest.raises(shard_moves.UnknownRegion):
        shard_moves.fail("eu-west-1", order("3"))

    assert stored() == before, "not even a lock is left"


def test_what_was_put_by_hand_is_moved_too():
    for number, item in {0: {"primary": EAST}, 1: {"primary": EAST, "epoch": 7}}.items():
        stored_item = {"shard": {"N": str(number)}} | {
            name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in item.items()
        }
        clients.client("dynamodb").put_item(TableName="shards", Item=stored_item)

    shard_moves.fail(EAST, order())

    assert owners()[0] == (WEST, 1)
    assert owners()[1] == (WEST, 8)


def test_without_time_a_move_waits_for_the_same_order_to_go_on():
    outcome = shard_moves.fail(EAST, order(), ends(2))

    assert (outcome.move.state, outcome.move.moved) == ("running", 2)
    assert [owners()[n][0] for n in (0, 2, 4)] == [WEST, WEST, EAST]
    assert shard_moves.lapsed(shard_map.overview().newest), "nobody need wait: it was left on purpose"
    assert shard_moves.fail(EAST, order()).move.moved == 3


def test_while_a_move_is_running_no_other_begins():
    crash(ends_after=1)

    with pytest.raises(shard_moves.MoveRunning) as refused:
        shard_moves.restore(EAST, order("2"))

    assert (refused.value.move.move, refused.value.move.region) == (1, EAST)
    assert owners()[4] == (EAST, 0)


def test_a_move_whose_maker_is_gone_is_finished_by_the_next_before_his_own(later):
    crash(ends_after=1)
    later(LAPSE_SECONDS + 1)

    shard_moves.restore(EAST, order("2"))

    assert owners() == {n: (EAST, 2) if n % 2 == 0 else (WEST, 0) for n in range(6)}
    first, second = reversed(shard_map.trail(2, 20))
    assert (first.action, first.moved, second.action, second.moved) == ("fail", 3, "restore", 3)


def test_who_is_at_a_long_move_says_so_and_is_left_alone(later):
    steps = iter(range(100))

    def slowly():
        later(20 * next(steps))
        return True

    def patient():
        slowly()
        assert not shard_moves.lapsed(shard_map.overview().newest)
        return True

    move = shard_moves.fail(EAST, order(), patient).move

    assert move.moved == 3


def crash(ends_after):
    """Begins to fail the first region, and is gone after so many shards, without a word."""

    class Gone(BaseException):
        pass

    left = iter([True] * ends_after)

    def dies():
        if not next(left, False):
            raise Gone
        return True

    with pytest.raises(Gone):
        shard_moves.fail(EAST, order(), dies)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("action", ["fail", "restore"])
@pytest.mark.parametrize("who", ["the same order", "another one", "the watchman"])
def test_gone_at_any_request_the_move_ends_the_same(monkeypatch, later, after, action, who):
    crashes = Crashes(monkeypatch)
    survived, number = False, 0
    while not survived:
        forget()
        later(0)
        if action == "restore":
            shard_moves.fail(EAST, order("0"))
        survived, _ = crashes.run(number, after, lambda: MOVES[action](EAST, order()))
        begun = not survived and shard_map.overview().newest
        later(LAPSE_SECONDS + 1)
        finish(who, action, begun if begun and begun.id == order().id else None)
        assert_moved(action)
        number += 1
    assert number > 10, "it died everywhere"


def finish(who, action, begun):
    """Somebody goes on, and where nothing was begun the order is given again."""
    if who == "the watchman" and begun and shard_moves.lapsed(begun):
        shard_moves.go_on(begun)
    if who == "another one" and begun:
        shard_moves.fail(EAST, order("9")) if action == "fail" else shard_moves.restore(EAST, order("9"))
    MOVES[action](EAST, order())


def assert_moved(action):
    seen = shard_map.overview()
    epoch, primary = (1, WEST) if action == "fail" else (2, EAST)
    assert owners() == {n: (primary, epoch) if n % 2 == 0 else (WEST, 0) for n in range(6)}
    assert seen.states[EAST].state == ("failed" if action == "fail" else "serving")
    assert seen.newest.state == "done"
    made = [move for move in shard_map.trail(seen.newest.move, 20) if move.id == order().id]
    assert [move.moved for move in made] == [3], "once, and the trail says how many"
    assert shard_map.ended(order().id) == made[0]


def test_a_decision_that_another_move_has_overtaken_is_not_carried_out():
    shard_moves.fail(EAST, order(after=0))
    shard_moves.restore(EAST, order("2", after=1))
    before = stored()

    for known in (0, 1):
        with pytest.raises(shard_moves.Overtaken):
            shard_moves.fail(EAST, order("3", after=known))

    assert stored() == before


@pytest.mark.parametrize("at", range(1, 9))
def test_who_wakes_up_in_a_move_that_is_long_over_does_no_harm(at):
    """He was frozen before his n-th write; meanwhile others finished the move and made the opposite one."""

    class Sleeper:
        """The client of somebody who is frozen before his n-th write."""

        def __init__(self, real):
            self.real, self.left = real, at

        def __getattr__(self, name):
            return getattr(self.real, name)

        def put_item(self, **asked):
            self.left -= 1
            if self.left == 0:
                meanwhile()
            return self.real.put_item(**asked)

    real = clients.client("dynamodb")

    def meanwhile():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shard_map, "client", lambda _: real)
            shard_moves.fail(EAST, order())
            shard_moves.restore(EAST, order("2"))

    sleeper = Sleeper(real)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_map, "client", lambda _: sleeper)
        shard_moves.fail(EAST, order())

    assert owners() == {n: (EAST, 2) if n % 2 == 0 else (WEST, 0) for n in range(6)}
    assert shard_map.overview().states[EAST].state == "serving"
    assert [move.moved for move in shard_map.trail(2, 20)] == [3, 3]


@pytest.mark.parametrize("code", ["ReplicatedWriteConflictException", "InternalServerError"])
def test_a_fault_is_not_taken_for_a_condition_that_does_not_hold(monkeypatch, code):
    """The first is DynamoDB's word for another region that writes the same item at this moment."""
    real = clients.client("dynamodb")

    class Refusing:
        def __init__(self, at):
            self.left = at

        def __getattr__(self, name):
            return getattr(real, name)

        def put_item(self, **item):
            self.left -= 1
            if self.left == 0:
                raise ClientError({"Error": {"Code": code}}, "PutItem")
            return real.put_item(**item)

    for at in range(1, 9):
        refusing = Refusing(at)
        with monkeypatch.context() as patch:
            patch.setattr(shard_map, "client", lambda _, found=refusing: found)
            with pytest.raises(ClientError):
                shard_moves.fail(EAST, order())
        assert shard_moves.fail(EAST, order()).move.moved == 3
        assert shard_map.overview().newest.state == "done"
        forget()
