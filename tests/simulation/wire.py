"""Every request of every task goes over here: where time passes, where requests are lost, and where tasks die.

A task may die before it asks or after it was answered. The request takes effect in between, at one instant, whether
anybody still waits or not.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulation.faults import Fate, Faults
from tests.simulation.hub import Future, Hub, Killed, Place


class Refused(Exception):
    """The request was turned away at once; it did nothing."""


class Wire:
    """`trace` is told of each request, its fate, and its task."""

    def __init__(self, hub: Hub, faults: Faults, random: Random, trace: Callable[[str], None]):
        self.hub, self.faults, self.random, self._trace = hub, faults, random, trace

    def ask(self, what: str, effect: Callable[[], Any], at: Place | None, patience: float) -> Any:
        """What the effect gives, or what the future that it gives comes to. `at` is where it happens, `patience`
        how long, in seconds, it is waited for. Raises what the effect raises, `Refused` or `TimedOut`."""
        fate = self.faults.fate()
        self._note(what, fate)
        self._may_die(what)
        answer = Future()
        there, back = (self.random.uniform(0.001, 0.03) for _ in range(2))
        if fate is Fate.LATE:
            there = patience + self.random.uniform(0.1, 5)
        if fate is Fate.REFUSED:
            self.hub.after(there, lambda: answer.set(error=Refused(what)))
        elif fate is not Fate.LOST:
            heard = fate is not Fate.UNANSWERED
            self.hub.after(there, lambda: self._happens(effect, answer if heard else Future(), back), at)
        try:
            return self.hub.wait(answer, patience)
        finally:
            self._may_die(what)

    def _happens(self, effect: Callable[[], Any], answer: Future, back: float) -> None:
        try:
            given = effect()
        except Exception as error:  # noqa: BLE001 - it is whoever asked who hears of it
            given, failed = None, error
            self.hub.after(back, lambda: answer.set(error=failed))
            return
        if isinstance(given, Future):
            given.watch(lambda: self.hub.after(back, lambda: answer.set(given.value, given.error)))
        else:
            self.hub.after(back, lambda: answer.set(given))

    def _may_die(self, what: str) -> None:
        task = self.hub.current
        if task and task.place and self.faults.strikes("crash"):
            self._trace(f"{self.hub.now:9.3f} {task.name}: dies at {what}")
            raise Killed

    def _note(self, what: str, fate: Fate) -> None:
        name = self.hub.current.name if self.hub.current else "-"
        self._trace(f"{self.hub.now:9.3f} {name}: {what} {'' if fate is Fate.ANSWERED else fate.value}")
