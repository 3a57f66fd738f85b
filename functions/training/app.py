"""Lambdas `payments-training-…`: the steps of a run, in the order of the state machine. All may be repeated, at any
time. Contract: docs/fraud_training.md, "Steps"."""

from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

import msgspec

from payments.observability import logger

Answer = dict[str, Any]


class Asked(msgspec.Struct, frozen=True):
    """An execution of the state machine: its name, and when it began."""

    execution: str
    started_at: str

    @property
    def run(self) -> str:
        """The run's id, always the same for an execution; ids sort by time."""
        moment = datetime.fromisoformat(self.started_at).strftime("%Y%m%dT%H%M%S")
        return f"{moment}-{sha256(self.execution.encode()).hexdigest()[:8]}"


class OfRun(msgspec.Struct, frozen=True):
    """A run whose rows are collected, and the champion that it compares with."""

    run: str
    champion: str


class Release(msgspec.Struct, frozen=True):
    """A step of a release; `report` needs no models."""

    step: Literal["shadow", "judge", "promote", "report"]
    run: str
    champion: str = ""
    challenger: str = ""


def collect(event: Answer, context: object) -> Answer:
    """Fixes what the run learns from."""
    from functions.training import collecting  # numpy and LightGBM take long to import

    asked = msgspec.convert(event, Asked)
    found = collecting.collect(asked.run, asked.started_at)
    return _told("collect", {"run": asked.run, **_named(found, "result", "champion")})


def learn(event: Answer, context: object) -> Answer:
    """Trains the challenger and holds it against the champion."""
    from functions.training import learning

    asked = msgspec.convert(event, OfRun)
    found = learning.learn(asked.run, asked.champion)
    return _told("learn", {"run": asked.run, **_named(found, "result", "champion", "challenger", "reasons")})


def release(event: Answer, context: object) -> Answer:
    """Takes a step of the release."""
    from functions.training import releasing

    asked = msgspec.convert(event, Release)
    if asked.step == "report":
        return _told("report", releasing.report(asked.run))
    step = {"shadow": releasing.shadow, "judge": releasing.judge, "promote": releasing.promote}[asked.step]
    found = step(asked.run, asked.champion, asked.challenger)
    return _told(asked.step, {"run": asked.run, **_named(found, "result", "reasons", "since", "wait_s")})


def _named(found: Answer, *names: str) -> Answer:
    """What the state machine must know; everything else is in the run's folder."""
    return {name: found.get(name) for name in names if name in found}


def _told(name: str, answer: Answer) -> Answer:
    logger.info(name, extra={"answer": answer})
    return answer
