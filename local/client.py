"""A client of the merchants' API, and of the stand-ins beside it."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Any, TypeVar

import httpx

TEST_CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2031, "cvc": "123"}
_TIMEOUT = 90.0

Found = TypeVar("Found")


class TimedOut(Exception):
    """Something did not happen in time; the message says what."""


@dataclass(frozen=True)
class Answer:
    """An answer of the API."""

    status: int
    body: dict[str, Any]
    replayed: bool
    served_by: str
    milliseconds: int


class Client:
    """One merchant's access to one address of the API."""

    def __init__(self, url: str, api_key: str, timeout: float = _TIMEOUT):
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def charge(self, amount: int = 4200, currency: str = "USD", key: str | None = None, **fields: Any) -> Answer:
        """Charge a card: the test card unless a `card`, `sealed_card` or `token` is given. A new key unless one is."""
        if not {"card", "sealed_card", "token"} & fields.keys():
            fields["card"] = TEST_CARD
        body = {"amount": amount, "currency": currency, **fields}
        return self.post("/api/v1/payments/charge", key or new_key(), body)

    def post(self, path: str, key: str, body: Mapping[str, Any]) -> Answer:
        """Whatever may be asked for under an idempotency key."""
        return self._send("POST", path, {"Idempotency-Key": key}, body)

    def payment(self, payment_id: str) -> Answer:
        """A payment as this address shows it."""
        return self._send("GET", f"/api/v1/payments/{payment_id}")

    def capture(self, payment_id: str, amount: int | None = None, key: str | None = None, **fields: Any) -> Answer:
        """Capture an authorized payment: this much, or all that is left; `final=True` releases what then remains."""
        return self._command(payment_id, "capture", key, _sent(amount, fields))

    def void(self, payment_id: str, key: str | None = None, **fields: Any) -> Answer:
        """Release what is authorized and not captured."""
        return self._command(payment_id, "void", key, fields)

    def refund(self, payment_id: str, amount: int | None = None, key: str | None = None, **fields: Any) -> Answer:
        """Refund a captured payment: this much, or all that is left."""
        return self._command(payment_id, "refund", key, _sent(amount, fields))

    def refunds(self, payment_id: str, **filters: Any) -> Answer:
        """A page of the payment's refunds."""
        return self._send("GET", f"/api/v1/payments/{payment_id}/refunds", parameters=filters)

    def payments(self, **filters: Any) -> Answer:
        """A page of the merchant's payments."""
        return self._send("GET", "/api/v1/payments", parameters=filters)

    def balance(self, **at: Any) -> Answer:
        """The merchant's balance, now or `at` an instant."""
        return self._send("GET", "/api/v1/balance", parameters=at)

    def entries(self, **filters: Any) -> Answer:
        """A page of the ledger's entries that concern the merchant."""
        return self._send("GET", "/api/v1/ledger/entries", parameters=filters)

    def public_key(self) -> dict[str, Any]:
        """The key to seal cards to (a JWK)."""
        key: dict[str, Any] = self._send("GET", "/api/v1/vault/public_key").body["keys"][0]
        return key

    def store_card(self, **fields: Any) -> Answer:
        """Store a card ahead of its charge: `card` or `sealed_card`."""
        return self._send("POST", "/api/v1/tokens", body=fields)

    def delete_card(self, token: str) -> Answer:
        """Delete a stored card."""
        return self._send("DELETE", f"/api/v1/tokens/{token}")

    def settled(self, payment_id: str, seconds: float = 60) -> dict[str, Any]:
        """The payment once it is decided. Raises `TimedOut`."""

        def decided() -> dict[str, Any] | None:
            answer = self.payment(payment_id)
            return answer.body if answer.status == 200 and answer.body["status"] != "pending" else None

        return until(decided, seconds, f"the decision on {payment_id}")

    def _command(self, payment_id: str, name: str, key: str | None, body: dict[str, Any]) -> Answer:
        return self.post(f"/api/v1/payments/{payment_id}/{name}", key or new_key(), body)

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: Any = None,
        parameters: dict[str, Any] | None = None,
    ) -> Answer:
        started = time.perf_counter()
        answer = self._http.request(method, path, headers=headers, json=body, params=parameters)
        elapsed = int((time.perf_counter() - started) * 1000)
        content = answer.json() if answer.content else {}
        replayed = answer.headers.get("idempotent-replayed") == "true"
        return Answer(answer.status_code, content, replayed, answer.headers.get("x-served-by", ""), elapsed)


def _sent(amount: int | None, fields: dict[str, Any]) -> dict[str, Any]:
    """The body of a command: without an amount it is about all there is."""
    return fields if amount is None else {"amount": amount, **fields}


def webhook(inbox: str, payment_id: str, seconds: float = 60) -> dict[str, Any]:
    """The first delivery about this payment whose signature was verified. Raises `TimedOut`."""
    return until(lambda: webhooks(inbox, payment_id), seconds, f"a webhook about {payment_id}")[0]


def webhooks(inbox: str, payment_id: str) -> list[dict[str, Any]]:
    """All deliveries about this payment so far whose signature was verified, in the order in which they came."""
    answer = httpx.get(f"{inbox}/webhooks", params={"payment_id": payment_id}, trust_env=False)
    return [found for found in answer.json()["data"] if found["verified"]]


def until(look: Callable[[], Found | None], seconds: float, what: str) -> Found:
    """What `look` returns once it is neither None nor empty. Raises `TimedOut`, naming what was awaited."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimedOut(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.1)
    return found


def new_key() -> str:
    """A new idempotency key; letters between the digits keep it from looking like a card number."""
    return f"key-{uuid.uuid4()}"


def new_card_number(chance: Random | None = None) -> str:
    """A random number in a Visa test range, valid by the Luhn check (ISO/IEC 7812-1, annex B)."""
    body = "400000" + f"{(chance or SystemRandom()).randrange(10**9):09d}"
    doubled = [int(digit) * (2 - index % 2) for index, digit in enumerate(reversed(body))]
    total = sum(number - 9 * (number > 9) for number in doubled)
    return f"{body}{-total % 10}"
