"""The simulated card network of the local cloud, served to a worker in the same process, and put into trouble."""

import asyncio
import threading
import time

import uvicorn

from local.card_network import create_app
from local.card_network_book import Book
from local.dials import AT_ONCE


class SimulatedNetwork:
    """`book` is the network's record. `trouble` is what happens to each `POST` of an operation from now on: `"lost"`
    (it never arrives), `"unanswered"` (it is done, and nobody hears of it), a status to answer with, or None."""

    def __init__(self, file):
        self.book, self.trouble, self.before = Book(file), None, None
        self._app = create_app(self.book, lambda: AT_ONCE)

    def __enter__(self):
        config = uvicorn.Config(
            self._troubled, port=0, interface="asgi3", lifespan="off", log_level="critical", timeout_graceful_shutdown=0
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join()

    @property
    def operations(self):
        """What was done, oldest first: kind, amount and status."""
        return [(done["kind"], done["amount"], done["status"]) for done in self.book.listing()["operations"]]

    @property
    def asked(self):
        """How many requests for operations arrived."""
        return self.book.listing()["operation_requests"]

    async def _troubled(self, scope, receive, send):
        asks = scope["type"] == "http" and (scope["method"], scope["path"]) == ("POST", "/operations")
        if not asks or self.trouble is None:
            await self._app(scope, receive, send)
        elif isinstance(self.trouble, int):
            await send({"type": "http.response.start", "status": self.trouble, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
        else:
            if self.trouble == "unanswered":
                await self._app(scope, receive, _nowhere)
            await asyncio.sleep(1)


async def _nowhere(message):
    pass
