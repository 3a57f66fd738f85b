"""The watchman's rounds over the real map: what it does when a region is gone, and all that it must not do."""

from datetime import timedelta
from types import SimpleNamespace

import msgspec
import pytest
from botocore.exceptions import EndpointConnectionError

from functions.watchman import app, rounds, signals
from functions.watchman.judgement import Seen
from functions.watchman.rounds import Watch
from functions.watchman.settings import WatchmanSettings
from payments import clock, identifiers, regions, shard_map, shard_moves
from payments.shard_map import Sign
from payments.shard_moves import Order

EAST, WEST = "us-east-1", "us-west-2"
WELL, GONE = Seen(True), Seen(False, False, False)
SELF = Seen(True, True, True)
SETTINGS = WatchmanSettings("payments-watchman", watch_seconds=20)


class World:
    """Time, and what the signals of each region say."""

    def __init__(self):
        self.now, self.looks, self.counted, self.failed = 0.0, {EAST: SELF, WEST: WELL}, [], set()

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture
def world(tables, monkeypatch):
    """This is the first region; a look takes a second, and all that is waited for passes at once."""
    made, utc = World(), clock.utc

    def look(others, here, failed):
        assert (list(others), here) == ([WEST], EAST)
        made.failed = set(failed)
        made.now += 1
        return dict(made.looks)

    for module, name, value in (
        (clock, "utc", lambda: utc() + timedelta(seconds=made.now)),
        (clock, "monotonic", lambda: 1000 + made.now),
        (clock, "wait", made.wait),
        (identifiers, "SHARDS", 6),
        (signals, "look", look),
        (rounds, "settings", lambda: SETTINGS),
        (rounds, "count", made.counted.append),
    ):
        monkeypatch.setattr(module, name, value)
    return made


@pytest.fixture
def watch():
    return Watch()


def make(watch, world, count=1):
    for _ in range(count):
        rounds.make_round(watch, shard_moves.always)
        world.now += 4


def state(region=WEST):
    return shard_map.overview().states[region].state


def newest():
    return shard_map.overview().newest


def alive(region=WEST, well=True):
    shard_map.sign(Sign(region, clock.now(), well))


def test_a_region_that_is_gone_is_failed_over_in_the_third_round(watch, world):
    world.looks[WEST] = GONE
    make(watch, world, 2)
    assert newest() is None

    make(watch, world)

    move = newest()
    assert (move.action, move.region, move.by, move.state, move.moved) == ("fail", WEST, "watchman", "done", 3)
    assert "tables, health, functions failed in 3 rounds, seen from us-east-1" in move.reason
    assert state() == "failed"
    assert world.counted == ["RegionsJudgedDown", "AutomaticFailovers"]


def test_it_is_done_once_and_never_undone_by_itself(watch, world):
    world.looks[WEST] = GONE
    make(watch, world, 10)
    world.looks[WEST] = WELL
    world.now += 3600
    make(watch, world, 10)

    assert newest().move == 1
    assert state() == "failed"
    assert world.counted == ["RegionsJudgedDown", "AutomaticFailovers"], "nor told of again"
    assert world.failed == {WEST}, "and little is asked of it"


@pytest.mark.parametrize(
    "looks",
    [
        [GONE, GONE, WELL, GONE, GONE, WELL],
        [GONE, Seen(False, True, True), GONE, GONE, Seen(True, False, False)],
        [Seen(True, False, False)] * 9,
        [Seen(False, None, False)] * 9,
    ],
    ids=["back in between", "flutters", "slow", "too few signals"],
)
def test_what_is_not_gone_in_three_rounds_stays(watch, world, looks):
    for look in looks:
        world.looks[WEST] = look
        make(watch, world)

    assert newest() is None


@pytest.mark.parametrize("own", [Seen(False, True, True), Seen(True, False, False), Seen(True, None, False)])
def test_a_region_that_is_not_well_itself_fails_nobody_over(watch, world, own):
    world.looks |= {EAST: own, WEST: GONE}

    make(watch, world, 9)

    assert newest() is None
    assert not world.counted


def test_a_region_that_cannot_write_to_the_map_is_the_one_cut_off(watch, world, monkeypatch):
    world.looks[WEST] = GONE
    monkeypatch.setattr(shard_map, "sign", lambda told: gone())

    make(watch, world, 9)

    assert newest() is None


def test_a_region_that_cannot_read_the_map_goes_on_looking(watch, world, monkeypatch):
    world.looks[WEST] = GONE
    make(watch, world, 2)
    with monkeypatch.context() as patch:
        patch.setattr(shard_map, "overview", gone)
        make(watch, world)
    make(watch, world, 2)
    assert newest() is None, "the rounds before do not count any more"

    make(watch, world)

    assert state() == "failed"


def gone(*_):
    raise EndpointConnectionError(endpoint_url="https://dynamodb")


def test_a_fresh_sign_of_life_stands_against_all_silence(watch, world):
    world.looks[WEST] = GONE
    for _ in range(6):
        alive()
        make(watch, world)
    assert newest() is None

    for _ in range(3):
        alive(well=False)
        make(watch, world)

    assert state() == "failed", "it said itself that its tables do not answer"


def test_a_sign_of_life_counts_until_it_is_old(watch, world):
    alive()
    world.looks[WEST] = GONE

    make(watch, world, 5)
    assert newest() is None, "fifteen seconds old in the fourth round"
    make(watch, world)

    assert "sign" in newest().reason


def test_rounds_that_are_far_apart_are_not_in_a_row(watch, world):
    world.looks[WEST] = GONE
    for _ in range(5):
        make(watch, world)
        world.now += SETTINGS.longest_gap

    assert newest() is None, "it was frozen itself, or had no process: it knows nothing of the time between"


def test_shortly_after_any_move_none_is_made_by_itself(watch, world):
    shard_moves.fail(WEST, Order("mov_1", "somebody", "a drill"))
    shard_moves.restore(WEST, Order("mov_2", "somebody", "it is over"))
    world.looks[WEST] = GONE

    make(watch, world, 20)
    assert newest().move == 2
    assert world.counted == ["RegionsJudgedDown"], "somebody must look at it"
    world.now += SETTINGS.quiet_minutes * 60
    make(watch, world, 3)

    assert (newest().move, newest().by) == (3, "watchman")


def test_the_last_serving_region_is_never_failed(watch, world):
    shard_moves.fail(EAST, Order("mov_1", "somebody", "a drill"))
    world.now += 3600
    world.looks[WEST] = GONE

    make(watch, world, 9)

    assert newest().move == 1
    assert state() == "serving"


def test_a_decision_that_somebody_has_overtaken_is_dropped(watch, world, monkeypatch):
    world.looks[WEST] = GONE
    make(watch, world, 2)
    read = shard_map.overview

    def then_somebody_acts():
        found = read()
        monkeypatch.setattr(shard_map, "overview", read)
        shard_moves.fail(EAST, Order("mov_1", "somebody", "a drill"))
        shard_moves.restore(EAST, Order("mov_2", "somebody", "it is over"))
        return found

    monkeypatch.setattr(shard_map, "overview", then_somebody_acts)
    make(watch, world)

    assert newest().move == 2
    assert state() == "serving"
    assert "AutomaticFailovers" not in world.counted


def test_a_move_that_was_left_is_finished_and_one_that_is_late_is_told_of(watch, world):
    left = iter([True])
    shard_moves.fail(EAST, Order("mov_1", "somebody", "a drill"), lambda: next(left, False))
    assert newest().state == "running"

    make(watch, world)

    assert (newest().state, newest().moved) == ("done", 3)
    assert world.counted == []


def test_a_move_that_does_not_come_to_its_end_is_told_of(watch, world):
    shard_moves.fail(EAST, Order("mov_1", "somebody", "a drill"), lambda: False)
    world.now += 60 * rounds.LATE_MINUTES

    rounds.make_round(watch, lambda: False)

    assert world.counted == ["ShardMovesLate"]
    assert newest().state == "running", "there was no time"


def test_who_is_at_a_move_is_left_to_it(watch, world, monkeypatch):
    class Gone(BaseException):
        pass

    def dies():
        raise Gone

    with pytest.raises(Gone):
        shard_moves.fail(EAST, Order("mov_1", "somebody", "a drill"), dies)

    make(watch, world)
    assert newest().state == "running"
    world.now += shard_moves.LAPSE_SECONDS
    make(watch, world)

    assert newest().state == "done"


def test_each_round_gives_a_sign_of_life_with_what_was_seen_before(watch, world):
    make(watch, world)
    assert shard_map.overview().signs[EAST].sees == "{}"
    world.looks |= {EAST: Seen(False), WEST: GONE}
    make(watch, world, 2)

    sign = shard_map.overview().signs[EAST]

    assert not sign.well
    seen = msgspec.json.decode(sign.sees)
    assert seen == {WEST: {"tables": False, "health": False, "functions": False, "sign": None}}


def test_a_run_makes_rounds_for_as_long_as_it_is_told(watch, world):
    assert rounds.run(watch, shard_moves.always) == 4, "one every five seconds, for twenty"
    assert world.now == pytest.approx(16)


def test_the_handler_watches_or_says_that_it_lives(world, monkeypatch, capsys):
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
    monkeypatch.setattr(app, "_watch", Watch())

    assert app.handler({}, context) == {"rounds": 4}
    assert '"WatchmanRounds": 4' in capsys.readouterr().out
    assert app.handler(signals.PING, context) == {"region": EAST}
    assert regions.here() == EAST


def test_a_failover_begins_no_write_that_could_be_cut_off(world, monkeypatch):
    monkeypatch.setattr(app, "_watch", Watch())
    world.looks[WEST] = GONE

    app.handler({}, SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000))

    assert (newest().state, newest().moved) == ("running", 0)
    assert shard_moves.lapsed(newest()), "the next minute's run goes on at once"
