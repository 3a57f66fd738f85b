"""Stands in for the vault and for fraud scoring: what the saga and the network worker see of them, without any card.

A region's holding of a card is its own to write, and the holdings replicate, as in `functions/vault/holdings.py`. What
counts for the audit is which attempts let go of a token.
"""

import zlib
from typing import Any

from tests.simulation.tables import Tables

BLOCKED_CENTS, INVALID_CENTS = 66, 44
"""Amounts that end in these are likely to be blocked as fraud, and cards of these charges are invalid."""


class Vault:
    """One region's. `released` has every attempt that let go, `used` every token that a charge took to the network."""

    def __init__(self, region: str, tables: Tables, released: set[str], used: set[str]):
        self._region, self._tables, self.released, self.used = region, tables, released, used

    def tokenize(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Holds a card for an attempt."""
        number = event["card"]["sealed_card"].split(".")[3][:20]
        if number.startswith("invalid"):
            return {"result": "invalid_card", "code": "expired_card", "message": "The card has expired."}
        token = "tok_" + number
        holders = {*self._holders(token, event["merchant_id"]), event["attempt"]}
        self._hold(token, event["merchant_id"], holders)
        facts = {"brand": "visa", "network": "visa", "bin": "424242", "bin8": "42424242", "last4": "4242"}
        return {"result": "tokenized", "card": {"token": token, **facts, "exp_month": 12, "exp_year": 2031}}

    def release(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Lets go of a card for an attempt."""
        token, merchant = event["token"], event["merchant_id"]
        holders = self._holders(token, merchant) - {event["attempt"]}
        self.released.add(event["attempt"])
        self._hold(token, merchant, holders)
        return {"result": "kept" if holders or token in self.used else "released"}

    def detokenize(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """What the network may know of a card: None when no region's holding of it is here."""
        token, merchant = event["token"], event["merchant_id"]
        if not any(key[0] == token and key[1].startswith(merchant) for key in self._tables.items["tokens"]):
            return {"card": None}
        self.used.add(token)
        return {"card": {"token": token, "network": "visa", "bin": "424242"}}

    def _holders(self, token: str, merchant: str) -> set[str]:
        item = self._tables.items["tokens"].get((token, f"{merchant}#{self._region}"))
        return set(item["holders"]["SS"]) if item else set()

    def _hold(self, token: str, merchant: str, holders: set[str]) -> None:
        key = {"token": {"S": token}, "holding": {"S": f"{merchant}#{self._region}"}}
        self._tables.put("tokens", {**key, "holders": {"SS": sorted(holders)}})


def score(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The fraud function's answer. Two attempts at one charge may be scored differently: profiles are regional."""
    blocked = event["amount"] % 100 == BLOCKED_CENTS and zlib.crc32(event["attempt"].encode()) % 3 > 0
    said = {"score": 95, "decision": "block"} if blocked else {"score": 3, "decision": "allow"}
    return {**said, "reasons": [], "model": "simulated", "degraded": False, "features_hash": None, "rule": None}
