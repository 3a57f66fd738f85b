"""Walks over all of a region's cards, page by page: to count them, to encrypt them anew, or to shred a merchant's.

A job remembers where it is (`job#<name>`, region), so whoever stops it can start it again. Each region walks over its
own holdings.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from functions.vault.errors import CardKeyMissing, CiphertextRefused, InvalidRequest, UnwrapRefused
from functions.vault.holdings import Holding, read_holding
from functions.vault.ring import MINIMUM_LEAD
from functions.vault.table import Item, Table, key_of
from functions.vault.vault import Vault, check_identifier

MAXIMUM_PAGE = 1_000

_JOB = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,99}")

Visit = Callable[[Holding], str]
"""What came of a holding: "changed", "refused" (it does not open, and needs a human), or "" for nothing."""


def walk(
    vault: Vault, tokens: Table, job: object, task: object, merchant_id: object, limit: object, now: float
) -> dict[str, Any]:
    """Works on the next page of a job: `{"seen", "changed", "counts", "done"}`, sums since it began. A job that is done
    stays done. Raises InvalidRequest for a job or task that cannot be."""
    if not isinstance(job, str) or not _JOB.fullmatch(job):
        raise InvalidRequest("job must be a name of small letters, digits and _ . : -")
    if not isinstance(limit, int) or not 0 < limit <= MAXIMUM_PAGE:
        raise InvalidRequest(f"limit must be 1 to {MAXIMUM_PAGE}")
    visit = _visit(vault, task, merchant_id, now)
    key = (f"job#{job}", vault.holdings.region)
    progress = _progress(tokens.get(key), str(task), merchant_id)
    if progress["done"]:
        return _shown(progress)
    items, following = tokens.page(limit, progress["next"])
    for holding in _own_holdings(items, vault.holdings.region):
        progress["seen"] += 1
        outcome = visit(holding)
        progress["changed"] += outcome == "changed"
        progress["counts"].update([*_classes(holding), *(["refused"] if outcome == "refused" else [])])
    progress |= {"next": following, "done": following is None}
    tokens.put(key, {"progress": {"S": json.dumps(progress)}, "kind": {"S": "job"}})
    return _shown(progress)


def _visit(vault: Vault, task: object, merchant_id: object, now: float) -> Visit:
    if task == "census":
        return lambda _: ""
    if task == "rewrap":
        _check_old_writers_gone(vault, now)
        return lambda holding: _rewrap(vault, holding, now)
    if task == "shred_merchant":
        check_identifier("merchant_id", merchant_id)
        return lambda holding: _shred(vault, holding, merchant_id, now)
    raise InvalidRequest("task must be census, rewrap or shred_merchant")


def _check_old_writers_gone(vault: Vault, now: float) -> None:
    """A card that is still written under the old key after the walk has passed it would be missed."""
    newest = vault.rings.read().of("kek")[-1]
    if newest.current_from + MINIMUM_LEAD > now and newest.number > 1:
        raise InvalidRequest(f"too early: begin {MINIMUM_LEAD} seconds after the new key has become current")


def _rewrap(vault: Vault, holding: Holding, now: float) -> str:
    if vault.safe.current(holding, now):
        return ""
    try:
        return "changed" if vault.holdings.relock(holding, vault.safe.renew(holding, now)) else ""
    except CardKeyMissing:
        return ""  # it is being shredded
    except (CiphertextRefused, UnwrapRefused):
        return "refused"  # one altered card must not hold up all others


def _shred(vault: Vault, holding: Holding, merchant_id: object, now: float) -> str:
    if holding.merchant_id != merchant_id:
        return ""
    return "changed" if vault.shred(holding.token, holding.merchant_id, now)["result"] == "shredded" else ""


def _own_holdings(items: list[Item], region: str) -> list[Holding]:
    return [read_holding(item) for item in items if key_of(item)[1].split("#")[1:] == ["card", region]]


def _classes(holding: Holding) -> list[str]:
    locked = holding.locked
    use = "used" if holding.used else "unused"
    return [use, f"token_key_{locked.token_key_version}", f"kek_{locked.kek_version}"]


def _progress(item: Item | None, task: str, merchant_id: object) -> dict[str, Any]:
    begun = {
        "task": task,
        "merchant_id": merchant_id,
        "seen": 0,
        "changed": 0,
        "counts": {},
        "next": None,
        "done": False,
    }
    progress: dict[str, Any] = begun if item is None else json.loads(item["progress"]["S"])
    if (progress["task"], progress["merchant_id"]) != (task, merchant_id):
        raise InvalidRequest("the job of that name is another one")
    return progress | {"counts": Counter(progress["counts"])}


def _shown(progress: dict[str, Any]) -> dict[str, Any]:
    return {name: progress[name] for name in ("seen", "changed", "done")} | {"counts": dict(progress["counts"])}
