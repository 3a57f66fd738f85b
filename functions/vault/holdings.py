"""Who holds which card: one item per token, merchant and region, in the table `vault-tokens`.

A holding (`token`, `<merchant>#card#<region>`) is written by its own region only, so that no region's copy can ever
replace what another one knows (global tables keep the last writer's whole item); readers take all of a merchant's
holdings of a token together, and the token lives as long as one of them does. It has the card's facts, its ciphertext,
the name of its card key, and

- `holders`: the attempts that may still need it; `stored` is the merchant who keeps the card for later;
- `expires_at` (Unix seconds): from then on it counts as gone, and DynamoDB's TTL deletes it when it gets round to it;
- `released_at`: the last attempt let go of it before it was ever used;
- `used_at`, `kept_until`: set once a charge reached the network. A used holding never expires: `kept_until` is the end
  of the year 9999, and `expires_at` takes it over. One update can therefore serve first and later uses:
  `expires_at = if_not_exists(kept_until, …)`, where DynamoDB has no "set unless";
- `presented_at` (Unix milliseconds): when the merchant last presented the card itself.

A shredding (`token`, `<merchant>#shredded#<region>`) says that this region has destroyed what had been presented up to
`at` (Unix milliseconds). It stays as the record of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from functions.vault.table import Item, Key, Table, integer, key_of, number

FOREVER = 253_402_300_799  # 9999-12-31T23:59:59Z
UNUSED_LIFETIME = 7 * 86_400  # seconds a holding lives that no charge has used
RELEASE_GRACE = 86_400  # seconds in which a use can still win over a release
STORED = "stored"

_FACTS = ("brand", "network", "bin", "last4")


@dataclass(frozen=True)
class CardFacts:
    """What may be known of a card; see docs/interfaces.md. Never the number."""

    brand: str
    network: str
    bin: str
    bin8: str | None
    last4: str
    exp_month: int
    exp_year: int


@dataclass(frozen=True)
class Locked:
    """A card's number under two locks (safe.py): the ciphertext, the name of its card key, and the versions of the
    token key and of the key-encryption key that were current."""

    ciphertext: bytes = field(repr=False)
    card_key: str
    token_key_version: int
    kek_version: int


@dataclass(frozen=True)
class Holding:
    """One region's holding of a card. Times are Unix seconds, `presented_at` milliseconds."""

    token: str
    merchant_id: str
    region: str
    facts: CardFacts
    locked: Locked
    presented_at: int
    expires_at: int
    used_at: int | None
    held: bool
    released: bool

    def alive(self, now: float) -> bool:
        """Whether it can be charged."""
        return self.expires_at > now

    @property
    def used(self) -> bool:
        """Whether a charge with it reached the network; then it is kept for good."""
        return self.used_at is not None

    def described(self) -> dict[str, Any]:
        """The token and the card's facts, in the form docs/interfaces.md answers them."""
        facts = self.facts
        return {
            "token": self.token,
            "brand": facts.brand,
            "network": facts.network,
            "bin": facts.bin,
            "bin8": facts.bin8,
            "last4": facts.last4,
            "exp_month": facts.exp_month,
            "exp_year": facts.exp_year,
        }


@dataclass(frozen=True)
class Claim:
    """Why a card is kept: an attempt (or `stored`) may need it, or a charge has used it."""

    holder: str = ""
    used: bool = False


@dataclass(frozen=True)
class Held:
    """All a region knows of one merchant's card: the holdings that were not shredded, ours first, and when (Unix
    milliseconds) the last shredding was."""

    holdings: Sequence[Holding] = ()
    shredded_at: int = 0

    def includes(self, region: str) -> bool:
        """Whether the region has a holding, expired or not."""
        return any(holding.region == region for holding in self.holdings)

    def alive(self, now: float) -> list[Holding]:
        """The holdings that can be charged, used ones first: they need no protection any more."""
        living = [holding for holding in self.holdings if holding.alive(now)]
        return sorted(living, key=lambda holding: not holding.used)


class Holdings:
    """The holdings of one region, one method per change."""

    def __init__(self, table: Table, region: str) -> None:
        self.region = region
        self._table = table

    def find(self, token: str, merchant_id: str) -> Held:
        """What is known of a merchant's card, in one read."""
        items = self._table.query(token, f"{merchant_id}#")
        shredded_at = max((integer(item, "at") or 0 for item in items if item["kind"]["S"] == "shredded"), default=0)
        found = [read_holding(item) for item in items if item["kind"]["S"] == "card"]
        found = [holding for holding in found if holding.presented_at > shredded_at]
        return Held(sorted(found, key=lambda holding: holding.region != self.region), shredded_at)

    def own(self, token: str, merchant_id: str) -> Holding | None:
        """Our own holding, if it is there, shredded or not."""
        item = self._table.get(self._card(token, merchant_id))
        return None if item is None else read_holding(item)

    def create(
        self,
        token: str,
        merchant_id: str,
        facts: CardFacts,
        locked: Locked,
        presented_at: int,
        claim: Claim,
        now: float,
    ) -> Holding | None:
        """A new holding; None if we have one."""
        item = _attributes(facts, locked) | {"presented_at": number(presented_at)}
        if claim.used:
            item |= {"used_at": number(int(now)), "kept_until": number(FOREVER), "expires_at": number(FOREVER)}
        else:
            item |= {"holders": {"SS": [claim.holder]}, "expires_at": number(int(now) + UNUSED_LIFETIME)}
        key = self._card(token, merchant_id)
        if not self._table.put(key, item, "attribute_not_exists(#token)"):
            return None
        return read_holding(item | {"token": {"S": key[0]}, "holding": {"S": key[1]}})

    def claim(self, token: str, merchant_id: str, claim: Claim, now: float) -> Holding | None:
        """Holds or uses our living holding; None if there is none."""
        return self._change(self._card(token, merchant_id), claim, now, "", {}, "#expires_at > :now")

    def present(
        self, token: str, merchant_id: str, facts: CardFacts, presented_at: int, claim: Claim, now: float
    ) -> Holding | None:
        """Holds our holding for a merchant who shows the card itself; None if there is none. An expired one that is
        still there comes to life again, and the expiry date is the one on the card."""
        shown: Item = {
            ":month": number(facts.exp_month),
            ":year": number(facts.exp_year),
            ":at": number(presented_at),
        }
        update = ", #exp_month = :month, #exp_year = :year, #presented_at = :at"
        return self._change(self._card(token, merchant_id), claim, now, update, shown, "attribute_exists(#token)")

    def revive(self, own: Holding, presented_at: int, claim: Claim, now: float) -> Holding | None:
        """Holds or uses our holding although it has expired, because the other region's lives; None if it is gone."""
        values: Item = {":at": number(presented_at), ":was": number(own.presented_at)}
        key = self._card(own.token, own.merchant_id)
        return self._change(key, claim, now, ", #presented_at = :at", values, "#presented_at = :was")

    def leave(self, token: str, merchant_id: str, holder: str) -> Holding | None:
        """Takes `holder` from the holders, if it is one. The holding as it then is; None if we have none."""
        values = {":holder": {"SS": [holder]}}
        key = self._card(token, merchant_id)
        return _read(self._table.update(key, "DELETE #holders :holder", values, "attribute_exists(#token)"))

    def retire(self, token: str, merchant_id: str, now: float) -> bool:
        """Gives a holding nobody holds or has used its grace period; False if somebody came first."""
        values = {":now": number(int(now)), ":grace": number(int(now) + RELEASE_GRACE)}
        condition = "attribute_exists(#token) AND attribute_not_exists(#holders) AND attribute_not_exists(#used_at)"
        update = "SET #released_at = :now, #expires_at = :grace"
        return self._table.update(self._card(token, merchant_id), update, values, condition) is not None

    def relock(self, holding: Holding, locked: Locked) -> bool:
        """Puts another ciphertext of the same number in its place; False if that one is not there any more."""
        values: Item = {":old": {"B": holding.locked.ciphertext}, ":new": {"B": locked.ciphertext}}
        values[":kek"] = number(locked.kek_version)
        key = self._card(holding.token, holding.merchant_id)
        update = "SET #ciphertext = :new, #kek_version = :kek"
        return self._table.update(key, update, values, "#ciphertext = :old") is not None

    def record_shredding(self, token: str, merchant_id: str, at: int) -> None:
        """Says that this region has destroyed what had been presented up to Unix millisecond `at`."""
        values = {":at": number(at), ":kind": {"S": "shredded"}}
        condition = "attribute_not_exists(#at) OR #at < :at"
        key = (token, f"{merchant_id}#shredded#{self.region}")
        self._table.update(key, "SET #at = :at, #kind = :kind", values, condition)

    def remove(self, token: str, merchant_id: str, presented_until: int) -> None:
        """Deletes our holding, unless the card was presented again after Unix millisecond `presented_until`."""
        condition = "#presented_at <= :at"
        self._table.delete(self._card(token, merchant_id), condition, {":at": number(presented_until)})

    def _change(self, key: Key, claim: Claim, now: float, update: str, values: Item, condition: str) -> Holding | None:
        """Nobody needs to hold what is kept for good, so then the holders go: otherwise the set would grow with every
        charge of a card."""
        if claim.used:
            kept = "#used_at = if_not_exists(#used_at, :now), #kept_until = :forever, #expires_at = :forever"
            update = f"SET {kept}{update} REMOVE #holders, #released_at"
            values = values | {":now": number(int(now)), ":forever": number(FOREVER)}
        else:
            expiry = "#expires_at = if_not_exists(#kept_until, :unused)"
            update = f"SET {expiry}{update} ADD #holders :holder REMOVE #released_at"
            values = values | {":holder": {"SS": [claim.holder]}, ":unused": number(int(now) + UNUSED_LIFETIME)}
            values |= {":now": number(int(now))} if ":now" in condition else {}
        return _read(self._table.update(key, update, values, condition))

    def _card(self, token: str, merchant_id: str) -> Key:
        return token, f"{merchant_id}#card#{self.region}"


def read_holding(item: Item) -> Holding:
    """The holding in an item of the table."""
    token, holding = key_of(item)
    merchant_id, _, region = holding.split("#")
    numbers = {name: int(value["N"]) for name, value in item.items() if "N" in value}
    facts = CardFacts(
        **{name: item[name]["S"] for name in _FACTS},
        bin8=item["bin8"]["S"] if "bin8" in item else None,
        exp_month=numbers["exp_month"],
        exp_year=numbers["exp_year"],
    )
    ciphertext, card_key = bytes(item["ciphertext"]["B"]), item["card_key"]["S"]
    return Holding(
        token=token,
        merchant_id=merchant_id,
        region=region,
        facts=facts,
        locked=Locked(ciphertext, card_key, numbers["token_key_version"], numbers["kek_version"]),
        presented_at=numbers["presented_at"],
        expires_at=numbers["expires_at"],
        used_at=numbers.get("used_at"),
        held="holders" in item,
        released="released_at" in item,
    )


def _read(item: Item | None) -> Holding | None:
    return None if item is None else read_holding(item)


def _attributes(facts: CardFacts, locked: Locked) -> Item:
    attributes: Item = {name: {"S": getattr(facts, name)} for name in _FACTS}
    attributes |= {"bin8": {"S": facts.bin8}} if facts.bin8 else {}
    return attributes | {
        "kind": {"S": "card"},
        "exp_month": number(facts.exp_month),
        "exp_year": number(facts.exp_year),
        "ciphertext": {"B": locked.ciphertext},
        "card_key": {"S": locked.card_key},
        "token_key_version": number(locked.token_key_version),
        "kek_version": number(locked.kek_version),
    }
