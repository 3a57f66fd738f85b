"""A simulated card network: `python -m local.card_network`.

Idempotent on `network_ref` and `operation_ref`. The last two digits of the amount decide (`card_network_book`). An
authorization of …68 and an operation of …67 are recorded and accepted, and then not answered, whenever they are asked
for, so that only a `GET` tells. Latency, and requests that are never answered, are dials (`dials.py`). Every request
that was decided is kept in `card-network.sqlite` under the home directory.

What the network itself begins is asked for by whoever plays it: disputes by `POST /disputes`, and by `POST
/settlements` the files of what is not settled yet, one per network, which `GET /settlements/{reference}?layout=1` then
gives out.
"""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from local import settlement_export
from local.card_network_book import Book, ReferenceReused, Refused
from local.card_network_cycles import Cycles
from local.dials import DialFile, Dials, Reader
from local.serving import NotJson, json_object, refusal, server
from local.settings import Settings, settings

NO_ANSWER = 68
NO_ANSWER_TO_OPERATION = 67
_HANG_SECONDS = 300
_TEXTS = ("network_ref", "currency", "token", "network", "bin", "request")
_KINDS = ("capture", "void", "refund")
_DISPUTES = ("chargeback", "representment")
_CARD_FIELDS = {"number", "pan", "card_number", "cvc", "cvv"}
_CARD_NUMBER = re.compile(r"[0-9][0-9 -]{11,21}[0-9]")


def card_data_in(value: Any) -> bool:
    """Whether there is a card number, or a field named for one, anywhere in the request."""
    if isinstance(value, dict):
        return any(name.lower() in _CARD_FIELDS or card_data_in(part) for name, part in value.items())
    if isinstance(value, list):
        return any(card_data_in(part) for part in value)
    text = str(value)
    return bool(_CARD_NUMBER.fullmatch(text)) and _luhn(re.sub(r"[ -]", "", text))


def create_app(book: Book, dials: Reader) -> Starlette:
    """The network's HTTP API over this record."""

    async def authorize(request: Request) -> Response:
        order = await _order(request, _problem)
        if isinstance(order, Response):
            return order
        lost = await _travel(request, dials())
        try:
            held = book.authorize(order)
        except ReferenceReused:
            return refusal(
                409, "network_ref_reused", "this network_ref was used with another amount, currency or request"
            )
        if lost or order["amount"] % 100 == NO_ANSWER:
            await _hang(request)
        return JSONResponse(_answer(held))

    async def operate(request: Request) -> Response:
        order = await _order(request, _operation_problem)
        if isinstance(order, Response):
            return order
        lost = await _travel(request, dials())
        try:
            held = book.operate(order)
        except ReferenceReused:
            return refusal(409, "operation_ref_reused", "this operation_ref was used with another content")
        except Refused as reason:
            return refusal(422, "operation_refused", str(reason))
        if lost or order["amount"] % 100 == NO_ANSWER_TO_OPERATION:
            await _hang(request)
        return JSONResponse(_operation_answer(held))

    async def status(request: Request) -> Response:
        held = book.find(request.path_params["network_ref"])
        return JSONResponse(_answer(held)) if held else refusal(404, "authorization_unknown", "no such network_ref")

    async def operation_status(request: Request) -> Response:
        held = book.operation(request.path_params["operation_ref"])
        return JSONResponse(_operation_answer(held)) if held else refusal(404, "operation_unknown", "no such operation")

    async def dispute(request: Request) -> Response:
        order = await _order(request, _dispute_problem)
        if isinstance(order, Response):
            return order
        try:
            return JSONResponse(book.dispute(order))
        except ReferenceReused:
            return refusal(409, "case_ref_reused", "this case was reported with another content")
        except Refused as reason:
            return refusal(422, "dispute_refused", str(reason))

    async def listing(_: Request) -> Response:
        return JSONResponse(book.listing())

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/authorizations", authorize, methods=["POST"]),
            Route("/authorizations", listing),
            Route("/authorizations/{network_ref}", status),
            Route("/operations", operate, methods=["POST"]),
            Route("/operations/{operation_ref}", operation_status),
            Route("/disputes", dispute, methods=["POST"]),
            *_settlements(Cycles(book)),
            Route("/health", health),
        ]
    )


def _settlements(cycles: Cycles) -> list[Route]:
    """The routes of the network's settlement files."""

    async def cut(request: Request) -> Response:
        order = await _order(request, _date_problem)
        return order if isinstance(order, Response) else JSONResponse({"data": cycles.cut(order["date"])})

    async def files(_: Request) -> Response:
        return JSONResponse({"data": cycles.files()})

    async def file(request: Request) -> Response:
        layout, lines = request.query_params.get("layout", "1"), cycles.lines(request.path_params["reference"])
        if layout not in settlement_export.LAYOUTS:
            return refusal(400, "invalid_request", f"layout must be one of {', '.join(settlement_export.LAYOUTS)}")
        if not lines:
            return refusal(404, "settlement_unknown", "no such file")
        return PlainTextResponse(settlement_export.written(settlement_export.of_record(lines), layout))

    return [
        Route("/settlements", cut, methods=["POST"]),
        Route("/settlements", files),
        Route("/settlements/{reference}", file),
    ]


async def _order(
    request: Request, problem_of: Callable[[Mapping[str, Any]], tuple[str, str] | None]
) -> dict[str, Any] | Response:
    """The order in a request, or the refusal of a malformed one."""
    try:
        order = await json_object(request)
    except NotJson as error:
        return refusal(400, "invalid_request", str(error))
    problem = problem_of(order)
    return refusal(400, *problem) if problem else order


def _problem(order: Mapping[str, Any]) -> tuple[str, str] | None:
    if not isinstance(order.get("capture"), bool):
        return "invalid_request", "capture must be true or false"
    return _common_problem(order, _TEXTS)


def _operation_problem(order: Mapping[str, Any]) -> tuple[str, str] | None:
    if order.get("kind") not in _KINDS:
        return "invalid_request", f"kind must be one of {', '.join(_KINDS)}"
    return _common_problem(order, ("operation_ref", "network_ref", "currency"))


def _dispute_problem(order: Mapping[str, Any]) -> tuple[str, str] | None:
    if order.get("kind") not in _DISPUTES:
        return "invalid_request", f"kind must be one of {', '.join(_DISPUTES)}"
    return _common_problem(order, ("case_ref", "network_ref", "reason"))


def _date_problem(order: Mapping[str, Any]) -> tuple[str, str] | None:
    text = str(order.get("date"))
    try:
        valid = date.fromisoformat(text).isoformat() == text
    except ValueError:
        valid = False
    return None if valid else ("invalid_request", "date must be a date such as 2026-11-23")


def _common_problem(order: Mapping[str, Any], texts: tuple[str, ...]) -> tuple[str, str] | None:
    if card_data_in(order):
        return "card_data_refused", "this network takes tokens, not card numbers"
    if not isinstance(order.get("amount"), int) or isinstance(order["amount"], bool) or order["amount"] <= 0:
        return "invalid_request", "amount must be a positive integer"
    missing = [name for name in texts if not isinstance(order.get(name), str)]
    return ("invalid_request", f"{', '.join(missing)} must be text") if missing else None


def _answer(held: Mapping[str, Any]) -> dict[str, Any]:
    """What was decided, and about what: the order's terms are echoed."""
    echoed = ("network_ref", "amount", "currency", "token", "request")
    return {name: held[name] for name in (*echoed, "status", "code", "authorization_code")}


def _operation_answer(held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: held[name] for name in ("operation_ref", "status", "code")}


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(number - 9 * (number > 9) for number in doubled) % 10 == 0


async def _travel(request: Request, dials: Dials) -> bool:
    """Takes as long as the dials say; whether the answer is lost. A request that is lost itself never arrives: raises
    `ClientDisconnect` when its sender has given up."""
    await asyncio.sleep(random.uniform(*dials.card_network_latency_ms) / 1000)
    if random.random() >= dials.card_network_drop_rate:
        return False
    if random.random() < 0.5:
        return True
    await _hang(request)
    raise ClientDisconnect


async def _hang(request: Request) -> None:
    for _ in range(_HANG_SECONDS):
        if await request.is_disconnected():
            return
        await asyncio.sleep(1)


def main(at: Settings) -> None:
    """Serve until told to stop."""
    app = create_app(Book(at.path("card-network.sqlite")), DialFile(at))
    server(app, at.card_network_port).run()


if __name__ == "__main__":
    main(settings())
