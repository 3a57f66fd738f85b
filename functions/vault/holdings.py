"""Who holds which card: one item per token, merchant and region, in the table `vault-tokens`.

A holding (`token`, `<merchant>#card#<region>`) is written by its own region only, so that no region's copy can ever
replace what another one knows (global tables keep the last writer's whole item); readers take all of a merchant's
holdings of a token together, and the token lives as long as one of them does. It has the card's facts, its ciphertext,
the name of its card key, and

- `holders`: the attempts that may still need it; `stored` is the merchant who keeps the card for later;
- `expires_at` (Unix seconds): from then on it counts as gone. DynamoDB's TTL deletes it `delete_after`, a month later:
  TTL is the one other writer of a holding, and by then nobody uses it;
- `released_at`: the last attempt let go of it before it was ever used;
- `used_at`: set once a charge reached the network. A used holding never expires;
- `presented_at` (Unix milliseconds): when the merchant last presented the card itself;
- `shredded_at` (Unix milliseconds): this region has destroyed what was presented until then. All that is left of a
  shredded card is this and the name of the key that was destroyed (`kind` is then `shredded`, and not `card`).

A shredding and its record are one write, and whatever stores a card again says which shredding it has seen: so no late
or repeated write can bring back what was shredded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from functions.vault.table import Item, Key, Table, integer, key_of, number

FOREVER = 253_402_300_799  # 9999-12-31T23:59:59Z
UNUSED_LIFETIME = 7 * 86_400  # seconds a holding lives that no charge has used
RELEASE_GRACE = 86_400  # seconds in which a use can still win over a release
TTL_DELAY = 30 * 86_400  # seconds from its expiry to its deletion
STORED = "stored"

_FACTS = ("brand", "network", "bin", "last4")
_OF_A_CARD = (
    *(*_FACTS, "bin8", "exp_month", "exp_year", "ciphertext", "token_key_version", "kek_version", "presented_at"),
    *("holders", "expires_at", "delete_after", "released_at", "used_at"),
)
"""What a shredding removes."""


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
        """Whether it can be charged, if it was not shredded."""
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
    """All a region knows of one merchant's card.

    `holdings` are those that were not shredded, ours first; `own` is ours, shredded by the other region or not;
    `shredded_at` (Unix milliseconds, 0 for never) is the last shredding anywhere and `own_shredded_at` the last one
    here, None if there was none.
    """

    holdings: Sequence[Holding] = ()
    own: Holding | None = None
    shredded_at: int = 0
    own_shredded_at: int | None = None

    def alive(self, now: float) -> list[Holding]:
        """The holdings that can be charged, ours first."""
        return [holding for holding in self.holdings if holding.alive(now)]

    def own_alive(self, now: float) -> Holding | None:
        """Ours, if it can be charged."""
        return self.own if self.own in self.alive(now) else None

    @property
    def presented_until(self) -> int:
        """When the card was last presented, as far as is known here (Unix milliseconds)."""
        return max((holding.presented_at for holding in (*self.holdings, self.own) if holding), default=0)


class Holdings:
    """The holdings of one region, one method per change. A change of something that is not as it was seen is answered
    with None, and nothing has changed: look again."""

    def __init__(self, table: Table, region: str) -> None:
        self.region = region
        self._table = table

    def find(self, token: str, merchant_id: str) -> Held:
        """What is known of a merchant's card, in one read."""
        items = self._table.query(token, f"{merchant_id}#")
        shreddings = {key_of(item)[1]: integer(item, "shredded_at") for item in items}
        shredded_at = max((at for at in shreddings.values() if at), default=0)
        found = [read_holding(item) for item in items if "ciphertext" in item]
        own = next((holding for holding in found if holding.region == self.region), None)
        left = [holding for holding in found if holding.presented_at > shredded_at]
        left.sort(key=lambda holding: holding.region != self.region)
        return Held(left, own, shredded_at, shreddings.get(self._key(token, merchant_id)[1]))

    def own(self, token: str, merchant_id: str) -> Holding | None:
        """Our own holding, if it is there, shredded by the other region or not."""
        item = self._table.get(self._key(token, merchant_id))
        return read_holding(item) if item and "ciphertext" in item else None

    def create(
        self,
        token: str,
        merchant_id: str,
        facts: CardFacts,
        locked: Locked,
        presented_at: int,
        claim: Claim,
        now: float,
        seen_shredding: int | None,
    ) -> Holding | None:
        """A new holding; None if we have one, or if there was a shredding since the one that was seen."""
        values = _values(facts, locked, presented_at)
        condition = "attribute_not_exists(#ciphertext) AND "
        if seen_shredding is None:
            condition += "attribute_not_exists(#shredded_at)"
        else:
            condition += "#shredded_at = :seen"
            values[":seen"] = number(seen_shredding)
        return self._change(token, merchant_id, claim, now, _SET_CARD, values, condition)

    def replace(
        self, own: Holding, facts: CardFacts, locked: Locked, presented_at: int, claim: Claim, now: float
    ) -> Holding | None:
        """The same card under a new card key, in place of ours, which has expired or does not open."""
        values = _values(facts, locked, presented_at) | _same(own)
        return self._change(own.token, own.merchant_id, claim, now, _SET_CARD, values, _PRESENTED_NO_LATER)

    def present(self, own: Holding, facts: CardFacts, presented_at: int, claim: Claim, now: float) -> Holding | None:
        """Holds our living holding for a merchant who shows the card itself, and takes over the expiry date on it."""
        values = _same(own) | {
            ":exp_month": number(facts.exp_month),
            ":exp_year": number(facts.exp_year),
            ":presented_at": number(presented_at),
        }
        claim = Claim(used=True) if own.used else claim
        update = "#exp_month = :exp_month, #exp_year = :exp_year, #presented_at = :presented_at"
        return self._change(own.token, own.merchant_id, claim, now, update, values, _PRESENTED_NO_LATER)

    def claim(self, own: Holding, claim: Claim, now: float) -> Holding | None:
        """Holds or uses our living holding."""
        claim = Claim(used=True) if own.used else claim
        return self._change(own.token, own.merchant_id, claim, now, "", _same(own), _SAME)

    def leave(self, token: str, merchant_id: str, holder: str) -> Holding | None:
        """Takes `holder` from the holders, if it is one. The holding as it then is; None if we have none."""
        values: Item = {":holder": {"SS": [holder]}}
        condition = "attribute_exists(#ciphertext)"
        return _read(self._table.update(self._key(token, merchant_id), "DELETE #holders :holder", values, condition))

    def retire(self, own: Holding, now: float) -> bool:
        """Gives a living holding nobody holds or has used its grace period; False if somebody came first."""
        ends = int(now) + RELEASE_GRACE
        values = _same(own) | {":now": number(int(now)), ":grace": number(ends), ":ttl": number(ends + TTL_DELAY)}
        condition = f"{_SAME} AND attribute_not_exists(#holders) AND attribute_not_exists(#used_at)"
        condition += " AND #expires_at > :now"
        update = "SET #released_at = :now, #expires_at = :grace, #delete_after = :ttl"
        return self._table.update(self._key(own.token, own.merchant_id), update, values, condition) is not None

    def relock(self, own: Holding, locked: Locked) -> bool:
        """Puts another ciphertext of the same number, under the same card key, in the place of ours."""
        values: Item = {":old": {"B": own.locked.ciphertext}, ":new": {"B": locked.ciphertext}}
        values[":kek"] = number(locked.kek_version)
        update = "SET #ciphertext = :new, #kek_version = :kek"
        return (
            self._table.update(self._key(own.token, own.merchant_id), update, values, "#ciphertext = :old") is not None
        )

    def shred(self, token: str, merchant_id: str, at: int) -> tuple[bool, str | None]:
        """Removes our card, if it was presented until Unix millisecond `at`, and records the shredding, in one write.

        Whether it is gone (it is not if it was presented later), and the name of the card key that is to be destroyed,
        also when this was done before; None if there is none.
        """
        values: Item = {":at": number(at), ":kind": {"S": "shredded"}}
        update = "SET #kind = :kind, #shredded_at = :at REMOVE " + ", ".join(f"#{name}" for name in _OF_A_CARD)
        condition = (
            "(attribute_not_exists(#presented_at) OR #presented_at <= :at) AND "
            "(attribute_not_exists(#shredded_at) OR #shredded_at < :at)"
        )
        key = self._key(token, merchant_id)
        item = self._table.update(key, update, values, condition) or self._table.get(key) or {}
        if "ciphertext" in item:
            return False, None
        return True, item["card_key"]["S"] if "card_key" in item else None

    def drop(self, own: Holding) -> bool:
        """Removes our card as it was seen, because it does not open. Not a shredding: the other region's stays."""
        values = _same(own) | {":kind": {"S": "dropped"}}
        update = "SET #kind = :kind REMOVE #card_key, " + ", ".join(f"#{name}" for name in _OF_A_CARD)
        return self._table.update(self._key(own.token, own.merchant_id), update, values, _SAME) is not None

    def _change(
        self, token: str, merchant_id: str, claim: Claim, now: float, update: str, values: Item, condition: str
    ) -> Holding | None:
        """Nobody needs to hold what is kept for good, so then the holders go: otherwise the set would grow with every
        charge of a card."""
        if claim.used:
            kept = "#used_at = if_not_exists(#used_at, :now), #expires_at = :forever"
            removed = "REMOVE #holders, #released_at, #delete_after"
            values = values | {":now": number(int(now)), ":forever": number(FOREVER)}
        else:
            ends = int(now) + UNUSED_LIFETIME
            kept = "#expires_at = :unused, #delete_after = :ttl"
            removed = "ADD #holders :holder REMOVE #released_at"
            values = values | {":holder": {"SS": [claim.holder]}}
            values |= {":unused": number(ends), ":ttl": number(ends + TTL_DELAY)}
            condition += " AND attribute_not_exists(#used_at)"
        update = ", ".join(part for part in (f"SET {kept}", update) if part)
        return _read(self._table.update(self._key(token, merchant_id), f"{update} {removed}", values, condition))

    def _key(self, token: str, merchant_id: str) -> Key:
        return token, f"{merchant_id}#card#{self.region}"


def read_holding(item: Item) -> Holding:
    """The holding in an item of the table."""
    token, holding = key_of(item)
    merchant_id, _, region = holding.split("#")
    numbers = {name: int(value["N"]) for name, value in item.items() if "N" in value}
    facts = CardFacts(
        **{name: item[name]["S"] for name in _FACTS},
        bin8=item["bin8"].get("S"),
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


_CARD = (*_FACTS, "kind", "exp_month", "exp_year", "ciphertext", "card_key", "token_key_version", "kek_version")
_SET_CARD = ", ".join(f"#{name} = :{name}" for name in (*_CARD, "bin8", "presented_at"))
_SAME = "#card_key = :same AND attribute_exists(#ciphertext)"
"""That a holding is the one that was seen: not replaced, which changes its card key, and not shredded."""


_PRESENTED_NO_LATER = f"{_SAME} AND #presented_at <= :presented_at"
"""And that whoever is slower does not make the card's last presentation seem earlier than it was."""


def _same(own: Holding) -> Item:
    return {":same": {"S": own.locked.card_key}}


def _read(item: Item | None) -> Holding | None:
    return None if item is None else read_holding(item)


def _values(facts: CardFacts, locked: Locked, presented_at: int) -> Item:
    values: Item = {f":{name}": {"S": getattr(facts, name)} for name in _FACTS}
    return values | {
        ":kind": {"S": "card"},
        ":bin8": {"S": facts.bin8} if facts.bin8 else {"NULL": True},
        ":exp_month": number(facts.exp_month),
        ":exp_year": number(facts.exp_year),
        ":ciphertext": {"B": locked.ciphertext},
        ":card_key": {"S": locked.card_key},
        ":token_key_version": number(locked.token_key_version),
        ":kek_version": number(locked.kek_version),
        ":presented_at": number(presented_at),
    }
