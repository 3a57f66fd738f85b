"""One thread, one virtual clock: tasks take turns, and whose turn it is follows from the seed.

A task is a greenlet: an invocation of a Lambda function, an execution of the state machine, a merchant. It runs until
it waits for something; the hub then goes to whatever is due next. Nothing here knows of AWS or of payments.
"""

import heapq
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet


class Killed(BaseException):
    """The process is gone: nothing of it runs from here on. No code under test may catch it."""


class NotSimulated(BaseException):
    """The code under test does what the simulator does not know yet: to be added here, not to be handled there."""


class Crashed(Exception):
    """Somebody else's task died: what whoever waits for its answer sees."""


class TimedOut(Exception):
    """What was waited for did not come in time; it may still happen."""


class Place:
    """What can be frozen as a whole: a region. Nothing that belongs to it happens before `thaws_at`."""

    def __init__(self, name: str):
        self.name, self.thaws_at = name, 0.0


class Future:
    """Something that will be known later, once: a value or an exception."""

    __slots__ = ("_watchers", "done", "error", "value")

    def __init__(self) -> None:
        self.done, self.value, self.error = False, None, None
        self._watchers: list[Callable[[], None]] = []

    def set(self, value: Any = None, error: Exception | None = None) -> None:
        """Make it known; what comes later changes nothing."""
        if not self.done:
            self.done, self.value, self.error = True, value, error
            for watcher in self._watchers:
                watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call this when it is known, or now if it is."""
        if self.done:
            watcher()
        else:
            self._watchers.append(watcher)


class Task:
    """Something that runs, in a place; `ended` becomes its result."""

    def __init__(self, hub: "Hub", name: str, place: Place | None, work: Callable[[], Any]):
        self.hub, self.name, self.place, self.ended = hub, name, place, Future()
        self.dead, self.ticket = False, 0
        self.run = greenlet(lambda: self._run(work), hub.greenlet)

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            value, error = work(), None
        except Killed:
            value, error = None, Crashed(self.name)
        except Exception as raised:  # noqa: BLE001 - the edge of a process
            value, error = None, raised
            self.hub.failed(self, raised)
        self.dead = True
        self.ended.set(value, error)


class Hub:
    """The clock (seconds from 0) and everything that is due."""

    def __init__(self) -> None:
        self.now, self.greenlet = 0.0, getcurrent()
        self.current: Task | None = None
        self._due: list[tuple[float, int, Place | None, Callable[[], None]]] = []
        self._count = 0
        self.tasks: list[Task] = []
        self.failed: Callable[[Task, Exception], None] = lambda task, error: None
        """Is told of each task that ends with an exception."""
        self.carry: Callable[[], Callable[[], None]] = lambda: lambda: None
        """Takes what the current task has in global variables, and gives what puts it there again."""

    def at(self, when: float, action: Callable[[], None], place: Place | None = None) -> None:
        """Do this then, or as soon as the place is not frozen."""
        self._count += 1
        heapq.heappush(self._due, (when, self._count, place, action))

    def after(self, seconds: float, action: Callable[[], None], place: Place | None = None) -> None:
        """Do this in so many seconds."""
        self.at(self.now + seconds, action, place)

    def spawn(self, name: str, place: Place | None, work: Callable[[], Any]) -> Task:
        """A new task; it begins when it is its turn."""
        task = Task(self, name, place, work)
        self.tasks.append(task)
        self.after(0, lambda: self._go_on(task, 0), place)
        return task

    def wait(self, future: Future, seconds: float | None = None) -> Any:
        """What the future comes to, for the current task. Raises its exception, or `TimedOut`."""
        task = self.current
        assert task is not None and not task.dead, "only a living task can wait"
        ticket = task.ticket = task.ticket + 1
        future.watch(lambda: self._go_on(task, ticket))
        if seconds is not None:
            self.after(seconds, lambda: self._go_on(task, ticket), task.place)
        restore = self.carry()
        self.greenlet.switch()
        restore()
        if task.dead:
            raise Killed
        if future.error:
            raise future.error
        if not future.done:
            raise TimedOut
        return future.value

    def sleep(self, seconds: float) -> None:
        """Let time pass for the current task."""
        woken = Future()
        self.after(seconds, woken.set)
        self.wait(woken)

    def kill(self, place: Place) -> None:
        """End every task of the place: none goes on, and whoever waits for one sees a crash."""
        for task in self.tasks:
            if task.place is place:
                self.end(task)

    def end(self, task: Task) -> None:
        """Let the task not go on, if it has not ended."""
        if not task.dead:
            task.dead = True
            task.ended.set(error=Crashed(task.name))

    def run(self, until: float) -> None:
        """Do everything that is due until then."""
        while self._due and self._due[0][0] <= until:
            when, _, place, action = heapq.heappop(self._due)
            self.now = max(self.now, when)
            if place and place.thaws_at > self.now:
                self.at(place.thaws_at, action, place)
            else:
                action()
        self.now = until

    def _go_on(self, task: Task, ticket: int) -> None:
        """Give the task its turn, unless it went on already."""
        if task.dead or task.ticket != ticket:
            return
        if task.place and task.place.thaws_at > self.now:
            self.at(task.place.thaws_at, lambda: self._go_on(task, ticket), task.place)
        elif self.current is not None:  # a future that a task made known: its waiters come after it
            self.after(0, lambda: self._go_on(task, ticket), task.place)
        else:
            task.ticket += 1
            self.current = task
            task.run.switch()
            self.current = None
