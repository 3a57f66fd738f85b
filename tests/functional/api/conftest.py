"""The merchants' API without a state machine: the saga's ledger step runs in its place."""

import json

import pytest

from functions.api import app, saga, sealing
from functions.ledger import app as ledger
from payments import regions
from tests.functional.api.merchant import Vault, event
from tests.functional.samples import CARD_FACTS, FRAUD


@pytest.fixture
def sagas(tables, monkeypatch):
    """Runs a charge's ledger step in place of the state machine, and records the saga's inputs."""
    inputs = []

    def run(charge):
        inputs.append(charge)
        asked = {**charge, "card": CARD_FACTS}
        answer = ledger.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
        if answer["result"] == "conflict":
            return {"outcome": "conflict"}
        return {"outcome": {"posted": "accepted", "exists": "exists"}[answer["result"]], "payment": answer["payment"]}

    monkeypatch.setattr(saga, "run", run)
    monkeypatch.setattr(sealing, "client", lambda service: Vault())
    monkeypatch.setattr(regions, "primary", lambda shard: "us-east-1")
    sealing._public_key.cache_clear()
    return inputs


@pytest.fixture
def call(sagas, context):
    """Sends a request to the API."""

    def send(*args, **kwargs):
        answer = app.handler(event(*args, **kwargs), context)
        return answer["statusCode"], json.loads(answer["body"]), answer["multiValueHeaders"]

    return send
