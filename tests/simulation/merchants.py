"""What merchants do: charges, sent again until they are answered, the same one to both regions at once, and afterwards
captures, voids and refunds. They remember every answer."""

import json
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from payments import identifiers
from tests.simulation.hub import Crashed, TimedOut
from tests.simulation.region import Region
from tests.simulation.vault import BLOCKED_CENTS, INVALID_CENTS
from tests.simulation.wire import Refused, Wire

MERCHANTS = ("mer_nodle477gt6odhllqbhp6wr7", "mer_l7wowzx7zbxtrwkspbwg22lm")
"""One in each of the two shards."""

PATIENCE = 29.0
"""Seconds; API Gateway's own time-out."""

CENTS = (0, 0, 0, 0, 5, 51, 68, BLOCKED_CENTS, INVALID_CENTS)
REFUNDED_CENTS = (0, 0, 7, 67)
CARDS = tuple(f"card{letter * 16}" for letter in "abc")
TERMS = '{"basis_points": 290, "fixed": {"USD": 30}, "dispute": {"USD": 1500}}'


@dataclass
class Request:
    """Something a merchant wants, under one idempotency key, and the answers to it: status and body."""

    merchant: str
    key: str
    path: str
    body: dict[str, Any]
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    reads: list[tuple[float, int]] = field(default_factory=list)
    """When the payment was asked for of the region that had just answered 201, and with which status it told."""
    patient: bool = True

    @property
    def terms(self) -> tuple[int, str]:
        """What tells two charges under one key apart."""
        return self.body["amount"], self.body["customer"]["id"]

    @property
    def ended(self) -> list[tuple[int, dict[str, Any]]]:
        """The answers that are not an invitation to try again."""
        return [(status, body) for status, body in self.answers if not again(status, body)]


def again(status: int, body: dict[str, Any]) -> bool:
    """Whether the same request may be answered otherwise a moment later."""
    return status >= 500 or (status == 409 and body["error"]["code"] in ("payment_busy", "idempotency_in_progress"))


class Merchants:
    """All merchants of a run."""

    def __init__(self, wire: Wire, regions: list[Region], random: Random):
        self._wire, self._hub, self._regions, self._random = wire, wire.hub, regions, random
        self.charges: list[Request] = []
        self.commands: list[Request] = []
        self.busy = 0

    def begin(self, most: int) -> None:
        """Some charges within the first two minutes: at the beginning, at any time, or right before trouble begins."""
        starts = [0.0, self._random.uniform(0, 100)]
        starts += [max(0.0, window.begins - self._random.uniform(0, 0.5)) for window in self._wire.faults.windows]
        for number in range(self._random.randint(3, most)):
            self._order(number, self._random.choice(starts))

    def _order(self, number: int, start: float) -> None:
        pick, merchant = self._random, self._random.choice(MERCHANTS)
        request = self._charge(merchant, f"key-{number}", pick.randint(10, 90) * 100 + pick.choice(CENTS))
        about = self._later_move(merchant, start)
        if about and pick.random() < 0.5:
            request.body["capture"] = False
        self.charges.append(request)
        raced = 1 if number else 2  # every run has at least one charge that is raced into both regions
        for copy in range(max(raced, pick.choice((1, 2, 2, 3)))):
            wait = pick.choice((pick.uniform(0, 0.2), pick.uniform(0, 40))) if copy else 0.0
            self._send(request, start + wait, self._regions[(copy + number) % 2])
        if pick.random() < 0.3:
            other = self._charge(merchant, request.key, request.body["amount"] + pick.choice((0, 100)))
            other.body["customer"] = {"id": "cus_2"}
            self.charges.append(other)
            self._send(other, start + pick.choice((2, 90)) * pick.random(), pick.choice(self._regions))
        if about or pick.random() < 0.5:
            self._follow(request, start, about)

    def _later_move(self, merchant: str, start: float) -> float | None:
        """When the merchant's shard moves, some time after a charge."""
        shard = identifiers.merchant_shard(merchant)
        moves = [when for when, moved in self._wire.faults.moves if moved == shard and when > start + 15]
        return self._random.choice(moves) if moves else None

    def _charge(self, merchant: str, key: str, amount: int) -> Request:
        card = "invalid" + "a" * 13 if amount % 100 == INVALID_CENTS else self._random.choice(CARDS)
        body = {
            "amount": amount,
            "currency": "USD",
            "sealed_card": f"{'h' * 20}..{'i' * 16}.{card}.{'t' * 22}",
            "capture": self._random.random() < 0.6,
            "customer": {"id": "cus_1"},
            "description": key,
        }
        patient = self._random.random() < 0.85
        return Request(merchant, key, "/api/v1/payments/charge", body, patient=patient)

    def _follow(self, charge: Request, start: float, about: float | None) -> None:
        """What the merchant does with the payment later, sometimes to both regions at once; if its shard moves `about`
        some time, some of it before that and some after."""
        payment_id = identifiers.payment_id(charge.merchant, charge.key)
        kinds = ("refund", "refund") if charge.body["capture"] else ("capture", "capture", "void", "refund")
        for number, kind in enumerate(self._random.sample(kinds, self._random.randint(1, len(kinds)))):
            body = {} if kind == "void" else self._random.choice(({}, {"amount": self._part(charge)}))
            path = f"/api/v1/payments/{payment_id}/{kind}"
            request = Request(charge.merchant, f"{charge.key}-{number}", path, body)
            self.commands.append(request)
            first, apart = start + self._random.uniform(5, 65), self._random.uniform(0, 0.2)
            if about:
                first = about + self._random.choice((self._random.uniform(-10, 0), self._random.uniform(0, 10)))
            for copy in range(self._random.choice((1, 1, 2))):
                self._send(request, first + apart * copy, self._regions[(copy + number) % 2])

    def _part(self, charge: Request) -> int:
        return charge.body["amount"] // 300 * 100 + self._random.choice(REFUNDED_CENTS)

    def _send(self, request: Request, start: float, region: Region) -> None:
        self.busy += 1
        self._hub.spawn(f"merchant {request.key}", None, lambda: self._insist(request, start, region))

    def _insist(self, request: Request, start: float, region: Region) -> None:
        """Send it again until it is answered, to whatever region."""
        self._hub.sleep(start)
        for _ in range(1000 if request.patient else 2):
            status, body = self._ask(request, region)
            request.answers.append((status, body))
            if not again(status, body):
                self._read(request, status, body, region)
                break
            self._hub.sleep(self._random.uniform(1, 6))
            region = self._random.choice(self._regions)
        self.busy -= 1

    def _read(self, charge: Request, status: int, body: dict[str, Any], region: Region) -> None:
        """Sometimes the merchant looks at once, in the same region, for the payment that was accepted."""
        if status == 201 and charge.path.endswith("/charge") and self._random.random() < 0.5:
            path = f"/api/v1/payments/{body['id']}"
            asked = replace(charge, path=path, body={}, answers=[], reads=[])
            found, _ = self._ask(asked, region, "GET")
            charge.reads.append((self._hub.now, found))

    def _ask(self, request: Request, region: Region, method: str = "POST") -> tuple[int, dict[str, Any]]:
        try:
            what, event = f"{region.name} {method} {request.path}", _event(request, method)
            answer: str = self._wire.ask(what, lambda: region.invoke("payments-api", event), region, PATIENCE)
        except TimedOut:
            return 504, {}
        except (Refused, Crashed):
            return 502, {}
        found = json.loads(answer)
        return found["statusCode"], json.loads(found["body"])


def _event(request: Request, method: str) -> dict[str, Any]:
    """The proxy event that API Gateway makes of the request."""
    shard = identifiers.merchant_shard(request.merchant)
    return {
        "resource": request.path,
        "path": request.path,
        "httpMethod": method,
        "headers": {"Idempotency-Key": request.key},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "isBase64Encoded": False,
        "body": json.dumps(request.body) if method == "POST" else None,
        "requestContext": {
            "requestId": "request-1",
            "stage": "v1",
            "httpMethod": method,
            "path": request.path,
            "identity": {},
            "authorizer": {"merchant_id": request.merchant, "shard": str(shard), "terms": TERMS},
        },
    }
