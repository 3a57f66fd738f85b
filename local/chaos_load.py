"""The load of a chaos run: shops that behave like good clients, and remember every answer.

A good client sends a request that was not answered, or answered 5xx, 429 or "try again", once more with the same key,
until it is answered. What a shop does next is drawn from the seed; when it happens depends on the platform, so a seed
gives the same shops, requests and faults, and not the same run.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import httpx

from local.client import Answer, Client, new_card_number
from payments import identifiers

TRY_SECONDS = 20.0
"""How long a client waits for an answer before it asks again."""

_PAUSES = (0.2, 0.5, 1.0, 2.0)
_DECIDED_SECONDS = 15.0
_CARDS = 12
_DECLINED = (5, 51, 91)
_UNANSWERED = 68
_BLOCKED_AMOUNT = 999_900
_WRONG = (400, 401, 403, 404)
_AGAIN = ("idempotency_in_progress", "payment_busy")
_LETTERS = str.maketrans("0123456789", "abcdefghij")


class LoadRefused(Exception):
    """A charge was refused as a request that is wrong. No shop sends one: a run of refusals would prove nothing."""


@dataclass(frozen=True)
class Shop:
    """A merchant, and the addresses it may use: the edge, and each region's gateway."""

    merchant_id: str
    api_key: str


@dataclass(frozen=True)
class Told:
    """An answer, or that there was none (status 0); when it was asked for, and came: seconds since the run began."""

    asked: float
    at: float
    status: int
    body: Mapping[str, Any]
    served_by: str = ""
    at_edge: bool = True

    @property
    def astray(self) -> bool:
        """Whether no region answered: the edge sent it to one that did not."""
        return not self.served_by and (self.status == 0 or self.status >= 500)

    @property
    def final(self) -> bool:
        """Whether a client takes it for the answer."""
        if self.status in (0, 429) or self.status >= 500:
            return False
        return not (self.status == 409 and self.body["error"]["code"] in _AGAIN)


@dataclass
class Request:
    """Something a shop asked for under one key, and all that it was told."""

    shop: Shop
    kind: str
    key: str
    path: str
    body: Mapping[str, Any]
    told: list[Told] = field(default_factory=list)

    @property
    def ended(self) -> list[Told]:
        """The answers that count."""
        return [told for told in self.told if told.final]

    @property
    def done(self) -> Told | None:
        """The first answer that says it was done."""
        return next((told for told in self.told if told.status in (200, 201)), None)

    @property
    def payment_id(self) -> str:
        """The payment it makes or is about."""
        if self.kind == "charge":
            return identifiers.payment_id(self.shop.merchant_id, self.key)
        return self.path.split("/")[4]


class Load:
    """The shops at work, and what they asked for. `addresses` are the edge's and the regions' gateways."""

    def __init__(self, shops: Sequence[Shop], edge: str, gateways: Mapping[str, str], seed: int):
        self.shops, self.edge, self.gateways, self.seed = shops, edge, gateways, seed
        self.word = str(seed).translate(_LETTERS)
        """The seed in letters, for keys and descriptions: its digits may look like a card number, which is refused."""
        chance = Random(seed)
        self.cards = [new_card_number(chance) for _ in range(_CARDS)]
        self.requests: list[Request] = []
        self.begun = time.monotonic()
        self.closing = threading.Event()
        """Set: nothing new begins."""
        self.given_up = threading.Event()
        """Set: what is still unanswered stays so."""
        self._lock, self._numbers = threading.Lock(), count()
        self._clients: dict[tuple[str, str], Client] = {}
        self._pool: ThreadPoolExecutor | None = None

    def start(self, clients: int, buyers: int = 0) -> None:
        """Open the shops, with so many customers at a time, and beside them buyers, who never ask a region itself."""
        self.begun = time.monotonic()
        self._pool = ThreadPoolExecutor(clients + buyers)
        customers = [Customers(self, number) for number in range(clients + buyers)]
        self._working = [self._pool.submit(found.serve) for found in customers[:clients]]
        self._working += [self._pool.submit(found.buy) for found in customers[clients:]]

    def finish(self, patience: float) -> int:
        """Let nothing new begin, wait until everything is answered or `patience` is over; how much is unanswered.

        Raises what a shop raised, and `LoadRefused`.
        """
        self.closing.set()
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and not all(work.done() for work in self._working):
            time.sleep(0.1)
        self.given_up.set()
        for work in self._working:
            work.result()
        for request in self.of("charge"):
            if wrong := next((told for told in request.told if told.status in _WRONG), None):
                raise LoadRefused(f"charge {request.key} was answered {wrong.status}: {wrong.body}")
        return len([request for request in self.requests if not request.ended])

    def of(self, *kinds: str) -> list[Request]:
        """The requests of these kinds."""
        with self._lock:
            return [request for request in self.requests if request.kind in kinds]

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.begun

    def number(self) -> int:
        """A number that no other request of this run has."""
        return next(self._numbers)

    def client(self, shop: Shop, address: str) -> Client:
        """The shop's client at an address."""
        with self._lock:
            if (shop.merchant_id, address) not in self._clients:
                self._clients[shop.merchant_id, address] = Client(address, shop.api_key, TRY_SECONDS)
            return self._clients[shop.merchant_id, address]

    def note(self, request: Request) -> Request:
        """Remember a request before it is sent."""
        with self._lock:
            self.requests.append(request)
        return request

    def insist(self, request: Request, address: str | None = None) -> Told | None:
        """Send it until it is answered, first to this address, then to the edge; None when it was given up."""
        for turn in count():
            told = self._try(request, address or self.edge)
            request.told.append(told)
            if told.final:
                return told
            address = None
            if self.given_up.wait(_PAUSES[min(turn, len(_PAUSES) - 1)]):
                return None
        return None

    def race(self, request: Request) -> None:
        """The same request to both regions' gateways at the same moment, each until it is answered."""
        threads = [threading.Thread(target=self.insist, args=(request, url)) for url in self.gateways.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def decided(self, request: Request) -> str | None:
        """The status of a charge once the network has decided, or None when that takes too long."""
        client, deadline = self.client(request.shop, self.edge), time.monotonic() + _DECIDED_SECONDS
        while time.monotonic() < deadline and not self.closing.is_set():
            answer = self._quietly(lambda: client.payment(request.payment_id))
            if answer and answer.status == 200 and answer.body["status"] != "pending":
                return str(answer.body["status"])
            time.sleep(0.4)
        return None

    def _try(self, request: Request, address: str) -> Told:
        client, asked = self.client(request.shop, address), self.now()
        answer = self._quietly(lambda: client.post(request.path, request.key, request.body))
        if answer is None:
            return Told(asked, self.now(), 0, {}, at_edge=address == self.edge)
        return Told(asked, self.now(), answer.status, answer.body, answer.served_by, address == self.edge)

    @staticmethod
    def _quietly(ask: Callable[[], Answer]) -> Answer | None:
        """What was answered; None when nothing was, or nothing that can be read."""
        try:
            return ask()
        except (httpx.HTTPError, ValueError):
            return None


class Customers:
    """One customer after the other, each at some shop, drawn from the seed."""

    def __init__(self, load: Load, number: int):
        self._load, self._chance = load, Random(f"{load.seed}/{number}")
        self._visits: dict[Callable[[], None], int] = {
            self._buys: 28,
            self._races: 16,
            self._is_declined: 8,
            self._is_not_answered: 3,
            self._authorizes: 16,
            self._returns: 16,
            self._is_suspicious: 4,
            self._reuses: 4,
            self._stores_a_card: 5,
        }

    def serve(self) -> None:
        """Serve customers until the shops close."""
        while not self._load.closing.is_set():
            (visit,) = self._chance.choices(list(self._visits), list(self._visits.values()))
            visit()
            self._load.closing.wait(self._chance.uniform(0.05, 0.5))

    def buy(self) -> None:
        """Buy one thing after the other at the edge until the shops close."""
        while not self._load.closing.is_set():
            self._buys()
            self._load.closing.wait(self._chance.uniform(0.05, 0.5))

    def _buys(self) -> None:
        self._load.insist(self._charge())

    def _races(self) -> None:
        self._load.race(self._charge())

    def _is_declined(self) -> None:
        self._load.insist(self._charge(cents=self._chance.choice(_DECLINED)))

    def _is_not_answered(self) -> None:
        self._load.insist(self._charge(cents=_UNANSWERED))

    def _authorizes(self) -> None:
        charge = self._charge(capture=False)
        self._load.insist(charge)
        if self._load.decided(charge) != "requires_capture":
            return
        if self._chance.random() < 0.3:
            self._command(charge, "void", {})
            return
        part = charge.body["amount"] // 2
        self._command(charge, "capture", {"amount": part, "final": self._chance.random() < 0.5})
        self._command(charge, "capture", {})

    def _returns(self) -> None:
        charge = self._charge()
        self._load.insist(charge)
        if self._load.decided(charge) != "succeeded":
            return
        cents = self._chance.choice((0, 0, 0, 7))
        self._command(charge, "refund", {"amount": charge.body["amount"] // 300 * 100 + cents, "reason": "returned"})
        self._command(charge, "refund", {})

    def _is_suspicious(self) -> None:
        stranger = f"{self._chance.getrandbits(32):08x}"
        customer = {"id": f"cus_{stranger}", "email": f"{stranger}@example.com"}
        device = {"fingerprint": f"dev_{stranger}", "ip": "198.51.100.66"}
        self._load.insist(self._charge(amount=_BLOCKED_AMOUNT, customer=customer, device=device))

    def _reuses(self) -> None:
        charge = self._charge()
        self._load.insist(charge)
        other = {**charge.body, "amount": charge.body["amount"] + 1200}
        self._load.insist(self._load.note(Request(charge.shop, "charge", charge.key, charge.path, other)))

    def _stores_a_card(self) -> None:
        shop, number = self._chance.choice(self._load.shops), self._load.number()
        body = {"card": self._card(self._chance.choice(self._load.cards))}
        request = Request(shop, "token", f"key-{number}", "/api/v1/tokens", body)
        told = self._load.insist(self._load.note(request))
        if told and told.status == 201:
            self._load.insist(self._charge(shop=shop, card=None, token=told.body["id"]))

    def _charge(self, amount: int | None = None, cents: int = 0, shop: Shop | None = None, **changes: Any) -> Request:
        chance, key = self._chance, f"key-{self._load.word}-{self._load.number()}"
        which = chance.randrange(_CARDS)
        body = {
            "amount": amount or chance.randint(10, 90) * 100 + cents,
            "currency": "USD",
            "card": self._card(self._load.cards[which]),
            "customer": {"id": f"cus_{which}"},
            "description": key,
            **changes,
        }
        body = {name: value for name, value in body.items() if value is not None}
        shop = shop or chance.choice(self._load.shops)
        return self._load.note(Request(shop, "charge", key, "/api/v1/payments/charge", body))

    def _command(self, charge: Request, name: str, body: Mapping[str, Any]) -> None:
        key = f"key-{self._load.word}-{self._load.number()}"
        path = f"/api/v1/payments/{charge.payment_id}/{name}"
        request = self._load.note(Request(charge.shop, name, key, path, body))
        if self._chance.random() < 0.4:
            self._load.race(request)
        else:
            self._load.insist(request)

    @staticmethod
    def _card(number: str) -> dict[str, Any]:
        return {"number": number, "exp_month": 12, "exp_year": 2031, "cvc": "123"}
