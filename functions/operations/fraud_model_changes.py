"""Which model scores charges: the item `model#champion`, as operators change it, once for each idempotency key.

Who promotes or rolls back says which model he saw in charge. So of two operators one is told that the other was first,
also when the other was done a minute ago: a second rollback would otherwise go on where the first one ended.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from functions.operations import fraud_model_store, fraud_table
from functions.operations.changes import Answered
from functions.operations.fraud_changes import replay
from functions.operations.fraud_requests import Change, Promoted, Switch
from functions.operations.fraud_table import Item, Overtaken
from functions.operations.fraud_values import GLOBAL
from functions.operations.settings import settings
from payments.errors import Busy, Conflict, NotFound

CHAMPION, SHADOW = "model#champion", "model#shadow"


def champion() -> dict[str, Any]:
    """The model that scores charges. Without an item it is the shipped one, since nobody knows when."""
    return _shown(fraud_table.read(GLOBAL, CHAMPION) or {})


def shadow() -> dict[str, Any] | None:
    """The model that scores charges beside it, without consequences; None when there is none."""
    item = fraud_table.read(GLOBAL, SHADOW)
    return {name: item.get(name) for name in ("version", "since", "run")} if item else None


def promote(change: Change, version: str) -> Answered:
    """Have a version score charges from now on. Raises `NotFound`, `Conflict`, `Busy` or `IdempotencyKeyReused`."""
    asked = _switch(change)
    named = replace(change, body=Promoted(version=version, champion=asked.champion, reason=asked.reason))

    def chosen(current: dict[str, Any]) -> tuple[str, str | None]:
        if version == current["version"]:
            raise Conflict("fraud_model_is_champion", "This version scores charges already.")
        _check(version)
        return version, current["version"]

    return _carry_out(named, asked.champion, chosen)


def rollback(change: Change) -> Answered:
    """Go back to the version before. Raises `Conflict`, `Busy` or `IdempotencyKeyReused`."""

    def chosen(current: dict[str, Any]) -> tuple[str, str | None]:
        if current["previous"] is None:
            raise Conflict("fraud_model_no_previous", "There is no model before this one. Promote one by its version.")
        try:
            _check(current["previous"])
        except NotFound:
            sentence = "The model before this one is neither in this region's bucket nor shipped. Promote another one."
            raise Conflict("fraud_model_unavailable", sentence) from None
        return current["previous"], None

    return _carry_out(change, _switch(change).champion, chosen)


def model_not_found() -> NotFound:
    """No such version can score anything."""
    return NotFound("fraud_model_not_found", "There is no such model in this region, or its files are damaged.")


def _carry_out(change: Change, seen: str, chosen: Callable[[dict[str, Any]], tuple[str, str | None]]) -> Answered:
    """`chosen` says which version is the champion then, and to which one may be rolled back."""
    if answered := replay(change):
        return answered
    before = fraud_table.read(GLOBAL, CHAMPION)
    current = _shown(before or {})
    if current["version"] != seen:
        raise _overtaken()
    version, previous = chosen(current)
    after = {"version": version, "previous": previous, "since": change.at, "by": change.by}
    answer = _shown(after)
    try:
        fraud_table.point(change, before, after, answer)
    except Overtaken:
        if answered := replay(change):
            return answered
        raise _overtaken() from None
    return Answered(answer)


def _shown(item: Item) -> dict[str, Any]:
    shipped = settings().shipped_model
    version = item.get("version", shipped)
    told = {"version": version, "previous": item.get("previous"), "since": item.get("since"), "by": item.get("by")}
    return {"object": "fraud_champion", **told, "shipped": version == shipped}


def _check(version: str) -> None:
    """Raises `NotFound` for what the fraud function could not load."""
    if version == settings().shipped_model:
        return
    told = fraud_model_store.about(version)
    if told is None or not fraud_model_store.is_whole(version, told):
        raise model_not_found()


def _switch(change: Change) -> Switch:
    assert isinstance(change.body, Switch)  # noqa: S101
    return change.body


def _overtaken() -> Busy:
    sentence = "Another model scores charges than the one this was decided against; nothing was done. Look again."
    return Busy("fraud_model_changed", sentence)
