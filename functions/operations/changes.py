"""Commands on a discrepancy: assign, comment, and decisions that book nothing (wait, dispute).

A command is one transaction: the record, if it is as it was read, who did what to it, and the idempotency key with the
answer. So of two operators at the same record one is told that the other was first, and a repeated request finds its
answer.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from functions.operations import names, resources, table
from functions.operations.requests import Assign, Command, Resolve
from functions.operations.resources import DONE
from functions.operations.table import Item, Overtaken, Values
from payments import discrepancies
from payments.errors import Busy, IdempotencyKeyReused


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request is answered, now and whenever it is repeated."""

    body: dict[str, Any]
    replayed: bool = False


def carry_out(command: Command) -> Answered:
    """Carries out an `assign`, a `comment`, or the `wait` or `dispute` of a `resolve`, once for each key.

    Raises `NotFound`, `Conflict` when it is no open discrepancy any more, `Busy` when others are at it, and
    `IdempotencyKeyReused`.
    """
    if answered := replay(command):
        return answered
    record = opened(command)[0]
    values = changed(command)
    before = {name: record.get(name) for name in values}
    after = {name: value for name, value in {**record, **values}.items() if value is not None}
    answer = resources.discrepancy(after)
    written = [
        table.mark(command, DONE, answer=msgspec.json.encode(answer).decode()),
        table.change(record, values),
        table.audit(command, what(command), before, values),
    ]
    try:
        table.transact(written)
    except Overtaken:
        return overtaken(command)
    return Answered(answer)


def changed(command: Command) -> Values:
    """The attributes that a command changes, as they are then; None where one goes."""
    match command.body:
        case Assign(assignee):
            return {"assignee": assignee}
        case Resolve(action="wait", until=until):
            return {"wait_until": str(until)}
        case Resolve(action="dispute", reason=reason):
            told = {"by": command.by, "at": command.at, "reason": reason}
            return {"disputed": msgspec.json.encode(told).decode()}
        case _:
            return {}


def what(command: Command) -> str:
    """What the trail calls a command."""
    return command.body.action if isinstance(command.body, Resolve) else command.name


def replay(command: Command) -> Answered | None:
    """The answer to an earlier request with the same key; None when there was none, or it has not come to its end.

    Raises `IdempotencyKeyReused`.
    """
    marker = table.marker(command.key)
    if marker is None:
        return None
    if marker["fingerprint"] != command.fingerprint:
        raise IdempotencyKeyReused(
            "idempotency_key_reused", "This idempotency key was used with another request.", param="Idempotency-Key"
        )
    return Answered(msgspec.json.decode(marker["answer"]), replayed=True) if marker["state"] == DONE else None


def opened(command: Command) -> list[Item]:
    """The record that a command is about, and all other results of its reference.

    Raises `NotFound` when there is none, and `Conflict` when it is not open.
    """
    results = table.results(table.find(command.network_ref))
    found = [item for item in results if item["line"] == command.record]
    if not found:
        raise names.not_found()
    if not discrepancies.is_open(found[0]):
        raise table.closed()
    return found + [item for item in results if item["line"] != command.record]


def overtaken(command: Command) -> Answered:
    """The answer when somebody was first: the same request's, if it was that. Else raises why it was not done."""
    if answered := replay(command):
        return answered
    opened(command)
    raise Busy("discrepancy_changed", "Somebody else changed it at this moment; nothing was done. Look at it again.")
