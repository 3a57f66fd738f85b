"""Walks over all of a region's cards, or card keys, page by page.

| task | does |
|---|---|
| `census` | counts the cards, by use and by key version |
| `rewrap` | encrypts every card under version `kek_version` of the key-encryption key, which must be current |
| `repair` | finishes shreddings, and drops holdings that do not open |
| `sweep_keys` | destroys card keys that no holding names: a crash left them behind |
| `shred_merchant` | shreds every card of `merchant_id` |

A job remembers where it is (`job#<name>`, region), so whoever stops it can start it again. Each region walks over its
own items.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from functions.vault.errors import CardKeyMissing, CiphertextRefused, InvalidRequest, UnwrapRefused
from functions.vault.holdings import Holding, read_holding
from functions.vault.ring import MINIMUM_LEAD
from functions.vault.table import Item, Table, integer, key_of
from functions.vault.vault import Vault, check_identifier

MAXIMUM_PAGE = 1_000
KEY_AGE = 3_600
"""Seconds after which a card key that nothing names was left behind: a holding follows its key within seconds."""

_JOB = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,99}")

Visit = Callable[[Item], list[str]]
"""What came of an item: `changed`, and how it is counted; nothing for an item that is none of ours."""


def walk(vault: Vault, tokens: Table, card_keys: Table, event: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Works on the next page of a job (`job`, `task`, `merchant_id`, `kek_version`, `limit`): `{"seen", "changed",
    "counts", "done"}`, sums since it began. A job that is done stays done. Raises InvalidRequest for what cannot be."""
    job, limit = event["job"], event["limit"]
    if not isinstance(job, str) or not _JOB.fullmatch(job):
        raise InvalidRequest("job must be a name of small letters, digits and _ . : -")
    if type(limit) is not int or not 0 < limit <= MAXIMUM_PAGE:
        raise InvalidRequest(f"limit must be 1 to {MAXIMUM_PAGE}")
    visit = _visit(vault, event, now)
    asked = {name: event[name] for name in ("task", "merchant_id", "kek_version")}
    progress = _progress(tokens.get((f"job#{job}", vault.region)), asked)
    if not progress["done"]:
        items, following = (card_keys if event["task"] == "sweep_keys" else tokens).page(limit, progress["next"])
        for item in items:
            outcome = visit(item)
            progress["seen"] += bool(outcome)
            progress["changed"] += "changed" in outcome
            progress["counts"].update(name for name in outcome if name not in ("seen", "changed"))
        progress |= {"next": following, "done": following is None}
        tokens.put((f"job#{job}", vault.region), {"progress": {"S": json.dumps(progress)}, "kind": {"S": "job"}})
    return {name: progress[name] for name in ("seen", "changed", "done")} | {"counts": dict(progress["counts"])}


def _visit(vault: Vault, event: Mapping[str, Any], now: float) -> Visit:
    task, merchant_id = event["task"], event["merchant_id"]
    visits: dict[object, Callable[[Holding], list[str]]] = {
        "census": _classes,
        "rewrap": lambda holding: _rewrap(vault, holding, now),
        "repair": lambda holding: _repair(vault, holding),
        "shred_merchant": lambda holding: _shred(vault, holding, merchant_id, now),
    }
    if task == "rewrap":
        _check_everybody_uses(vault, event["kek_version"], now)
    if task == "shred_merchant":
        check_identifier("merchant_id", merchant_id)
    if task == "sweep_keys":
        return lambda item: _sweep(vault, item, now)
    if task not in visits:
        raise InvalidRequest(f"task must be sweep_keys, {', '.join(map(str, visits))}")
    return lambda item: visits[task](read_holding(item)) if _is_own_card(item, vault.region) else []


def _check_everybody_uses(vault: Vault, version: object, now: float) -> None:
    """A card that is still written under an older key after the walk has passed it would be missed."""
    current = vault.rings.read().current("kek", now)
    if current.number != version:
        raise InvalidRequest(f"version {current.number} of the key-encryption key is current here: wait, or rotate it")
    if version != 1 and current.current_from + MINIMUM_LEAD > now:
        raise InvalidRequest(f"too early: begin {MINIMUM_LEAD} seconds after the new key has become current")


def _rewrap(vault: Vault, holding: Holding, now: float) -> list[str]:
    try:
        renewed = vault.keeping.renew(holding, now)
    except CardKeyMissing:
        return ["seen", "without_key"]  # it is being shredded, or a case for `repair`
    except (CiphertextRefused, UnwrapRefused):
        return ["seen", "refused"]  # one altered card must not hold up all others
    return ["seen", "changed"] if renewed else ["seen"]


def _repair(vault: Vault, holding: Holding) -> list[str]:
    mended = vault.keeping.repair(holding)
    return ["seen", "changed", mended] if mended else ["seen"]


def _shred(vault: Vault, holding: Holding, merchant_id: object, now: float) -> list[str]:
    if holding.merchant_id != merchant_id:
        return ["seen"]
    return ["seen", *(["changed"] if vault.keeping.shred(holding.token, holding.merchant_id, now) else [])]


def _sweep(vault: Vault, item: Item, now: float) -> list[str]:
    token, name = key_of(item)
    merchant_id, region, _ = name.split("#")
    if region != vault.region:
        return []
    if (integer(item, "created_at") or 0) > now - KEY_AGE:
        return ["seen"]
    return ["seen", *(["changed"] if vault.keeping.destroy_key(token, merchant_id, name) else [])]


def _is_own_card(item: Item, region: str) -> bool:
    return key_of(item)[1].split("#")[1:] == ["card", region] and "ciphertext" in item


def _classes(holding: Holding) -> list[str]:
    locked = holding.locked
    use = "used" if holding.used else "unused"
    return ["seen", use, f"token_key_{locked.token_key_version}", f"kek_{locked.kek_version}"]


def _progress(item: Item | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    begun = {**asked, "seen": 0, "changed": 0, "counts": {}, "next": None, "done": False}
    progress: dict[str, Any] = begun if item is None else json.loads(item["progress"]["S"])
    if any(progress[name] != value for name, value in asked.items()):
        raise InvalidRequest("the job of that name is another one")
    return progress | {"counts": Counter(progress["counts"])}
