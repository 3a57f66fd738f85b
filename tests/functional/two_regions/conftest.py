"""A card network, and what the functions send, for the tests of what two regions did without each other."""

import pytest

from functions.network import card_network, vault
from payments import events, queues
from tests.functional.samples import CARD_FACTS
from tests.functional.simulated_network import SimulatedNetwork


@pytest.fixture
def network(tmp_path, monkeypatch):
    monkeypatch.setattr(vault, "detokenize", lambda *_: CARD_FACTS)
    with SimulatedNetwork(tmp_path / "network.sqlite") as served:
        monkeypatch.setattr(card_network, "_base", lambda: served.url)
        yield served


@pytest.fixture
def published(monkeypatch):
    sent = []
    monkeypatch.setattr(events, "publish", lambda detail_type, *found: sent.extend((detail_type, e) for e in found))
    return sent


@pytest.fixture(autouse=True)
def postponed(monkeypatch):
    """Seconds for which a message was put off, each time."""
    found = []
    monkeypatch.setattr(queues, "postpone", lambda record, url, seconds: found.append(seconds))
    return found
