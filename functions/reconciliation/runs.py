"""Runs: one is under way at a time. Whoever asks for one gets what is unfinished first.

The lease, item `run`, `current` of the table `settlements`, is the number of the last run and who works on it: its
execution, which is taken for dead when none of its functions was called for `LEASE_MINUTES`. A run that died is handed
to whoever asks next, under its own id. Each execution has one run of its own, however often it asks.
"""

from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from functions.reconciliation.items import stored
from functions.reconciliation.settings import Settings
from payments import clock
from payments.clients import client
from payments.records import plain
from payments.settings import load

CURRENT = "current"
RUN = "run"
"""Keys of the lease in the table; of the other items of `run` see docs/reconciliation.md, "Results"."""

RUNNING, OVER = "running", "over"


class Refused(Exception):
    """What was asked for is no run; the message is a code."""


class NoSuchRun(LookupError):
    """There is no run of this id, under way or over."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run. Ids sort by their numbers; `as_of` is a date, `key` the settlement file it was begun for.

    `origin` is the execution it was begun for, `execution` the one that works on it, and `before` the run whose state
    it goes on with: the last one before it that `matched`.
    """

    run: str
    number: int
    as_of: str
    key: str | None
    origin: str
    execution: str
    before: str | None
    began_at: str
    renewed_at: str
    state: str = RUNNING
    matched: str | None = None

    @property
    def over(self) -> bool:
        """Whether it has been reported."""
        return self.state == OVER


@dataclass(frozen=True, slots=True)
class Given:
    """An answer to an execution: a run to work on, which is `mine` when it was begun for it."""

    run: Run
    mine: bool


def begin(execution: str, key: str | None, as_of: str | None) -> Given | None:
    """The run that the execution works on next; None while another's is under way: ask again.

    Raises `Refused` when `as_of` is no date, or an earlier one than the last run's.
    """
    if as_of is not None and not _is_date(as_of):
        raise Refused("as_of_invalid")
    lease = _read(CURRENT)
    own = _read(f"execution#{execution}")
    if own and (lease is None or lease.run != own.run or lease.over):
        return Given(replace(own, state=OVER), True)
    if lease is None or lease.over:
        return _anew(lease, execution, key, as_of)
    if lease.execution != execution and not _is_silent(lease):
        return None
    return _taken(lease, execution)


def current(run: str) -> Run:
    """The run of this id, whose lease is renewed if it is under way. Raises `NoSuchRun`."""
    lease = _read(CURRENT)
    if lease and lease.run == run:
        if not lease.over:
            _renew(lease)
        return lease
    before = _read(run)
    if before is None:
        raise NoSuchRun(run)
    return before


def close(run: Run, totals: dict[str, Any], *, matched: bool) -> None:
    """The run is over, with these totals (plain values), and the next may begin.

    `matched` says whether the run left a state for the next one to go on with.
    """
    ended = replace(run, state=OVER, matched="yes" if matched else None)
    # The record of the run first: once its lease is gone, it is all that tells of the run.
    _put(run.run, {**_item(ended), "totals": stored(totals)})
    running = {":running": {"S": RUNNING}}
    _update(ended, "#run = :run AND #state = :running", running)


def _state_of(lease: Run) -> str | None:
    """The run that the one after the lease's goes on with."""
    return lease.run if lease.matched else lease.before


def _anew(lease: Run | None, execution: str, key: str | None, as_of: str | None) -> Given | None:
    """The next run, unless somebody else begins one in this moment."""
    first = lease is None
    last_day = lease.as_of if lease else ""
    if as_of is not None and as_of < last_day:
        raise Refused("as_of_before_last")
    now = clock.now()
    number = lease.number + 1 if lease else 1
    begun = Run(
        run=f"run_{number:08d}",
        number=number,
        as_of=as_of or max(now[:10], last_day),
        key=key,
        origin=execution,
        execution=execution,
        before=_state_of(lease) if lease else None,
        began_at=now,
        renewed_at=now,
    )
    unchanged = "attribute_not_exists(#run)" if first else "#run = :before AND #state = :over"
    values = {} if lease is None else {":before": {"S": lease.run}, ":over": {"S": OVER}}
    return Given(begun, True) if _begin(begun, unchanged, values) else None


def _begin(begun: Run, unchanged: str, values: dict[str, Any]) -> bool:
    """Whether the run is now under way: lease, and pointer of its execution, are written together."""
    table = load(Settings).settlements_table
    lease = {"TableName": table, "Item": {**_key(CURRENT), **_item(begun)}, "ConditionExpression": unchanged}
    lease["ExpressionAttributeNames"] = {"#run": "run", "#state": "state"} if values else {"#run": "run"}
    if values:
        lease["ExpressionAttributeValues"] = values
    pointer = {
        "TableName": table,
        "Item": {**_key(f"execution#{begun.origin}"), **_item(begun)},
        "ConditionExpression": "attribute_not_exists(network_ref)",
    }
    try:
        client("dynamodb").transact_write_items(TransactItems=[{"Put": lease}, {"Put": pointer}])
    except ClientError as error:
        if error.response["Error"]["Code"] != "TransactionCanceledException":
            raise
        return False
    return True


def _taken(lease: Run, execution: str) -> Given | None:
    """The unfinished run, now this execution's, unless somebody else takes it in this moment, or it shows life."""
    taken = replace(lease, execution=execution, renewed_at=clock.now())
    seen = {":seen": {"S": lease.renewed_at}, ":running": {"S": RUNNING}}
    if lease.execution == execution:
        _renew(lease)
    elif not _update(taken, "#run = :run AND #state = :running AND renewed_at = :seen", seen):
        return None
    return Given(taken, taken.origin == execution)


def _is_silent(lease: Run) -> bool:
    longest = timedelta(minutes=load(Settings).lease_minutes)
    return datetime.fromisoformat(lease.renewed_at) + longest < datetime.fromisoformat(clock.now())


def _renew(lease: Run) -> None:
    """The time only: execution and state are others' to change."""
    _change(
        "SET renewed_at = :now",
        "#run = :run AND #state = :running",
        lease.run,
        {
            ":now": {"S": clock.now()},
            ":running": {"S": RUNNING},
        },
    )


def _update(lease: Run, condition: str, values: dict[str, Any]) -> bool:
    """Whether the lease was as the condition says, and is now this one."""
    written = {name: value for name, value in _item(lease).items() if name in ("state", "execution", "matched")}
    change = ", ".join(f"#{name} = :new_{name}" for name in written)
    named = {f":new_{name}": value for name, value in written.items()}
    values = {**values, **named, ":now": {"S": clock.now() if lease.over else lease.renewed_at}}
    return _change(f"SET renewed_at = :now, {change}", condition, lease.run, values)


def _change(change: str, condition: str, run: str, values: dict[str, Any]) -> bool:
    used = [name for name in ("run", "state", "execution", "matched") if f"#{name}" in change + condition]
    try:
        client("dynamodb").update_item(
            TableName=load(Settings).settlements_table,
            Key=_key(CURRENT),
            UpdateExpression=change,
            ConditionExpression=condition,
            ExpressionAttributeNames={f"#{name}": name for name in used},
            ExpressionAttributeValues={**values, ":run": {"S": run}},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _read(line: str) -> Run | None:
    table = load(Settings).settlements_table
    item = client("dynamodb").get_item(TableName=table, Key=_key(line), ConsistentRead=True).get("Item")
    if item is None:
        return None
    found = plain(item)
    return Run(**{name: found.get(name) for name in Run.__slots__})  # type: ignore[arg-type]


def _put(line: str, attributes: dict[str, Any]) -> None:
    table = load(Settings).settlements_table
    client("dynamodb").put_item(TableName=table, Item={**_key(line), **attributes})


def _key(line: str) -> dict[str, Any]:
    return {"network_ref": {"S": RUN}, "line": {"S": line}}


def _item(run: Run) -> dict[str, Any]:
    """The attributes of an item, in DynamoDB's JSON; None is one that is not there."""
    return {
        name: {"N": str(value)} if isinstance(value, int) else {"S": value}
        for name, value in asdict(run).items()
        if value is not None
    }


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
