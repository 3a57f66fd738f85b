"""How a card comes to be held, used and destroyed in this region.

Everything here is: look, change what was seen, and look again if it was not as seen any more. A card key is stored
before the holding that names it and destroyed after it, so that what is held can be opened; a card key that a crash
leaves behind is found by a walk (walk.py).
"""

from collections.abc import Callable
from typing import TypeVar

from functions.vault.cards import Card
from functions.vault.errors import CardKeyMissing, CiphertextRefused, Contended
from functions.vault.holdings import CardFacts, Claim, Held, Holding, Holdings, Locked
from functions.vault.ring import Ring
from functions.vault.safe import Safe
from functions.vault.tokens import token_of

_TRIES = 5
"""How often to look again when others change the same card at the same time."""

Found = TypeVar("Found")


class Keeping:
    """One region's cards: its holdings, and the safe their numbers are in."""

    def __init__(self, holdings: Holdings, safe: Safe) -> None:
        self._holdings = holdings
        self._safe = safe

    def hold_card(self, ring: Ring, card: Card, merchant_id: str, claim: Claim, now: float) -> Holding:
        """Holds a presented card under the token it has, or a new one.

        A card that lives under an older token key keeps that token: it is looked for under every key there is. With the
        number in hand a holding of our own is made even if the other region has one.
        """
        newest = ring.current_token_key(now)
        known = {token_of(card.pan, key): key for key in ring.token_keys}
        held = {token: self._holdings.find(token, merchant_id) for token in known}
        new = next(token for token, key in known.items() if key is newest)
        token = next((token for token in known if held[token].alive(now)), new)
        first, facts = [held[token]], _facts(card)

        def once() -> Holding | None:
            seen = first.pop() if first else self._holdings.find(token, merchant_id)
            own = seen.own_alive(now)
            if own and own.used and own.facts == facts:
                return own
            at = max(int(now * 1000), seen.shredded_at + 1, seen.presented_until)
            if own:
                return self._holdings.present(own, facts, at, claim, now)
            locked = self._safe.lock(card.pan, token, known[token], merchant_id, now)
            return self._keep(seen, token, merchant_id, facts, locked, at, claim, now)

        return _until(once)

    def hold_token(self, token: str, merchant_id: str, claim: Claim, now: float) -> Holding | None:
        """Holds a card by its token; None if it is not known to the merchant. Used ones need not be held.

        The other region's unused holding is copied: what only one region writes no other can lose. Raises
        CardKeyMissing if its key has not arrived yet.
        """

        def once() -> tuple[Holding | None] | None:
            seen = self._holdings.find(token, merchant_id)
            living = seen.alive(now)
            used = next((holding for holding in living if holding.used), None)
            if used or not living:
                return (used,)
            held = self._join(seen, living[0], claim, now)
            return (held,) if held else None

        return _until(once)[0]

    def use(self, token: str, merchant_id: str, now: float) -> Holding | None:
        """Marks a card used, having proved that it opens; None if it is not known to the merchant, or its key is not
        here: then it was shredded, or comes with the next replication.

        Raises CiphertextRefused if there is a living holding and none of them opens.
        """

        def once() -> tuple[Holding | None] | None:
            seen = self._holdings.find(token, merchant_id)
            openable = self._openable(seen.alive(now), now)
            if openable is None:
                return (None,)
            used = openable if openable.used else self._join(seen, openable, Claim(used=True), now)
            return (used,) if used else None

        return _until(once)[0]

    def shred(self, token: str, merchant_id: str, now: float) -> bool:
        """Destroys a merchant's card here and records it; whether there was one, in any region. A card that is
        presented at the same time is destroyed as well."""

        def once() -> bool | None:
            seen = self._holdings.find(token, merchant_id)
            if not seen.presented_until:
                if seen.shredded_at:
                    self.destroy(token, merchant_id, seen.shredded_at)  # whatever an earlier try has left
                return False
            gone = self.destroy(token, merchant_id, max(int(now * 1000), seen.presented_until))
            if gone and seen.own:
                self.destroy_key(token, merchant_id, seen.own.locked.card_key)  # should the card have come back already
            return gone or None

        return _until(once)

    def destroy(self, token: str, merchant_id: str, presented_until: int) -> bool:
        """Destroys our holding of what was presented until then (Unix milliseconds), and its card key; repeatable.
        Whether we have no card any more: one that was presented later stays."""
        gone, card_key = self._holdings.shred(token, merchant_id, presented_until)
        if card_key:
            self._safe.destroy(token, card_key)
        return gone

    def destroy_key(self, token: str, merchant_id: str, card_key: str) -> bool:
        """Destroys a card key of ours, unless our holding names it; whether it was destroyed."""
        own = self._holdings.own(token, merchant_id)
        if own and own.locked.card_key == card_key:
            return False
        self._safe.destroy(token, card_key)
        return True

    def repair(self, holding: Holding) -> str:
        """Mends what faults and lost messages leave behind: finishes a shredding (`shredded`), and drops a holding that
        does not open because its card key is gone (`without_key`) or it was altered (`refused`), so that the card can
        be presented again. Empty if there is nothing to mend. Whether the key store opens what is inside is not asked:
        it may be the key store that is wrong."""
        token, merchant_id = holding.token, holding.merchant_id
        seen = self._holdings.find(token, merchant_id)
        if seen.own is None:
            return ""
        if seen.own.presented_at <= seen.shredded_at:
            self.destroy(token, merchant_id, seen.shredded_at)
            return "shredded"
        try:
            self._safe.check_lock(seen.own)
        except CardKeyMissing:
            return "without_key" if self._holdings.drop(seen.own) else ""
        except CiphertextRefused:
            if not self._holdings.drop(seen.own):
                return ""
            self._safe.destroy(token, seen.own.locked.card_key)
            return "refused"
        return ""

    def renew(self, holding: Holding, now: float) -> bool:
        """Encrypts our card under the current key-encryption key; whether it was not already. Raises CardKeyMissing,
        CiphertextRefused."""
        if self._safe.current(holding, now):
            return False
        return self._holdings.relock(holding, self._safe.renew(holding, now))

    def _join(self, seen: Held, holding: Holding, claim: Claim, now: float) -> Holding | None:
        """Our own part in a living holding; None if things have changed."""
        if holding.region == self._holdings.region:
            return self._holdings.claim(holding, claim, now)
        locked = self._safe.copy(holding, now)
        return self._keep(
            seen, holding.token, holding.merchant_id, holding.facts, locked, holding.presented_at, claim, now
        )

    def _keep(
        self,
        seen: Held,
        token: str,
        merchant_id: str,
        facts: CardFacts,
        locked: Locked,
        at: int,
        claim: Claim,
        now: float,
    ) -> Holding | None:
        """A card under a new card key as our own holding; None, and no key left behind, if things have changed.

        What stands there already was shredded by the other region, has expired, or does not open. A write whose answer
        got lost is tried again and then meets itself, hence the look at whose holding it is.
        """
        own = seen.own
        if own and own.presented_at <= seen.shredded_at:
            self.destroy(token, merchant_id, seen.shredded_at)
            kept = None  # look again
        elif own:
            kept = self._holdings.replace(own, facts, locked, max(at, own.presented_at), claim, now)
        else:
            kept = self._holdings.create(token, merchant_id, facts, locked, at, claim, now, seen.own_shredded_at)
        if kept is None:
            there = self._holdings.own(token, merchant_id)
            kept = there if there and there.locked.card_key == locked.card_key else None
        unneeded = locked if kept is None else own and own.locked
        if unneeded:
            self._safe.destroy(token, unneeded.card_key)
        return kept

    def _openable(self, living: list[Holding], now: float) -> Holding | None:
        refused = False
        for holding in living:
            try:
                self._safe.prove(holding, now)
            except CardKeyMissing:
                continue
            except CiphertextRefused:
                refused = True
                continue
            return holding
        if refused:
            raise CiphertextRefused("a stored card was altered, or is not the one its item describes")
        return None


def _facts(card: Card) -> CardFacts:
    brand = card.brand
    return CardFacts(brand.name, brand.network, card.bin, card.bin8, card.last4, card.exp_month, card.exp_year)


def _until(once: Callable[[], Found | None]) -> Found:
    for _ in range(_TRIES):
        found = once()
        if found is not None:
            return found
    raise Contended("a card was changed by others again and again")
