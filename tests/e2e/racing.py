"""The same request to both regions at the same moment, each sent again until it is answered."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from local.client import TEST_CARD, Answer, TimedOut, new_card_number
from tests.e2e.cloud import FIRST, SECOND, Cloud

PATIENCE_S = 60
_AGAIN = ("payment_busy", "idempotency_in_progress")


def charge(amount: int = 4200, **changes):
    """A charge's body, with a card of its own."""
    return {"amount": amount, "currency": "USD", "card": {**TEST_CARD, "number": new_card_number()}, **changes}


def race(cloud: Cloud, path: str, key: str, body, copies: int = 2) -> list[Answer]:
    """The answers to so many copies in each region."""
    clients = [cloud.merchant(region) for region in (FIRST, SECOND) for _ in range(copies)]
    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(lambda client: _insist(client, path, key, body), clients))


def _insist(client, path, key, body):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            answer = client.post(path, key, body)
        except httpx.HTTPError:
            continue
        if answer.status < 500 and answer.status != 429 and answer.body.get("error", {}).get("code") not in _AGAIN:
            return answer
        time.sleep(0.3)
    raise TimedOut(f"an answer to {path}")
