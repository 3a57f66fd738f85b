"""What the vault does with cards and tokens. Business outcomes are the returned values; only faults raise.

The charge path costs one read when a charge in this region has used the card before, and nothing is written; a card
that is held but unused costs a write more, a new one two (its card key and its holding).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions.vault.card_keys import CardKeys
from functions.vault.cards import Rejection, read_card
from functions.vault.envelopes import STORING, Envelopes
from functions.vault.errors import InvalidRequest
from functions.vault.holdings import STORED, Claim, Holding, Holdings
from functions.vault.keeping import Keeping
from functions.vault.keys import KeyStore
from functions.vault.ring import Rings
from functions.vault.safe import Safe
from functions.vault.sealing import SEALED_CARD_INVALID, Envelope, open_envelope
from functions.vault.table import Table
from functions.vault.tokens import is_token

TOKEN_UNKNOWN = Rejection("token_unknown", "The token is not known to this merchant.")

_IDENTIFIER = re.compile(r"[a-z]{2,8}_[A-Za-z0-9_-]{1,120}")

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
    """One region's vault: its cards, and the keys of the ring."""

    def __init__(self, tokens: Table, card_keys: Table, region: str, key_store: KeyStore) -> None:
        self.region = region
        self.rings = Rings(tokens, key_store)
        self._holdings = Holdings(tokens, region)
        self.keeping = Keeping(self._holdings, Safe(key_store, self.rings, CardKeys(card_keys), region))
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
        holding = self._holdings.leave(str(token), merchant_id, attempt) if is_token(token) else None
        if holding is None or holding.released or not holding.alive(now):
            return {"result": "released"}
        if holding.held or holding.used:
            return {"result": "kept"}
        return {"result": "released" if self._holdings.retire(holding, now) else "kept"}

    def detokenize(self, token: object, merchant_id: str, now: float) -> Answer:
        """Marks the token used and proves that its card opens: `detokenized` and the card's facts, or `token_unknown`.

        The number itself goes nowhere. Unknown is also a card whose key is not here: it was shredded, or comes with
        the next replication. Raises CiphertextRefused if the card does not open or is not that token's.
        """
        check_identifier("merchant_id", merchant_id)
        used = self.keeping.use(str(token), merchant_id, now) if is_token(token) else None
        return {"result": "detokenized", "card": used.described()} if used else {"result": "token_unknown"}

    def shred(self, token: object, merchant_id: str, now: float) -> Answer:
        """Destroys a merchant's card: `shredded` and when (Unix seconds), or `token_unknown`.

        Our card key is deleted when this returns, and the token is unknown here; the other region follows when it
        hears of it (shredding.py). A merchant who presents the card again has a new holding under a new key.
        """
        check_identifier("merchant_id", merchant_id)
        if is_token(token) and self.keeping.shred(str(token), merchant_id, now):
            return {"result": "shredded", "at": int(now)}
        return {"result": "token_unknown"}

    def _hold_token(self, token: object, merchant_id: str, claim: Claim, now: float) -> Holding | Rejection:
        held = self.keeping.hold_token(str(token), merchant_id, claim, now) if is_token(token) else None
        return held or TOKEN_UNKNOWN

    def _hold_sealed_card(
        self, sealed_card: object, merchant_id: str, payment_id: str, claim: Claim, now: float
    ) -> Holding | Rejection:
        envelope = self._open(sealed_card, merchant_id, now)
        if isinstance(envelope, Rejection):
            return envelope
        card = read_card(envelope.fields, int(now))
        if isinstance(card, Rejection):
            return card
        if not self._envelopes.serves(envelope, merchant_id, payment_id):
            return SEALED_CARD_INVALID
        return self.keeping.hold_card(self.rings.ring(), card, merchant_id, claim, now)

    def _open(self, sealed_card: object, merchant_id: str, now: float) -> Envelope | Rejection:
        """The envelope; one that does not open may be sealed to a key that this container has not heard of yet."""
        keys = self.rings.ring().sealing_keys(now)
        opened = open_envelope(sealed_card, merchant_id, now, keys)
        if isinstance(opened, Rejection):
            known, keys = {key.kid for key in keys}, self.rings.fresh().sealing_keys(now)
            if {key.kid for key in keys} - known:
                return open_envelope(sealed_card, merchant_id, now, keys)
        return opened


def check_identifier(name: str, value: object) -> None:
    """Raises InvalidRequest, naming the field only, unless `value` is a prefixed identifier such as `pay_1`."""
    if not is_identifier(value):
        raise InvalidRequest(f"{name} is not an identifier")


def is_identifier(value: object) -> bool:
    """Whether `value` is a prefixed identifier such as `pay_1`."""
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def _tokenized(found: Holding | Rejection) -> Answer:
    if isinstance(found, Rejection):
        return {"result": "invalid_card", "code": found.code, "message": found.message}
    return {"result": "tokenized", "card": found.described()}
