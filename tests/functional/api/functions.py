"""Stands in for the Lambda service, and for the vault behind it."""

import io
import json
import time
from hashlib import sha256

from tests.functional.api.merchant import KEY, PAN, opened

BRANDS = {"4": "visa", "5": "mastercard"}
WEEK = 7 * 86_400


class Functions:
    """Calls handlers in process as Lambda calls functions, and keeps what they were asked."""

    def __init__(self, handlers):
        self.handlers, self.calls = handlers, []

    def invoke(self, FunctionName, Payload):
        self.calls.append((FunctionName, json.loads(Payload)))
        try:
            answer = self.handlers[FunctionName](json.loads(Payload), None)
        except Exception as error:  # noqa: BLE001 - as Lambda does
            fault = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(fault).encode())}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


class Vault:
    """Answers as docs/interfaces.md says the vault does, for Visa and Mastercard."""

    def __init__(self):
        self.held = set()

    @property
    def handlers(self):
        return {
            "payments-vault-public-key": lambda _, __: {"keys": [KEY.as_dict(private=False)]},
            "payments-vault-store": lambda request, _: self.store(**request),
            "payments-vault-shred": lambda request, _: self.shred(**request),
        }

    def store(self, merchant_id, sealed_card):
        header, card = opened(sealed_card)
        if (header["merchant"], header["nonce"]) != (merchant_id, "tokens"):
            return self._invalid("sealed_card_invalid")
        if card["number"][:1] not in BRANDS:
            return self._invalid("incorrect_number")
        token = "tok_1" + sha256(card["number"].encode()).hexdigest().translate(str.maketrans("0189", "wxyz"))
        self.held.add((merchant_id, token))
        brand = BRANDS[card["number"][0]]
        facts = {"token": token, "brand": brand, "network": brand, "last4": card["number"][-4:]}
        numbers = {"bin": card["number"][:6], "bin8": card["number"][:8]}
        expiry = {"exp_month": card["exp_month"], "exp_year": card["exp_year"]}
        return {"result": "tokenized", "card": {**facts, **numbers, **expiry}, "expires_at": int(time.time()) + WEEK}

    def shred(self, merchant_id, token):
        if (merchant_id, token) not in self.held:
            return {"result": "token_unknown"}
        self.held.remove((merchant_id, token))
        return {"result": "shredded", "at": int(time.time())}

    @staticmethod
    def _invalid(code):
        return {"result": "invalid_card", "code": code, "message": "A sentence."}


def failing(request, context):
    """A handler that breaks and says too much."""
    raise RuntimeError(f"it was {PAN}")
