"""The card network as the worker's HTTP session sees it: slow, sometimes silent, and with a record of its own."""

from typing import Any
from urllib.parse import urlsplit

import requests

from tests.functional.ledger.card_network import Record
from tests.simulation.hub import Future, TimedOut
from tests.simulation.wire import Refused, Wire

SILENT, SILENT_OPERATION = 68, 67
"""Amounts that end in these are taken and never answered: only asking for the status tells."""


class Response:
    """What the worker reads of an answer."""

    def __init__(self, status: int, content: dict[str, Any]):
        self.status_code, self._content = status, content

    def json(self) -> dict[str, Any]:
        return self._content


class NetworkSession:
    """Sends the worker's requests to the network's record."""

    def __init__(self, wire: Wire, record: Record):
        self._wire, self._record = wire, record

    def post(self, url: str, json: dict[str, Any], timeout: tuple[float, float]) -> Response:
        return self._ask("POST", url, dict(json), timeout)

    def get(self, url: str, timeout: tuple[float, float]) -> Response:
        return self._ask("GET", url, None, timeout)

    def _ask(self, method: str, url: str, order: dict[str, Any] | None, timeout: tuple[float, float]) -> Response:
        path = urlsplit(url).path

        def effect() -> Any:
            status, content = self._record.answer(method, path, order)
            silent = SILENT if path.startswith("/authorizations") else SILENT_OPERATION
            answered = Response(status, content)
            return answered if order is None or order["amount"] % 100 != silent else Future()

        self._wire.hub.sleep(self._wire.random.uniform(0.2, 0.5))
        try:
            found: Response = self._wire.ask(f"network {method} {path}", effect, None, timeout[1])
        except TimedOut:
            raise requests.ReadTimeout from None
        except Refused:
            raise requests.ConnectionError from None
        return found
