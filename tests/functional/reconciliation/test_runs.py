"""Which run an execution is given: one at a time, what is unfinished first, and each execution one of its own."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from functions.reconciliation import app, runs
from payments import clock


@pytest.fixture
def at(monkeypatch, world):
    """Sets the clock, minutes after ten."""

    def set_clock(minutes):
        world.now = f"2026-11-23T10:{minutes:02d}:00.000Z"

    return set_clock


def begin(execution, **asked):
    return app.begin({"execution": execution, "key": None, "as_of": None, **asked}, None)


def end(answer, *, matched=True):
    runs.close(runs.current(answer["run"]), {"lines": 1}, matched=matched)


def test_the_first_run_is_as_of_today(world):
    assert begin("a") == {"result": "begun", "run": "run_00000001", "key": None, "as_of": "2026-11-23", "mine": True}


def test_an_execution_that_asks_again_is_given_the_same_run(world):
    first = begin("a", key="inbox/visa/a.csv")

    assert begin("a", key="inbox/visa/a.csv") == first


def test_another_waits_until_the_run_is_over_and_then_has_its_own(world):
    first = begin("a")
    assert begin("b") == {"result": "busy"}

    end(first)

    assert begin("b", key="inbox/visa/b.csv") == {
        "result": "begun",
        "run": "run_00000002",
        "key": "inbox/visa/b.csv",
        "as_of": "2026-11-23",
        "mine": True,
    }


def test_a_silent_run_is_handed_to_whoever_asks_under_its_own_id(world, at):
    first = begin("a", key="inbox/visa/a.csv")
    at(31)

    assert begin("b", key="inbox/visa/b.csv") == {**first, "mine": False}
    assert begin("a", key="inbox/visa/a.csv") == {"result": "busy"}, "it is another's now"
    assert begin("b", key="inbox/visa/b.csv") == {**first, "mine": False}

    end(first)
    assert begin("b", key="inbox/visa/b.csv")["run"] == "run_00000002"
    assert begin("a", key="inbox/visa/a.csv") == first, "whose run another has finished has had its run"


def test_a_run_that_shows_life_is_not_taken_over(world, at):
    first = begin("a")
    at(20)
    runs.current(first["run"])
    at(40)

    assert begin("b") == {"result": "busy"}


def test_only_one_of_many_that_ask_at_once_begins(world):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(begin, "abcdefgh"))

    assert [answer["result"] for answer in answers].count("begun") == 1


def test_only_one_of_many_takes_a_silent_run_over(world, at):
    begin("x")
    at(31)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(begin, "abcdefgh"))

    assert [answer["result"] for answer in answers].count("begun") == 1


def test_a_run_of_an_earlier_day_than_the_last_is_refused(world):
    end(begin("a", as_of="2026-11-25"))

    assert begin("b", as_of="2026-11-24") == {"result": "refused", "code": "as_of_before_last"}
    assert begin("c")["as_of"] == "2026-11-25", "by default not before the last one either"


@pytest.mark.parametrize("as_of", ["yesterday", "20261123", "2026-11-31", "2026-W48-1", ""])
def test_what_is_no_day_is_refused(world, as_of):
    assert begin("a", as_of=as_of) == {"result": "refused", "code": "as_of_invalid"}


def test_a_run_goes_on_with_the_state_of_the_last_one_that_matched(world):
    first = begin("a")
    end(first)
    second = begin("b")
    end(second, matched=False)

    assert runs.current(begin("c")["run"]).before == first["run"]
    assert runs.current(second["run"]).before == first["run"]


def test_ending_a_run_again_does_not_end_the_next_one(world):
    first = begin("a")
    late = runs.current(first["run"])
    end(first)
    second = begin("b")

    runs.close(late, {"lines": 1}, matched=True)

    assert not runs.current(second["run"]).over
    assert runs.current(first["run"]).over


@pytest.mark.parametrize("step", [app.ingest, app.compact, app.match, app.report])
def test_a_step_of_no_run_says_so(world, step):
    answer = step({"run": "run_00000099", "part": 0, "key": None}, None)

    assert answer == {"result": "refused", "code": "no_such_run", "run": "run_00000099"}


def test_time_is_the_platforms(world):
    assert runs.current(begin("a")["run"]).began_at == clock.now()
