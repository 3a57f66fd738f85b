"""One region: its tables, its functions, its event bus with the network worker's queue, and its state machine."""

import json
from collections.abc import Callable
from typing import Any

from payments.events import AGREEMENT
from tests.simulation.hub import Crashed, Future, Place, TimedOut
from tests.simulation.machine import Machine, TaskFailed
from tests.simulation.tables import Tables
from tests.simulation.wire import Refused, Wire

Handler = Callable[[dict[str, Any], Any], Any]

MACHINE_SECONDS = 60
"""`TimeoutSeconds` of the state machine."""

VISIBILITY_SECONDS = 45.0
"""How long a message that was not finished stays away; some seconds longer than the worker is ever busy with one."""

RECEIVES = 5
"""How often a message is tried before it becomes a dead letter."""

STREAM_SECONDS = 2.0
"""After which a stream's record that failed is tried again; it is so for longer than any run takes."""

TO_NETWORK = ("charge_authorized", "payment_command")


class Context:
    """What Lambda passes beside the event."""

    function_name, memory_limit_in_mb, aws_request_id = "f", 128, "request-1"
    invoked_function_arn = "arn:aws:lambda:::f"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 900_000


class Region(Place):
    """`memory` is what the processes of the region keep between invocations. `severed` says whether the line to another
    region is cut, `hears` is told of every event that the bus takes."""

    def __init__(self, name: str, skew: float, wire: Wire, tables: Tables):
        super().__init__(name)
        self.skew, self.tables = skew, tables
        self.functions: dict[str, Handler] = {}
        self.memory: dict[str, dict[Any, Any]] = {}
        self.queued = 0
        self.unheard: set[str] = set()
        """Payments that the bus was told to have held against their journals, and told nobody: AWS's loses nothing, and
        only the daily audit looks again."""
        self._dead_letters: list[dict[str, Any]] = []
        self._receipts, self._put_off = 0, dict[str, float]()
        self.severed: Callable[[Region], bool] = lambda sender: False
        self.hears: Callable[[dict[str, Any]], None] = lambda event: None
        self._wire, self._hub, self._count = wire, wire.hub, 0
        self.machine: dict[str, Any] = {}

    def invoke(self, function: str, event: Any, sender: "Region | None" = None) -> Future:
        """The JSON of a function's answer, some time later. A line that is cut carries nothing."""
        if sender not in (None, self) and self.severed(sender):
            return Future()
        handler = self.functions[function]
        text = json.dumps(event)
        return self._start(function, lambda: json.dumps(handler(json.loads(text), Context()))).ended

    def execute(self, charge: dict[str, Any]) -> Future:
        """An execution of the state machine, as StartSyncExecution answers it."""
        answered = Future()
        task = self._start("saga", lambda: self._machine().run(charge))

        def ended() -> None:
            output = {"status": "SUCCEEDED", "output": json.dumps(task.ended.value)}
            answered.set({"status": "FAILED"} if task.ended.error else output)

        task.ended.watch(ended)
        self._hub.after(MACHINE_SECONDS, lambda: self._hub.end(task), self)
        return answered

    def put_events(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        """Takes events and sends them to their queues; a drop is one that never gets there."""
        for entry in entries:
            event = json.loads(entry["Detail"])
            self.hears(event)
            if entry["DetailType"] in TO_NETWORK:
                copies = 1 + self._wire.faults.strikes("duplicate") - self._wire.faults.strikes("drop")
                for _ in range(copies):
                    self._queue({"detail": event}, 1)
                if not copies and event.get("operation") == AGREEMENT:
                    self.unheard.add(event["payment_id"])
        return {"FailedEntryCount": 0}

    def replaced(self, table: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        """The stream of payments, of which the filter of `payments-conflicts` lets through what another region has
        written over (cdk/stacks/workers.py)."""
        writers = old.get("written_in"), new.get("written_in")
        if table == "payments" and writers[0] == {"S": self.name} != writers[1] is not None:
            self._show({"dynamodb": {"SequenceNumber": "1", "OldImage": old, "NewImage": new}})

    def _show(self, record: dict[str, Any], wait: float = 0.0) -> None:
        """Until it is worked off: a stream loses nothing."""
        self.queued += 1
        self._hub.after(wait + self._wire.random.uniform(0.1, 1.0), lambda: self._work_off(record), self)

    def _work_off(self, record: dict[str, Any]) -> None:
        answer = self.invoke("payments-conflicts", {"Records": [record]})

        def ended() -> None:
            self.queued -= 1
            if answer.error or json.loads(answer.value)["batchItemFailures"]:
                self._show(record, STREAM_SECONDS)

        answer.watch(ended)

    def put_off(self, receipt: str, seconds: float) -> None:
        """A message that is at work comes again so much later, if it fails."""
        self._put_off[receipt] = seconds

    def redrive(self) -> None:
        """What an operator does about dead letters, whose alarm is on."""
        letters, self._dead_letters = self._dead_letters, []
        for envelope in letters:
            self._queue(envelope, 1)

    def _start(self, name: str, work: Callable[[], Any]) -> Any:
        self._count += 1
        return self._hub.spawn(f"{self.name}/{name}#{self._count}", self, work)

    def _queue(self, envelope: dict[str, Any], receives: int, wait: float = 0.0) -> None:
        self.queued += 1
        delay = wait + self._wire.random.uniform(0.01, 3.0 if self._wire.random.random() < 0.2 else 0.2)
        self._hub.after(delay, lambda: self._deliver(envelope, receives), self)

    def _deliver(self, envelope: dict[str, Any], receives: int) -> None:
        self._receipts += 1
        handle = str(self._receipts)
        attributes = {"ApproximateReceiveCount": str(receives)}
        record = {"messageId": "m", "body": json.dumps(envelope), "receiptHandle": handle, "attributes": attributes}
        answer = self.invoke("payments-network", {"Records": [record]})

        def ended() -> None:
            self.queued -= 1
            failed = answer.error or json.loads(answer.value)["batchItemFailures"]
            wait = self._put_off.pop(handle, VISIBILITY_SECONDS)
            if failed and receives < RECEIVES:
                self._queue(envelope, receives + 1, wait)
            elif failed:
                self._dead_letters.append(envelope)

        answer.watch(ended)

    def _machine(self) -> Machine:
        return Machine(self.machine, self._perform, self._hub.sleep, self._wire.random)

    def _perform(self, resource: str, asked: Any, seconds: float) -> Any:
        """A task of the state machine."""

        def effect() -> Any:
            if resource == "arn:aws:states:::events:putEvents":
                entries = [{**entry, "Detail": json.dumps(entry["Detail"])} for entry in asked["Entries"]]
                return self.put_events(entries)
            return self.invoke(resource, asked)

        try:
            answer = self._wire.ask(f"{self.name} {resource} {asked.get('operation', '')}", effect, self, seconds)
        except TimedOut:
            raise TaskFailed("States.Timeout") from None
        except Refused:
            raise TaskFailed("Lambda.TooManyRequestsException") from None
        except Crashed:
            raise TaskFailed("States.TaskFailed") from None
        except Exception as error:  # noqa: BLE001 - the function raised it
            raise TaskFailed(type(error).__name__) from None
        return json.loads(answer) if isinstance(answer, str) else answer
