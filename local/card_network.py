"""A simulated card network: `python -m local.card_network`.

Idempotent on `network_ref`. The last two digits of the amount decide (see `OUTCOMES`); …68 records an approval and then
does not answer, whenever it is asked to authorize, so that only `GET /authorizations/{network_ref}` tells. Every
request is kept, append-only, in `card-network.sqlite` under the home directory, where an audit can read it after
everything was killed.
"""

import asyncio
import random
import re
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.serving import NotJson, json_object, refusal, server
from local.settings import Settings, settings

OUTCOMES = {5: "card_declined", 51: "insufficient_funds", 91: "issuer_unavailable"}
NO_ANSWER = 68
_HANG_SECONDS = 300
_TEXTS = ("network_ref", "currency", "token", "network", "bin")
_CARD_FIELDS = {"number", "pan", "card_number", "cvc", "cvv"}
_CARD_NUMBER = re.compile(r"[0-9][0-9 -]{11,21}[0-9]")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS authorizations (
    network_ref TEXT PRIMARY KEY, amount INTEGER NOT NULL, currency TEXT NOT NULL, capture INTEGER NOT NULL,
    token TEXT NOT NULL, network TEXT NOT NULL, status TEXT NOT NULL, code TEXT, authorization_code TEXT,
    at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
    network_ref TEXT NOT NULL, amount INTEGER NOT NULL, result TEXT NOT NULL, at TEXT NOT NULL);
"""


class AmountDiffers(Exception):
    """The reference was used before with another amount or currency."""


class Book:
    """The network's append-only record."""

    def __init__(self, file: Path):
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _SCHEMA)
        file.chmod(0o600)

    def authorize(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The authorization under this reference, made now if it is new. Raises `AmountDiffers`."""
        reference, amount = order["network_ref"], order["amount"]
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        code = OUTCOMES.get(amount % 100)
        approval = None if code else sha256(reference.encode()).hexdigest()[:6].upper()
        row = (reference, amount, order["currency"], order["capture"], order["token"], order["network"])
        made = self._database.execute(
            "INSERT OR IGNORE INTO authorizations VALUES (?,?,?,?,?,?,?,?,?,?)",
            (*row, "declined" if code else "approved", code, approval, at),
        ).rowcount
        held = self.find(reference)
        same = held is not None and (held["amount"], held["currency"]) == (amount, order["currency"])
        result = "new" if made else "repeated" if same else "conflict"
        self._database.execute("INSERT INTO requests VALUES (?,?,?,?)", (reference, amount, result, at))
        if held is None or not same:
            raise AmountDiffers(reference)
        return held

    def find(self, reference: str) -> dict[str, Any] | None:
        """The authorization with this reference."""
        row = self._database.execute("SELECT * FROM authorizations WHERE network_ref = ?", (reference,)).fetchone()
        return dict(row) if row else None

    def listing(self) -> dict[str, Any]:
        """Everything, for audits: authorizations, how many, and how many requests there were."""
        rows = [dict(row) for row in self._database.execute("SELECT * FROM authorizations ORDER BY rowid")]
        requests = self._database.execute("SELECT count(*) FROM requests").fetchone()[0]
        return {"count": len(rows), "requests": requests, "data": rows}


def card_data_in(value: Any) -> bool:
    """Whether there is a card number, or a field named for one, anywhere in the request."""
    if isinstance(value, dict):
        return any(name.lower() in _CARD_FIELDS or card_data_in(part) for name, part in value.items())
    if isinstance(value, list):
        return any(card_data_in(part) for part in value)
    text = str(value)
    return bool(_CARD_NUMBER.fullmatch(text)) and _luhn(re.sub(r"[ -]", "", text))


def create_app(book: Book, latency_ms: tuple[int, int]) -> Starlette:
    """The network's HTTP API over this record."""

    async def authorize(request: Request) -> Response:
        try:
            order = await json_object(request)
        except NotJson as error:
            return refusal(400, "invalid_request", str(error))
        if problem := _problem(order):
            return refusal(400, *problem)
        await asyncio.sleep(random.uniform(*latency_ms) / 1000)
        try:
            held = book.authorize(order)
        except AmountDiffers:
            return refusal(409, "network_ref_reused", "this network_ref was used with another amount or currency")
        if order["amount"] % 100 == NO_ANSWER:
            await _hang(request)
        return JSONResponse(_answer(held))

    async def status(request: Request) -> Response:
        held = book.find(request.path_params["network_ref"])
        return JSONResponse(_answer(held)) if held else refusal(404, "authorization_unknown", "no such network_ref")

    async def listing(_: Request) -> Response:
        return JSONResponse(book.listing())

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/authorizations", authorize, methods=["POST"]),
            Route("/authorizations", listing),
            Route("/authorizations/{network_ref}", status),
            Route("/health", health),
        ]
    )


def _problem(order: Mapping[str, Any]) -> tuple[str, str] | None:
    if card_data_in(order):
        return "card_data_refused", "this network takes tokens, not card numbers"
    if not isinstance(order.get("amount"), int) or isinstance(order["amount"], bool) or order["amount"] <= 0:
        return "invalid_request", "amount must be a positive integer"
    if not isinstance(order.get("capture"), bool):
        return "invalid_request", "capture must be true or false"
    missing = [name for name in _TEXTS if not isinstance(order.get(name), str)]
    return ("invalid_request", f"{', '.join(missing)} must be text") if missing else None


def _answer(held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: held[name] for name in ("network_ref", "status", "code", "authorization_code")}


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(number - 9 * (number > 9) for number in doubled) % 10 == 0


async def _hang(request: Request) -> None:
    for _ in range(_HANG_SECONDS):
        if await request.is_disconnected():
            return
        await asyncio.sleep(1)


def main(at: Settings) -> None:
    """Serve until told to stop."""
    app = create_app(Book(at.path("card-network.sqlite")), at.card_network_latency_ms)
    server(app, at.card_network_port).run()


if __name__ == "__main__":
    main(settings())
