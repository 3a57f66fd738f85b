"""Lambdas `payments-reconciliation-…`: the steps of a run, in the order of the state machine. All may be repeated, at
any time and two at once. Contract: docs/reconciliation.md, "Functions"."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from functions.reconciliation import runs
from payments.observability import logger

_SPARE_MS = 120_000
"""What the last writes of a part may take: no more are begun when less is left."""

Answer = dict[str, Any]


class Context(Protocol):
    """What of Lambda's context the parts ask."""

    def get_remaining_time_in_millis(self) -> int: ...


class Asked(msgspec.Struct, frozen=True):
    """Who asks for a run, and for what: a settlement file's `key`, or a day."""

    execution: str
    key: str | None = None
    as_of: str | None = None


class OfRun(msgspec.Struct, frozen=True):
    """A step of a run."""

    run: str


class OfPart(OfRun, frozen=True):
    """A part of a run; `start` is where the call before this one stopped to write the table."""

    part: int
    start: int | None = None


def begin(event: dict[str, Any], context: object) -> Answer:
    """Gives the execution a run to work on, or says that another's is under way."""
    asked = msgspec.convert(event, Asked)
    try:
        given = runs.begin(asked.execution, asked.key, asked.as_of)
    except runs.Refused as refusal:
        return _told("begin", {"result": "refused", "code": str(refusal)})
    if given is None:
        return _told("begin", {"result": "busy"})
    run = given.run
    return _told("begin", {"result": "begun", "run": run.run, "key": run.key, "as_of": run.as_of, "mine": given.mine})


def ingest(event: dict[str, Any], context: object) -> Answer:
    """Takes in the run's settlement file, if it has one."""
    from functions.reconciliation import intake  # DuckDB takes long to import, and begin does without it

    return _step("ingest", msgspec.convert(event, OfRun), intake.take_file)


def compact(event: dict[str, Any], context: object) -> Answer:
    """Takes in what the projector has fed, and says which parts there are to match."""
    from functions.reconciliation import intake

    return _step("compact", msgspec.convert(event, OfRun), lambda run: {"parts": intake.take_feed(run)})


def match(event: dict[str, Any], context: Context) -> Answer:
    """Matches a part, books what is settled, and writes the table; `next` is where the next call goes on, if any."""
    from functions.reconciliation import comparison

    asked = msgspec.convert(event, OfPart)
    more = lambda: context.get_remaining_time_in_millis() > _SPARE_MS  # noqa: E731
    return _step("match", asked, lambda run: comparison.match(run, asked.part, asked.start, more))


def report(event: dict[str, Any], context: object) -> Answer:
    """Reports what the run came to, and ends it."""
    from functions.reconciliation import closing

    return _step("report", msgspec.convert(event, OfRun), closing.report)


def _step(name: str, asked: OfRun, work: Callable[[runs.Run], Answer]) -> Answer:
    try:
        run = runs.current(asked.run)
    except runs.NoSuchRun:
        return _told(name, {"result": "refused", "code": "no_such_run", "run": asked.run})
    return _told(name, work(run))


def _told(name: str, answer: Answer) -> Answer:
    logger.info(name, extra={"answer": answer})
    return answer
