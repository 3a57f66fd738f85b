"""What is asked of a region, and what counts as an answer: over real connections, to servers that answer, fail, are
slow, or are frozen."""

import json
import socket
import time
from contextlib import contextmanager

import pytest

from functions.watchman import signals
from functions.watchman.judgement import Seen
from functions.watchman.settings import WatchmanSettings
from payments import clients, regions
from tests.functional.failover.servers import Region

EAST, WEST = "us-east-1", "us-west-2"
LIMIT = 2.0
SETTINGS = WatchmanSettings("payments-watchman", signal_seconds=LIMIT)


@contextmanager
def frozen():
    """An address whose process takes connections and never answers: what a frozen one looks like."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def free_address():
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{once.getsockname()[1]}"


@pytest.fixture
def east():
    region = Region()
    yield region
    region.server.shutdown()
    region.server.server_close()


@pytest.fixture
def west():
    region = Region()
    yield region
    region.server.shutdown()
    region.server.server_close()


@pytest.fixture
def look(east, west, monkeypatch):
    """Looks from the first region; `at` is where the other one is, `urls` whose health has an address."""
    clients.client.cache_clear()
    clients._session.cache_clear()

    def looking(at=None, urls=(EAST, WEST), failed=()):
        places = {EAST: east.url, WEST: at or west.url}
        monkeypatch.setattr(regions, "endpoints", lambda: places)
        monkeypatch.setattr(signals, "settings", lambda: SETTINGS)
        monkeypatch.setattr(signals, "health_urls", lambda: {name: f"{places[name]}/health" for name in urls})
        signals.make_clients(places)
        begun = time.monotonic()
        seen = signals.look([WEST], EAST, failed)
        return seen, time.monotonic() - begun

    yield looking
    clients.client.cache_clear()
    clients._session.cache_clear()


def test_when_all_tables_answer_nothing_else_is_asked(look, east, west):
    seen, took = look()

    assert seen == {EAST: Seen(True), WEST: Seen(True)}
    assert (east.asked, west.asked) == (["tables"], ["tables"])
    assert took < signals.PATIENCE_SECONDS


def test_of_a_frozen_region_nothing_answers_and_this_one_is_asked_whether_it_is_well(look, east):
    with frozen() as address:
        seen, took = look(address)

    assert seen == {EAST: Seen(True, True, True), WEST: Seen(False, False, False)}
    assert LIMIT <= took < LIMIT + 0.5, "all at the same time, and no longer than the limit"
    assert sorted(east.asked) == ["functions", "health", "tables"]


def test_of_a_region_that_is_failed_already_only_the_tables_are_asked(look, east, west):
    west.statuses["tables"] = 500

    seen, _ = look(failed={WEST})

    assert seen == {EAST: Seen(True), WEST: Seen(False)}
    assert (east.asked, west.asked) == (["tables"], ["tables"])


def test_of_a_killed_region_it_is_known_at_once(look):
    seen, took = look(free_address())

    assert seen[WEST] == Seen(False, False, False)
    assert took < LIMIT


def test_tables_that_are_slow_but_answer_in_time_are_no_sign_of_a_loss(look, west):
    west.delays["tables"] = 0.75 * LIMIT

    seen, _ = look()

    assert seen[WEST].tables is True


def test_where_the_own_tables_are_slow_too_this_region_is_not_well(look, east):
    """A saturated machine: everything is slow, so that nothing follows from others being slow."""
    east.delays["tables"] = 0.75 * LIMIT

    with frozen() as address:
        seen, _ = look(address)

    assert seen[EAST].tables is False


@pytest.mark.parametrize(("status", "answers"), [(400, True), (403, True), (429, True), (500, False), (503, False)])
def test_a_refusal_is_an_answer_and_a_fault_is_none(look, west, status, answers):
    west.statuses = {"tables": status, "functions": status}

    seen, _ = look()

    assert seen[WEST].tables is answers
    assert seen[WEST].functions is (None if answers else False)


def test_a_function_that_breaks_does_not_answer(look, west):
    west.statuses["tables"], west.fault = 500, True

    assert look()[0][WEST] == Seen(False, True, False)


@pytest.mark.parametrize("status", [503, 500, 301, 404])
def test_only_200_is_health(look, west, status):
    west.statuses = {"tables": 500, "health": status}

    assert look()[0][WEST] == Seen(False, False, True)


def test_without_an_address_health_is_not_asked(look, west):
    west.statuses["tables"] = 500

    seen, _ = look(urls=())

    assert (seen[EAST].health, seen[WEST]) == (None, Seen(False, None, True))


def test_a_function_is_asked_only_whether_it_lives():
    assert json.loads(json.dumps(signals.PING)) == {"ping": True}
