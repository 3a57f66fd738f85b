"""Changes of lists and rules, each once for its idempotency key."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from functions.operations import fraud_table, names
from functions.operations.changes import Answered
from functions.operations.fraud_requests import Change, PutEntry, PutRule
from functions.operations.fraud_table import Item, Overtaken
from functions.operations.fraud_values import Listed
from payments import clock, proofs
from payments.errors import Busy, Conflict, IdempotencyKeyReused, NotFound

MOST_RULES = 50
"""Rules of a scope: every charge is held against each of them."""

_UNTRIED = (
    "It is on without ever having been in shadow with this condition; `payments fraud backtest` tells what it does."
)


def put_entry(change: Change, listed: Listed) -> Answered:
    """Put a value on a list. Raises `Busy` or `IdempotencyKeyReused`."""
    asked = change.body
    assert isinstance(asked, PutEntry)  # noqa: S101
    until = int(asked.expires_at.timestamp()) if asked.expires_at else None
    values = {"type": listed.type, "value": listed.shown, "action": asked.action, "expires_at": until}

    def after(before: Item | None) -> Item:
        created = before if before and active(before) else None
        return {**values, "reason": asked.reason, **_signed(change, created)}

    return _carry_out(change, after, entry, listed.kind)


def remove_entry(change: Change, listed: Listed) -> Answered:
    """Take a value off a list: it expires. Raises `NotFound`, `Busy` or `IdempotencyKeyReused`."""

    def after(before: Item | None) -> Item:
        if before is None or not active(before):
            raise entry_not_found()
        changed = {"expires_at": int(datetime.now(UTC).timestamp()), "reason": change.request["reason"]}
        return {**_content(before), **changed, **_signed(change, before)}

    return _carry_out(change, after, entry, None)


def put_rule(change: Change, rule_id: str) -> Answered:
    """Make a rule, or change it. Raises `Conflict`, `Busy` or `IdempotencyKeyReused`."""
    asked = change.body
    assert isinstance(asked, PutRule)  # noqa: S101
    rule = {"id": rule_id, "kind": asked.kind, "when": asked.when, "action": asked.action, "state": asked.state}
    condition = sha256(proofs.canonical({"kind": asked.kind, "when": asked.when}).encode()).hexdigest()

    def after(before: Item | None) -> Item:
        if before is None and fraud_table.count(change.scope, "rule#") >= MOST_RULES:
            raise Conflict("too_many_rules", f"A scope has at most {MOST_RULES} rules. Change one that is off.")
        tried = condition if asked.state == "shadow" else (before or {}).get("tried")
        untried = asked.state == "on" and tried != condition
        told = {"tried": tried, "note": _UNTRIED if untried else None, "reason": asked.reason}
        return {"rule": proofs.canonical(rule), **told, **_signed(change, before)}

    return _carry_out(change, after, rule_shown, None)


def entry(item: Item) -> dict[str, Any]:
    """A list's entry as the API shows it."""
    until = item.get("expires_at")
    return {
        "id": f"{item['type']}/{names.escaped(item['value'])}",
        "object": "fraud_list_entry",
        "scope": item["scope"],
        "type": item["type"],
        "value": item["value"],
        "action": item["action"],
        "active": active(item),
        "expires_at": clock.timestamp(datetime.fromtimestamp(until, UTC)) if until else None,
        **_who(item),
    }


def rule_shown(item: Item) -> dict[str, Any]:
    """A rule as the API shows it."""
    rule: dict[str, Any] = msgspec.json.decode(item["rule"])
    return {**rule, "object": "fraud_rule", "scope": item["scope"], "note": item.get("note"), **_who(item)}


def trail(scope: str, name: str) -> list[dict[str, Any]]:
    """Who did what to an entry or rule, the oldest first."""
    told = ("request", "before", "after")
    return [
        {**{field: item[field] for field in ("at", "by", "what")}, **{n: msgspec.json.decode(item[n]) for n in told}}
        for item in fraud_table.audits(scope, name)
    ]


def active(item: Item) -> bool:
    """Whether an entry is not over."""
    until = item.get("expires_at")
    return until is None or until > datetime.now(UTC).timestamp()


def entry_not_found() -> NotFound:
    """The value is not on the list."""
    return NotFound("fraud_list_entry_not_found", "There is no such entry in this list.")


def replay(change: Change) -> Answered | None:
    """The answer to an earlier request with the same key; None when there was none. Raises `IdempotencyKeyReused`."""
    marker = fraud_table.marker(change.key)
    if marker is None:
        return None
    if marker["fingerprint"] != change.fingerprint:
        raise IdempotencyKeyReused(
            "idempotency_key_reused", "This idempotency key was used with another request.", param="Idempotency-Key"
        )
    return Answered(msgspec.json.decode(marker["answer"]), replayed=True)


def _carry_out(
    change: Change, after: Callable[[Item | None], Item], shown: Callable[[Item], dict[str, Any]], kind: str | None
) -> Answered:
    if answered := replay(change):
        return answered
    before = fraud_table.read(change.scope, change.entry)
    item = after(before)
    answer = shown({**item, "scope": change.scope})
    try:
        fraud_table.write(change, before, item, answer, kind)
    except Overtaken:
        if answered := replay(change):
            return answered
        sentence = "Somebody else changed it at this moment; nothing was done. Look at it again."
        raise Busy("fraud_list_changed", sentence) from None
    return Answered(answer)


def _signed(change: Change, before: Item | None) -> Item:
    made = before or {"created_by": change.by, "created_at": change.at}
    created = {name: made[name] for name in ("created_by", "created_at")}
    return {**created, "changed_by": change.by, "changed_at": change.at}


def _content(item: Item) -> Item:
    return {name: value for name, value in item.items() if name not in ("scope", "entry", "version")}


def _who(item: Item) -> Item:
    return {name: item[name] for name in ("reason", "created_by", "created_at", "changed_by", "changed_at")}
