"""What the vault does with cards and tokens. Business outcomes are the returned values; only faults raise.

The charge path costs one read when a charge has used the card before, and nothing is written; a card that is held but
unused costs a write more, a new one two (its card key and its holding).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions.vault.card_keys import CardKeys
from functions.vault.cards import Card, Rejection, read_card
from functions.vault.envelopes import STORING, Envelopes
from functions.vault.errors import CardKeyMissing, Contended, InvalidRequest
from functions.vault.holdings import STORED, CardFacts, Claim, Held, Holding, Holdings, Locked
from functions.vault.keys import KeyStore
from functions.vault.ring import Rings
from functions.vault.safe import Safe
from functions.vault.sealing import SEALED_CARD_INVALID, open_envelope
from functions.vault.table import Table
from functions.vault.tokens import is_token, token_of

TOKEN_UNKNOWN = Rejection("token_unknown", "The token is not known to this merchant.")

_IDENTIFIER = re.compile(r"[a-z]{2,8}_[A-Za-z0-9_-]{1,120}")
_TRIES = 5
"""How often to look again when others change the same card at the same time."""

Answer = dict[str, Any]


@dataclass(frozen=True)
class TokenizeRequest:
    """Who charges which card: `card` is `{"sealed_card": JWE}` or `{"token": tok_…}`. Identifiers are `pay_…`, `att_…`,
    `mer_…`; raises InvalidRequest for anything else, without quoting it."""

    payment_id: str
    attempt: str
    merchant_id: str
    card: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name in ("payment_id", "attempt", "merchant_id"):
            check_identifier(name, getattr(self, name))
        if not isinstance(self.card, Mapping) or len(self.card.keys() & {"sealed_card", "token"}) != 1:
            raise InvalidRequest("card must have either sealed_card or token")

    def __repr__(self) -> str:
        return f"TokenizeRequest({self.payment_id}, {self.attempt}, {self.merchant_id})"


class Vault:
    """One region's vault: its holdings, the safe, and the keys of the ring."""

    def __init__(self, tokens: Table, card_keys: Table, region: str, key_store: KeyStore) -> None:
        self.holdings = Holdings(tokens, region)
        self.rings = Rings(tokens, key_store)
        self.safe = Safe(key_store, self.rings, CardKeys(card_keys), region)
        self._envelopes = Envelopes(tokens)

    def tokenize(self, request: TokenizeRequest, now: float) -> Answer:
        """Stores the card or finds the token, held by the attempt: `tokenized`, or `invalid_card` and why.

        The expiry of a stored card is not checked again: its issuer may have replaced it, and will say.
        """
        claim = Claim(holder=request.attempt)
        if "token" in request.card:
            return _tokenized(self._hold_token(request.card["token"], request.merchant_id, claim, now))
        envelope, payment_id = request.card["sealed_card"], request.payment_id
        return _tokenized(self._hold_sealed_card(envelope, request.merchant_id, payment_id, claim, now))

    def store(self, sealed_card: object, merchant_id: str, now: float) -> Answer:
        """Stores a card for a merchant who will charge it later: as `tokenize`, and when it expires unused."""
        check_identifier("merchant_id", merchant_id)
        found = self._hold_sealed_card(sealed_card, merchant_id, STORING, Claim(holder=STORED), now)
        if isinstance(found, Rejection):
            return _tokenized(found)
        return _tokenized(found) | {"expires_at": None if found.used else found.expires_at}

    def release(self, token: object, merchant_id: str, attempt: str, now: float) -> Answer:
        """Lets go of a token after a charge that came to nothing; may be repeated, and never deletes.

        `released` if nobody holds the token here now and no charge ever used it: our holding expires after a grace
        period, in which any use still wins. The other region has a holding of its own. `kept` if somebody does or did.
        Each step is one atomic update that looks again, so of several attempts leaving at once the last one retires
        it, and one that arrives in between keeps it. A crash between the steps leaves an unheld token, which expires
        by itself.
        """
        check_identifier("attempt", attempt)
        check_identifier("merchant_id", merchant_id)
        holding = self.holdings.leave(str(token), merchant_id, attempt) if is_token(token) else None
        if holding is None or holding.released:
            return {"result": "released"}
        if holding.held or holding.used:
            return {"result": "kept"}
        return {"result": "released" if self.holdings.retire(str(token), merchant_id, now) else "kept"}

    def detokenize(self, token: object, merchant_id: str, now: float) -> Answer:
        """Marks the token used and proves that its card opens: `detokenized` and the card's facts, or `token_unknown`.

        The number itself goes nowhere. Unknown is also a card whose key is not here: it was shredded, or comes with
        the next replication. Raises CiphertextRefused if the card does not open or is not that token's.
        """
        check_identifier("merchant_id", merchant_id)
        for _ in range(_TRIES):
            living = self._find(token, merchant_id).alive(now)
            openable = next((holding for holding in living if self._opens(holding, now)), None)
            if openable is None:
                return {"result": "token_unknown"}
            used = openable if openable.used else self._join(openable, Claim(used=True), now)
            if used:
                return {"result": "detokenized", "card": used.described()}
        raise Contended("a card changed hands too often")

    def shred(self, token: object, merchant_id: str, now: float) -> Answer:
        """Destroys a merchant's card: `shredded` and when (Unix seconds), or `token_unknown`.

        Our card key is gone when this returns, and the token is unknown here; the other region follows when it hears
        of it (shredding.py). A merchant who presents the card again has a new holding under a new key.
        """
        check_identifier("merchant_id", merchant_id)
        held = self._find(token, merchant_id)
        if not held.holdings:
            return {"result": "token_unknown"}
        at = max(int(now * 1000), *(holding.presented_at for holding in held.holdings))
        self.destroy(str(token), merchant_id, at)
        return {"result": "shredded", "at": int(now)}

    def destroy(self, token: str, merchant_id: str, presented_until: int) -> None:
        """Destroys our holding of what was presented until then (Unix milliseconds), and records it; repeatable.

        The record comes first, so that no reader takes a holding for alive that is being destroyed. Should this stop
        half-way, the stream's record of the removal has the card key destroyed (shredding.py).
        """
        self.holdings.record_shredding(token, merchant_id, presented_until)
        own = self.holdings.own(token, merchant_id)
        if own is None or own.presented_at > presented_until:
            return
        self.holdings.remove(token, merchant_id, presented_until)
        left = self.holdings.own(token, merchant_id)
        if left is None or left.locked.card_key != own.locked.card_key:
            self.safe.destroy(token, own.locked)

    def _find(self, token: object, merchant_id: str) -> Held:
        return self.holdings.find(str(token), merchant_id) if is_token(token) else Held()

    def _hold_token(self, token: object, merchant_id: str, claim: Claim, now: float) -> Holding | Rejection:
        for _ in range(_TRIES):
            living = self._find(token, merchant_id).alive(now)
            if not living:
                return TOKEN_UNKNOWN
            held = living[0] if living[0].used else self._join(living[0], claim, now)
            if held:
                return held
        raise Contended("a card changed hands too often")

    def _hold_sealed_card(
        self, sealed_card: object, merchant_id: str, payment_id: str, claim: Claim, now: float
    ) -> Holding | Rejection:
        envelope = open_envelope(sealed_card, merchant_id, now, self.rings.ring().sealing_keys(now))
        if isinstance(envelope, Rejection):
            return envelope
        card = read_card(envelope.fields, int(now))
        if isinstance(card, Rejection):
            return card
        if not self._envelopes.serves(envelope, merchant_id, payment_id):
            return SEALED_CARD_INVALID
        return self._hold_card(card, merchant_id, claim, now)

    def _hold_card(self, card: Card, merchant_id: str, claim: Claim, now: float) -> Holding:
        """Holds a presented card under the token it has, or a new one.

        A card that lives under an older token key keeps that token: it is looked for under every key there is.
        """
        ring, facts = self.rings.ring(), _facts(card)
        known = {token_of(card.pan, key): key for key in ring.token_keys}
        found = {token: self.holdings.find(token, merchant_id) for token in known}
        newest = ring.current_token_key(now)
        new = next(token for token, key in known.items() if key is newest)
        token = next((token for token, held in found.items() if held.alive(now)), new)
        held, ours = found[token], found[token].includes(self.holdings.region)
        for _ in range(_TRIES):
            used = next((h for h in held.alive(now) if h.used and _same_expiry(h, card)), None)
            if used:
                return used
            at = max(int(now * 1000), held.shredded_at + 1)
            kept = self.holdings.present(token, merchant_id, facts, at, claim, now) if ours else None
            if kept is None:
                locked = self.safe.lock(card.pan, token, known[token], merchant_id, now)
                kept = self._create(token, merchant_id, facts, locked, at, claim, now)
            if kept:
                return kept
            held, ours = self.holdings.find(token, merchant_id), True
        raise Contended("a card changed hands too often")

    def _join(self, holding: Holding, claim: Claim, now: float) -> Holding | None:
        """Our own part in a living holding; None if it is not there any more.

        The other region's holding is copied rather than changed: what only one region writes no other can lose. If
        ours has expired and is still there, it comes to life again.
        """
        token, merchant_id = holding.token, holding.merchant_id
        if holding.region == self.holdings.region:
            return self.holdings.claim(token, merchant_id, claim, now)
        locked = self.safe.copy(holding)
        created = self._create(token, merchant_id, holding.facts, locked, holding.presented_at, claim, now)
        own = None if created else self.holdings.own(token, merchant_id)
        if own is None:
            return created
        return self.holdings.revive(own, max(own.presented_at, holding.presented_at), claim, now)

    def _create(
        self,
        token: str,
        merchant_id: str,
        facts: CardFacts,
        locked: Locked,
        presented_at: int,
        claim: Claim,
        now: float,
    ) -> Holding | None:
        """A new holding; None, and no card key left behind, if we have one.

        A write whose answer got lost is tried again, and then meets itself: hence the look at whose holding it is.
        """
        created = self.holdings.create(token, merchant_id, facts, locked, presented_at, claim, now)
        if created:
            return created
        own = self.holdings.own(token, merchant_id)
        if own and own.locked.card_key == locked.card_key:
            return own
        self.safe.destroy(token, locked)
        return None

    def _opens(self, holding: Holding, now: float) -> bool:
        try:
            self.safe.prove(holding, now)
        except CardKeyMissing:
            return False
        return True


def check_identifier(name: str, value: object) -> None:
    """Raises InvalidRequest, naming the field only, unless `value` is a prefixed identifier such as `pay_1`."""
    if not is_identifier(value):
        raise InvalidRequest(f"{name} is not an identifier")


def is_identifier(value: object) -> bool:
    """Whether `value` is a prefixed identifier such as `pay_1`."""
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def _facts(card: Card) -> CardFacts:
    brand = card.brand
    return CardFacts(brand.name, brand.network, card.bin, card.bin8, card.last4, card.exp_month, card.exp_year)


def _same_expiry(holding: Holding, card: Card) -> bool:
    return (holding.facts.exp_month, holding.facts.exp_year) == (card.exp_month, card.exp_year)


def _tokenized(found: Holding | Rejection) -> Answer:
    if isinstance(found, Rejection):
        return {"result": "invalid_card", "code": found.code, "message": found.message}
    return {"result": "tokenized", "card": found.described()}
