"""Where the simulator takes the place of the world: time, chance, AWS and the card network, and what a process keeps.

This list is the whole of it. A module that finds another way to the world must be brought behind one of these.
"""

import logging
import random as chance
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pynamodb.connection.base
from aws_lambda_powertools.event_handler.api_gateway import BaseRouter

from functions.api import routing
from functions.network import card_network
from payments import books, clients, clock, conflicts, identifiers, observability, records, regions
from tests.simulation.clients import Session
from tests.simulation.outside import NetworkSession

START = datetime(2026, 11, 23, 10, tzinfo=UTC)
"""What the virtual clock's 0 is."""

SHARDS = 2
"""Instead of 128, so that a sweep takes a few queries: one shard for each region."""


BUCKETS = 2
"""Of the pending index, instead of 8 per shard, for the same reason."""


class PerRegion(MutableMapping[Any, Any]):
    """A cache that a module keeps in its process: here each region has its own."""

    def __init__(self, name: str, session: Session):
        self._name, self._session = name, session

    @property
    def _own(self) -> dict[Any, Any]:
        return self._session.here().memory.setdefault(self._name, {})

    def __getitem__(self, key: Any) -> Any:
        return self._own[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._own[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._own[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


@contextmanager
def simulated(session: Session, network: NetworkSession) -> Iterator[None]:
    """The platform's code in the simulated world."""
    hub, random = session.wire.hub, session.wire.random
    places: list[tuple[Any, str, Any]] = [
        (clock, "utc", lambda: START + timedelta(seconds=hub.now + session.here().skew)),
        (clock, "monotonic", lambda: hub.now + 1000),
        (clock, "wait", hub.sleep),
        (clock, "pause", lambda longest: hub.sleep(random.uniform(0, longest))),
        (clients, "_session", lambda: session),
        (pynamodb.connection.base.Connection, "client", property(lambda _: clients.client("dynamodb"))),
        (card_network, "_session", lambda: network),
        (regions, "here", lambda: session.here().name),
        (regions, "_cache", PerRegion("shards", session)),
        (routing, "_paused_until", PerRegion("paused", session)),
        (identifiers, "secrets", SimpleNamespace(token_bytes=random.randbytes)),
        (identifiers, "SHARDS", SHARDS),
        (books, "PENDING_BUCKETS", BUCKETS),
        (conflicts, "REVIEW_BUCKETS", 1),
        (records, "PENDING_BUCKETS", BUCKETS),
        (observability, "print", lambda *_, **__: None),
    ]
    kept = chance.getstate()
    with ExitStack() as stack:
        for module, name, value in places:
            stack.enter_context(patch.object(module, name, value, create=name == "print"))
        clients.client.cache_clear()
        stack.callback(clients.client.cache_clear)
        stack.callback(chance.setstate, kept)
        chance.seed(random.random())  # what the code under test takes from the module
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, logging.NOTSET)
        hub.carry = _carry
        yield


def _carry() -> Any:
    """Powertools keeps the request in a class: here several are answered in turns."""
    event, context = getattr(BaseRouter, "current_event", None), getattr(BaseRouter, "lambda_context", None)

    def restore() -> None:
        BaseRouter.current_event, BaseRouter.lambda_context = event, context

    return restore
