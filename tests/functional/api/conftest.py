"""The merchants' API without a state machine: the saga's ledger step runs in its place."""

import json

import pytest

from functions.api import app, commands, saga, vault
from functions.ledger import app as ledger
from functions.vault import app as cards
from payments import regions
from tests.functional.api import contract
from tests.functional.api.functions import Functions, Vault
from tests.functional.api.merchant import event
from tests.functional.samples import CARD_FACTS, FRAUD
from tests.functional.settlements import make_table
from tests.functional.vault.conftest import create_tables
from tests.key_stores import file_setting


@pytest.fixture
def sagas(tables, functions, monkeypatch):
    """Runs a charge's ledger step in place of the state machine, and records the saga's inputs."""
    make_table()
    inputs = []

    def run(charge):
        inputs.append(charge)
        asked = {**charge, "card": CARD_FACTS}
        answer = ledger.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
        if answer["result"] == "conflict":
            return {"outcome": "conflict"}
        return {"outcome": {"posted": "accepted", "exists": "exists"}[answer["result"]], "payment": answer["payment"]}

    monkeypatch.setattr(saga, "run", run)
    monkeypatch.setattr(regions, "primary", lambda shard: "us-east-1")
    return inputs


@pytest.fixture
def functions(monkeypatch):
    """The functions the API invokes."""
    service = Functions({**Vault().handlers, "payments-ledger-command": ledger.command})
    for room in (vault, commands):
        monkeypatch.setattr(room, "client", lambda *_, **__: service)
    monkeypatch.setattr(vault, "_keys", ([], 0.0))
    return service


@pytest.fixture
def call(sagas, context):
    """Sends a request to the API; every answer must be one its description knows."""

    def send(method, path, *args, **kwargs):
        answer = app.handler(event(method, path, *args, **kwargs), context)
        body = json.loads(answer["body"])
        contract.check(method, path, answer["statusCode"], body)
        return answer["statusCode"], body, answer["multiValueHeaders"]

    return send


@pytest.fixture
def real_vault(sagas, tmp_path, monkeypatch):
    """The vault itself behind the API, with keys."""
    monkeypatch.setenv("KEY_STORE", file_setting(tmp_path))
    cards.forget_container()
    create_tables("us-east-1")
    cards.key_ring({"do": "provision"}, None)
    handlers = {"public-key": cards.public_key, "store": cards.store, "shred": cards.shred}
    service = Functions({f"payments-vault-{name}": handler for name, handler in handlers.items()})
    monkeypatch.setattr(vault, "client", lambda *_, **__: service)
    yield service
    cards.forget_container()
