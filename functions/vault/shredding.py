"""What the stream of `vault-tokens` tells a region to destroy.

A shredding that the other region recorded: our own holding of what had been presented by then goes as well. And the
removal of one of our holdings, by TTL or by a shredding that stopped half-way: its card key goes after it.
"""

from collections.abc import Mapping
from typing import Any

from functions.vault.holdings import read_holding
from functions.vault.table import integer, key_of
from functions.vault.vault import Vault


def follow(vault: Vault, record: Mapping[str, Any]) -> None:
    """Does what one stream record asks of this region; may be repeated."""
    change = record["dynamodb"]
    if record["eventName"] == "REMOVE":
        _after_removal(vault, change["OldImage"])
    else:
        _after_shredding(vault, change["NewImage"])


def _after_shredding(vault: Vault, image: dict[str, Any]) -> None:
    token, name = key_of(image)
    merchant_id, kind, region = name.split("#")
    if kind == "shredded" and region != vault.holdings.region:
        vault.destroy(token, merchant_id, integer(image, "at") or 0)


def _after_removal(vault: Vault, image: dict[str, Any]) -> None:
    """A card key is deleted once no holding of ours names it; a holding that names it may have been put back since."""
    _, name = key_of(image)
    if name.split("#")[1:] != ["card", vault.holdings.region]:
        return
    removed = read_holding(image)
    left = vault.holdings.own(removed.token, removed.merchant_id)
    if left is None or left.locked.card_key != removed.locked.card_key:
        vault.safe.destroy(removed.token, removed.locked)
