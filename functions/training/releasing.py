"""The steps of a release: `shadow`, `judge`, `promote`, and `report`, with which every run ends. Each may be
repeated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from functions.training import champion, collecting, learning, pointers, reading, shadowing, store
from functions.training.labels import DAY
from functions.training.settings import Settings
from payments import clock
from payments.settings import load

SHADOW, JUDGE, PROMOTE = "shadow.json", "judge.json", "promote.json"
_STEPS = (collecting.OUTCOME, learning.OUTCOME, SHADOW, JUDGE, PROMOTE)

Outcome = dict[str, Any]


def shadow(run: str, before: str, challenger: str) -> Outcome:
    """Has the challenger asked beside the champion; `wait_s` is how long."""

    def work() -> Outcome:
        standing = pointers.put_shadow(run, challenger, clock.now()) if champion.version() == before else None
        if standing is None:
            return _superseded()
        return {"result": "shadowed", "since": standing.since, "wait_s": load(Settings).shadow_seconds}

    return _once(run, SHADOW, work)


def judge(run: str, before: str, challenger: str) -> Outcome:
    """Compares what both said since the shadow began. What is refused is asked no longer."""
    outcome = _once(run, JUDGE, lambda: _judged(run, before, challenger))
    if outcome["result"] != "passed":
        pointers.remove_shadow(run)
    return outcome


def promote(run: str, before: str, challenger: str) -> Outcome:
    """Makes the challenger the champion, if nobody has changed either of them since the run compared them."""

    def work() -> Outcome:
        done = pointers.promote(run, challenger, before, champion.shipped(), clock.now())
        return {"result": "promoted", "previous": before} if done else _superseded()

    outcome = _once(run, PROMOTE, work)
    pointers.remove_shadow(run)
    return outcome


def report(run: str) -> Outcome:
    """Puts everything that the run's steps came to into one report; its `result` is the last step's."""
    steps = {name.removesuffix(".json"): store.read_json(store.of_run(run, name)) for name in _STEPS}
    there = {name: found for name, found in steps.items() if found is not None}
    last = list(there.values())[-1] if there else {"result": "refused", "reasons": ["no_such_run"]}
    outcome = {
        "run": run,
        "result": last["result"],
        "reasons": last.get("reasons", []),
        "champion": there.get("collect", {}).get("champion"),
        "challenger": there.get("learn", {}).get("challenger"),
    }
    store.write_json(store.of_report(run), {**outcome, "steps": there})
    return outcome


def _judged(run: str, before: str, challenger: str) -> Outcome:
    standing = pointers.shadow()
    if standing is None or (standing.run, standing.version) != (run, challenger):
        return _superseded()
    since, until = (int(datetime.fromisoformat(moment).timestamp()) for moment in (standing.since, clock.now()))
    found = (one for day in range(since // DAY, until // DAY + 1) for one in reading.of_day(day))
    said = shadowing.both(found, before, challenger, since)
    reasons, figures = shadowing.judge(said, load(Settings).shadow_charges)
    return {"result": "refused" if reasons else "passed", "reasons": reasons, "shadow": figures}


def _superseded() -> Outcome:
    return {"result": "superseded", "reasons": ["superseded: the champion or the challenger is another one by now"]}


def _once(run: str, name: str, work: Callable[[], Outcome]) -> Outcome:
    """What the step came to when it was first taken to its end."""
    told = store.read_json(store.of_run(run, name))
    if told is None:
        told = work()
        store.write_json(store.of_run(run, name), told)
    return dict(told)
