"""Decisions that book: accept and adjust. Table, store and ledger are written one after the other, repeatably.

1. The decision is fixed: record, trail and idempotency key, in one transaction, with everything that follows from it.
   From now on nobody else can decide it, and runs no longer list it.
2. It is put into the store, so that the next run takes the movement for closed, and books nothing of it itself.
3. The ledger books it, under references that are derived from the record: at most once.
4. The record leaves the list of what is open, and the answer is kept under the key.

Whoever repeats the request goes on after the last step that was done. It begins while no run is under way only: a run
may have settled by itself what is decided here.
"""

from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

import msgspec

from functions.operations import bucket, changes, ledger, resources, table
from functions.operations.changes import Answered
from functions.operations.requests import Command, Resolve
from functions.operations.resources import BEGUN, DONE
from functions.operations.table import Overtaken
from payments import discrepancies, identifiers, transfers
from payments.discrepancies import NotBookable, Record
from payments.errors import Busy, Conflict
from payments.money import InvalidMoney
from payments.settlement import part_of

Claim = dict[str, Any]
"""A decision with everything that follows from it: `records` (their lines), `run` (whose results they were), `shard`,
`bookings` (requests to the ledger), and what is told of it."""


def carry_out(command: Command) -> Answered:
    """Accepts the network's figure, and gives or takes what is to be adjusted; once for each key.

    Raises `NotFound`, `Conflict` when it is no open discrepancy any more or cannot be booked, `Busy` when others are at
    it or a run is under way, `ProcessingFailed` when it is not finished, and `IdempotencyKeyReused`.
    """
    if answered := changes.replay(command):
        return answered
    claim = _begun(command)
    if claim is None:
        try:
            claim = _begin(command)
        except Overtaken:
            claim = _begun(command)
    return _finish(command, claim) if claim else changes.overtaken(command)


def _begun(command: Command) -> Claim | None:
    """What an earlier request with the same key, or one at this moment, has decided. Raises `Busy`."""
    marker = table.marker(command.key)
    if marker is None or marker["fingerprint"] != command.fingerprint:
        return None
    claim: Claim = msgspec.json.decode(marker["claim"])
    _still_ours(command, claim)
    return claim


def _begin(command: Command) -> Claim:
    """Fixes the decision. Raises `Overtaken`, and what `carry_out` raises."""
    record, *others = changes.opened(command)
    together = discrepancies.decided_with(record, others)
    claim = _claim(command, together)
    resolution = _resolution(claim, BEGUN)
    written = [
        table.mark(command, BEGUN, claim=_json(claim)),
        table.no_run_under_way(),
        table.audit(command, changes.what(command), {"resolution": None}, {"resolution": resolution}),
        *(table.change(item, {"resolution": resolution}) for item in together),
    ]
    if len(written) > _MOST_AT_ONCE:
        raise Conflict("too_many_lines", "A settlement that is split over so many lines cannot be decided here.")
    table.transact(written)
    return claim


_MOST_AT_ONCE = 100
"""What one transaction of DynamoDB takes."""


def _claim(command: Command, together: Sequence[Record]) -> Claim:
    """Everything that follows from the decision. Raises `Conflict` when it cannot be booked."""
    record, body = together[0], command.body
    assert isinstance(body, Resolve)  # noqa: S101
    shard = _shard(record)
    try:
        bookings = [*_settlement(record, together, shard, body), *_adjustment(record, body)]
    except (NotBookable, InvalidMoney) as error:
        raise Conflict("not_bookable", f"This cannot be booked: {error}.") from None
    told = {"action": body.action, "reason": body.reason, "by": command.by, "at": command.at, "key": command.key}
    named = {name: record.get(name) for name in ("network_ref", "class", "type", "movement", "currency", "run")}
    return {**told, **named, "records": [item["line"] for item in together], "shard": shard, "bookings": bookings}


def _settlement(record: Record, together: Sequence[Record], shard: int, body: Resolve) -> list[dict[str, Any]]:
    """What accepting books of the network; the ledger's own rules are asked first, so that it will not refuse."""
    settled = discrepancies.settled(together)
    if settled is None:
        return []
    place = {"network": str(record.get("network")), "currency": str(record.get("currency"))}
    reference = _reference(record)
    transfers.settlement(shard, reference, place["network"], place["currency"], settled, "", body.reason)
    return [
        {
            "kind": "settlement",
            "shard": shard,
            "reference": reference,
            **place,
            **asdict(settled),
            "reason": body.reason,
        }
    ]


def _adjustment(record: Record, body: Resolve) -> list[dict[str, Any]]:
    """What is given to the merchant, or taken."""
    if body.amount is None:
        return []
    merchant_id, reference, currency = record.get("merchant_id"), _reference(record), str(record.get("currency"))
    if not merchant_id:
        raise Conflict("merchant_unknown", "There is no merchant to give anything to, or to take it from.")
    transfers.adjustment(merchant_id, reference, body.amount, currency, "", body.reason)
    asked = {"merchant_id": merchant_id, "reference": reference, "amount": body.amount, "currency": currency}
    return [{"kind": "adjustment", **asked, "reason": body.reason}]


def _reference(record: Record) -> str:
    """What the ledger knows the record's decision by: one record is booked once, whoever decides."""
    name = f"{record['network_ref']}\0{record['line']}"
    return f"decision#{sha256(name.encode()).hexdigest()}"


def _shard(record: Record) -> int:
    """The payment's shard; any one, but always the same, for what belongs to no payment."""
    shard = record.get("shard")
    return int(shard) if shard is not None else part_of(record["network_ref"], identifiers.SHARDS)


def _still_ours(command: Command, claim: Claim) -> None:
    """Raises `Busy`, and gives the decision up, when a run has come to the record before it was in the store."""
    if bucket.has_resolution(command.network_ref, command.record, claim["type"]):
        return
    record = table.read(command.network_ref, command.record)
    if record is not None and record["run"] == claim["run"]:
        return
    begun = _resolution(claim, BEGUN)
    for line in claim["records"]:
        table.update(command.network_ref, line, holds={"resolution": begun}, values={"resolution": None})
    before, after = {"resolution": begun}, {"resolution": None}
    table.transact([table.forget(command.key), table.audit(command, "given_up", before, after)])
    raise Busy("discrepancy_changed", "A run came to it before this was decided; nothing was done. Look at it again.")


def _finish(command: Command, claim: Claim) -> Answered:
    """Everything after the first step."""
    for line in claim["records"]:
        bucket.put_resolution(_object(claim, line))
    for booking in claim["bookings"]:
        shard = booking.get("shard")
        ledger.book(identifiers.merchant_shard(booking["merchant_id"]) if shard is None else shard, booking)
    done = _resolution(claim, DONE)
    for line in claim["records"]:
        gone = {"open": None, "open_since": None}
        table.update(command.network_ref, line, holds={}, values={"resolution": done, **gone})
    return _answer(command, claim, done)


def _answer(command: Command, claim: Claim, done: str) -> Answered:
    """Keeps the answer under the key. A run may have removed the record by now: then it is what was decided."""
    named = {name: claim[name] for name in ("class", "type", "movement", "currency", "run")}
    known = {"network_ref": command.network_ref, "line": command.record, "resolution": done, **named}
    record = table.read(command.network_ref, command.record) or known
    answer = resources.discrepancy(record)
    table.update(f"key#{command.key}", "-", holds={}, values={"state": DONE, "answer": _json(answer)})
    return Answered(answer)


def _object(claim: Claim, line: str) -> dict[str, Any]:
    """What the next run reads of the decision about one record."""
    told = {name: value for name, value in claim.items() if name not in ("key", "records", "run", "shard")}
    return {**told, "record": line, "note": f"{claim['action']}: {claim['reason']}"}


def _resolution(claim: Claim, state: str) -> str:
    told = {name: claim[name] for name in ("action", "reason", "by", "at", "key", "bookings")}
    return _json({**told, "state": state})


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
