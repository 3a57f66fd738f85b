"""The items of the table `shards` (docs/interfaces.md, "The shard map"), for those who change it or look at all of it.

Every read is consistent: it tells what all regions agree on. Every write but a sign of life is of a whole item, if what
decides is as it was read: the table knows no transactions. Who only wants to know who writes for a shard asks
`payments.regions`. Everything here raises what the table raises.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal

import msgspec
from botocore.exceptions import ClientError

from payments import clock, identifiers, records, regions
from payments.clients import client
from payments.settings import TableSettings, load

Item = Mapping[str, Any]
Action = Literal["fail", "restore"]

RUNNING, DONE = "running", "done"
"""States of a move."""
SERVING, FAILED = "serving", "failed"
"""States of a region."""

_NEWEST, _STATES, _SIGNS, _TRAIL, _ORDERS = -1, -10, -20, -1000, -(10**12)
"""Where in the numbers that are no shards each kind of item begins; all go down from there."""
_ORDER_BYTES = 6
_BATCH = 100
"""Keys in a BatchGetItem."""
_PAUSE_SECONDS = 0.1


class Move(msgspec.Struct, frozen=True):
    """A move of shards, as the lock and the trail have it. Times are RFC 3339."""

    move: int
    """Its number, from 1: moves are made one after another."""
    id: str
    action: Action
    region: str
    by: str
    reason: str
    at: str
    state: Literal["running", "done"] = "running"
    moved: int = 0
    """Shards so far."""
    active_at: str | None = None
    """When somebody was last at work on it; None: nobody is."""
    ended_at: str | None = None


class Shard(msgspec.Struct, frozen=True):
    """Who writes for a shard, by which epoch, and which move brought it there (0: none)."""

    shard: int
    primary: str
    epoch: int = 0
    since: str | None = None
    moved_by: str | None = None
    move: int = 0


class State(msgspec.Struct, frozen=True):
    """Whether a region is sent traffic, and which move decided that (0: none)."""

    region: str
    state: Literal["serving", "failed"] = "serving"
    changed_at: str | None = None
    changed_by: str | None = None
    move: int = 0


class Sign(msgspec.Struct, frozen=True):
    """A region's sign of life: when, whether its own tables answered, and as JSON what it saw of the others."""

    region: str
    at: str
    well: bool
    sees: str = "{}"


class Overview(msgspec.Struct, frozen=True):
    """What the map says besides the shards: the newest move, and of each region its state and sign of life."""

    newest: Move | None
    states: dict[str, State]
    signs: dict[str, Sign | None]

    def serving(self) -> list[str]:
        """The regions that are sent traffic, in the order of the setting `REGIONS`."""
        return [region for region, state in self.states.items() if state.state == SERVING]


def overview() -> Overview:
    """The map without its shards."""
    names = list(regions.endpoints())
    found = _read([_NEWEST, *(start - n for start in (_STATES, _SIGNS) for n in range(len(names)))])
    newest = found.get(_NEWEST)
    return Overview(
        _move(newest) if newest else None,
        {name: _state(name, found.get(_STATES - n)) for n, name in enumerate(names)},
        {name: _sign(found.get(_SIGNS - n)) for n, name in enumerate(names)},
    )


def shards() -> list[Shard]:
    """All shards in ascending order, with or without an item."""
    numbers = range(identifiers.SHARDS)
    found = _read(numbers)
    return [_shard(number, found.get(number)) for number in numbers]


def state(region: str) -> State:
    """Whether a region is sent traffic."""
    key = _state_key(region)
    return _state(region, _read([key]).get(key))


def trail(newest_move: int, most: int) -> list[Move]:
    """The moves that have ended, the newest first, from this number downwards."""
    numbers = range(newest_move, max(0, newest_move - most), -1)
    found = _read([_TRAIL - number for number in numbers])
    return [_move(found[_TRAIL - number]) for number in numbers if _TRAIL - number in found]


def ended(order: str) -> Move | None:
    """The move that was made under this id, however long ago; None when none has ended."""
    key = _order_key(order)
    marker = _read([key]).get(key)
    if marker is None or marker["id"] != order:
        return None
    number = int(marker["move"])
    return next(iter(trail(number, 1)), None)


def begin(move: Move, before: Move | None) -> bool:
    """Takes the lock for a new move, if the newest one is still this one, and done. False: it is not."""
    return _replace(_NEWEST, {"move": before.move, "state": DONE} if before else None, move)


def note(move: Move) -> bool:
    """Writes how far the running move is, or that it has ended. False: it had ended before."""
    return _replace(_NEWEST, {"move": move.move, "state": RUNNING}, move)


def assign(before: Shard, after: Shard) -> bool:
    """Gives a shard to another region, if it has the epoch and primary that were read. False: somebody was first."""
    never_moved = ("epoch", "primary") if before.epoch == 0 else ()
    return _replace(before.shard, {"epoch": before.epoch, "primary": before.primary}, after, never_moved)


def mark(before: State, after: State) -> bool:
    """Marks a region, if no other move has since it was read. False: one has."""
    return _replace(_state_key(after.region), {"move": before.move}, after, () if before.move else ("move",))


def keep(move: Move) -> Move:
    """Writes a move into the trail, and under its id, once: the answer is what stands there."""
    number = _TRAIL - move.move
    _replace(number, None, move)
    kept = _move(_read([number])[number])
    _replace(_order_key(move.id), None, {"id": move.id, "move": move.move})
    return kept


def sign(told: Sign) -> None:
    """Writes a region's sign of life."""
    key = _SIGNS - list(regions.endpoints()).index(told.region)
    client("dynamodb").put_item(TableName=_table(), Item=_stored(key, msgspec.structs.asdict(told)))


def _order_key(order: str) -> int:
    """Ids are texts and the key is a number, so it is made of a digest; the item has the id itself."""
    return _ORDERS - int.from_bytes(sha256(order.encode()).digest()[:_ORDER_BYTES], "big")


def _state_key(region: str) -> int:
    return _STATES - list(regions.endpoints()).index(region)


def _replace(key: int, held: Item | None, after: msgspec.Struct | Item, missing: Sequence[str] = ()) -> bool:
    """Writes an item whole, if its attributes hold these values (None: if there is no item), of which some may as well
    be missing; whether it was so."""
    absent = "attribute_not_exists(#{})".format
    equal = [
        (f"({absent(name)} OR #{name} = :{name})" if name in missing else f"#{name} = :{name}") for name in held or ()
    ]
    asked: dict[str, Any] = {}
    if held:
        asked["ExpressionAttributeValues"] = {f":{name}": _value(value) for name, value in held.items()}
    content = msgspec.structs.asdict(after) if isinstance(after, msgspec.Struct) else after
    try:
        client("dynamodb").put_item(
            TableName=_table(),
            Item=_stored(key, content),
            ConditionExpression=" AND ".join(equal) or absent("shard"),
            ExpressionAttributeNames={f"#{name}": name for name in held or ("shard",)},
            **asked,
        )
    except ClientError as error:
        # ReplicatedWriteConflictException, when another region writes the item at this moment, says nothing of the
        # condition. The client tries it again, as all that botocore's model calls retryable.
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _read(keys: Iterable[int]) -> dict[int, Item]:
    wanted = list(keys)
    found: dict[int, Item] = {}
    for start in range(0, len(wanted), _BATCH):
        for item in _batch([{"shard": {"N": str(key)}} for key in wanted[start : start + _BATCH]]):
            found[int(item["shard"]["N"])] = records.plain(item)
    return found


def _batch(keys: list[dict[str, Any]]) -> Iterable[Item]:
    asked: Any = {_table(): {"Keys": keys, "ConsistentRead": True}}
    while asked:
        answer = client("dynamodb").batch_get_item(RequestItems=asked)
        yield from answer["Responses"].get(_table(), ())
        asked = answer.get("UnprocessedKeys")
        if asked:
            clock.pause(_PAUSE_SECONDS)


def _shard(number: int, item: Item | None) -> Shard:
    return msgspec.convert(item, Shard) if item else Shard(number, regions.home(number))


def _state(region: str, item: Item | None) -> State:
    return msgspec.convert({**(item or {}), "region": region}, State)


def _sign(item: Item | None) -> Sign | None:
    return msgspec.convert(item, Sign) if item else None


def _move(item: Item) -> Move:
    return msgspec.convert(item, Move)


def _stored(key: int, content: Item) -> dict[str, Any]:
    kept = {name: _value(value) for name, value in content.items() if value is not None and name != "shard"}
    return {"shard": {"N": str(key)}, **kept}


def _value(value: str | int | bool) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case _:
            return {"S": value}


def _table() -> str:
    return load(TableSettings).shards_table
