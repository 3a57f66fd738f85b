"""What the vault does with cards and tokens. Business outcomes are the returned values; only faults raise."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from functions.vault.cards import Card, Rejection, read_card
from functions.vault.encryption import CardCipher
from functions.vault.errors import CiphertextRefused, InvalidRequest
from functions.vault.sealing import SealingKey, open_envelope
from functions.vault.store import Item, TokenStore, card_facts
from functions.vault.tokens import TokenKey, is_token, token_of

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


@dataclass(frozen=True)
class Vault:
    """The vault with its keys, as `tokenize` needs it."""

    store: TokenStore
    cipher: CardCipher
    token_key: TokenKey
    sealing_keys: Sequence[SealingKey]

    def tokenize(self, request: TokenizeRequest, now: int) -> Answer:
        """Stores the card or finds the token, held by the attempt: `tokenized`, or `invalid_card` and why.

        The expiry of a stored card is not checked again: its issuer may have replaced it, and will say.
        """
        outcome = self._hold_token(request, now) if "token" in request.card else self._hold_sealed_card(request, now)
        if isinstance(outcome, Rejection):
            return {"result": "invalid_card", "code": outcome.code, "message": outcome.message}
        return {"result": "tokenized", "card": card_facts(outcome)}

    def _hold_token(self, request: TokenizeRequest, now: int) -> Item | Rejection:
        token = request.card["token"]
        if not is_token(token):
            return TOKEN_UNKNOWN
        return self.store.hold_token(token, request.attempt, request.merchant_id, now) or TOKEN_UNKNOWN

    def _hold_sealed_card(self, request: TokenizeRequest, now: int) -> Item | Rejection:
        fields = open_envelope(request.card["sealed_card"], request.merchant_id, now, self.sealing_keys)
        card = fields if isinstance(fields, Rejection) else read_card(fields, now)
        return card if isinstance(card, Rejection) else self._store_card(card, request, now)

    def _store_card(self, card: Card, request: TokenizeRequest, now: int) -> Item:
        token, version = token_of(card.pan, self.token_key), self.token_key.version
        ciphertext = self.cipher.encrypt(card.pan, token, version)
        return self.store.hold_card(token, card, ciphertext, version, request.attempt, request.merchant_id, now)


def release(store: TokenStore, token: str, attempt: str, now: int) -> Answer:
    """Lets go of a token after a charge that came to nothing; may be repeated, and never deletes.

    `released` if nobody holds the token now and no charge ever used it: it expires after a grace period, in which
    any use, here or in the other region, still wins. `kept` if somebody does or did. Each step is one atomic update
    that looks again, so of several attempts leaving at once the last one retires it, and one that arrives in between
    keeps it. A crash between the steps leaves an unheld token, which expires by itself.
    """
    check_identifier("attempt", attempt)
    item = store.leave(token, attempt) if is_token(token) else None
    if item is None or "released_at" in item:
        return {"result": "released"}
    if "holders" in item or "used_at" in item:
        return {"result": "kept"}
    return {"result": "released" if store.retire(token, now) else "kept"}


def detokenize(store: TokenStore, cipher: CardCipher, token_key: TokenKey, token: str, now: int) -> Answer:
    """Marks the token used and proves that its card opens: `detokenized` and the card's facts, or `token_unknown`.

    The number itself goes nowhere. Raises CiphertextRefused if it does not open or is not that token's card.
    """
    item = store.mark_used(token, now) if is_token(token) else None
    if item is None:
        return {"result": "token_unknown"}
    facts = card_facts(item)
    pan = cipher.decrypt(bytes(item["ciphertext"]["B"]), token, int(item["token_key_version"]["N"]))
    if token_of(pan, token_key) != token or not pan.startswith(facts["bin"]) or not pan.endswith(facts["last4"]):
        raise CiphertextRefused("a stored card is not the one its item describes")
    return {"result": "detokenized", "card": facts}


def check_identifier(name: str, value: object) -> None:
    """Raises InvalidRequest, naming the field only, unless `value` is a prefixed identifier such as `pay_1`."""
    if not is_identifier(value):
        raise InvalidRequest(f"{name} is not an identifier")


def is_identifier(value: object) -> bool:
    """Whether `value` is a prefixed identifier such as `pay_1`."""
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None
