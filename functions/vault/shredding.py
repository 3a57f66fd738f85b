"""What the stream of `vault-tokens` tells a region to destroy.

A shredding that the other region recorded: our own holding of what had been presented by then goes, and its card key.
Of our own holdings, what was shredded here and what TTL has removed: their card keys go, if they have not gone yet.
"""

from collections.abc import Mapping
from typing import Any

from functions.vault.table import key_of
from functions.vault.vault import Vault


def follow(vault: Vault, record: Mapping[str, Any]) -> None:
    """Does what one stream record asks of this region; may be repeated, and come late."""
    change = record["dynamodb"]
    image = change["OldImage" if record["eventName"] == "REMOVE" else "NewImage"]
    token, holding = key_of(image)
    merchant_id, _, region = holding.split("#")
    if region != vault.region:
        if record["eventName"] != "REMOVE":
            vault.keeping.destroy(token, merchant_id, int(image["shredded_at"]["N"]))
    elif "card_key" in image:
        vault.keeping.destroy_key(token, merchant_id, image["card_key"]["S"])
