"""A provisioned vault on moto: the real handlers, a real key store, a clock the test sets, and two regions."""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from moto import mock_aws

from cdk.vault_rights import VAULT_RIGHTS
from functions.vault import app, table
from functions.vault.errors import VaultError
from tests.functional.vault.envelopes import CARD, MERCHANT, seal
from tests.key_stores import file_setting, softhsm_setting

EAST, WEST = "us-east-1", "us-west-2"
TOKENS, CARD_KEYS = "vault-tokens", "vault-card-keys"


@cache
def dynamodb(region: str) -> Any:
    """Making one takes longer than most tests."""
    return boto3.resource("dynamodb", region_name=region, aws_access_key_id="testing", aws_secret_access_key="testing")


class GuardedClient:
    """The vault's own client, which lets a handler do what its role may do in AWS (cdk/vault_rights.py), no more."""

    def __init__(self, region: str) -> None:
        self.client, self.region = table.dynamodb_client(), region

    def __getattr__(self, operation: str) -> Any:
        call = getattr(self.client, operation)

        def guarded(**request: Any) -> Any:
            handler = _running_handler()
            if handler is not None and request["TableName"] in (TOKENS, CARD_KEYS):
                allowed = VAULT_RIGHTS[handler].on(request["TableName"])
                action = "dynamodb:" + operation.title().replace("_", "")
                assert action in allowed, f"payments-vault-{handler} may not {action} on {request['TableName']}"
            return call(**request)

        return guarded


def _running_handler() -> str | None:
    """Which handler of the vault we are in, as its Lambda function is called."""
    frame = sys._getframe()
    while frame := frame.f_back:
        if frame.f_code.co_name == "handler" and frame.f_globals["__name__"] == app.__name__:
            name = frame.f_locals["operation"].__name__
            return {"key_ring": "keys"}.get(name, name.replace("_", "-"))
    return None


@cache
def client(region: str) -> GuardedClient:
    """Making one takes longer than most tests."""
    return GuardedClient(region)


class VaultUnderTest:
    """The handlers as the platform calls them, and the tables behind them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, key_store: str) -> None:
        self.now = 1_790_000_000
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(app, "_now", lambda: self.now)
        monkeypatch.setattr(app, "dynamodb_client", lambda: client(self.region))
        environment = {
            "ENVIRONMENT": "local",
            "VAULT_TABLE": TOKENS,
            "CARD_KEYS_TABLE": CARD_KEYS,
            "KEY_STORE": key_store,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        self._seen: dict[tuple[str, str], dict[str, Any]] = {}
        for region in (EAST, WEST):
            create_tables(region)
        self.move_to(EAST)

    def move_to(self, region: str) -> None:
        """From now on in a new container of `region`."""
        self.region = region
        self._monkeypatch.setenv("AWS_DEFAULT_REGION", region)
        self._monkeypatch.setenv("AWS_REGION", region)
        app.forget_container()

    @property
    def table(self) -> Any:
        return dynamodb(self.region).Table(TOKENS)

    @property
    def card_keys(self) -> Any:
        return dynamodb(self.region).Table(CARD_KEYS)

    def items(self) -> list[dict[str, Any]]:
        return sorted((*self.table.scan()["Items"], *self.card_keys.scan()["Items"]), key=str)

    def item(self, token: str, merchant: str = MERCHANT, region: str | None = None) -> dict[str, Any]:
        key = {"token": token, "holding": f"{merchant}#card#{region or self.region}"}
        return dict(self.table.get_item(Key=key).get("Item") or {})

    def change(self, item: dict[str, Any], **attributes: Any) -> None:
        self.table.put_item(Item={**item, **attributes})

    def replicate(self) -> list[dict[str, Any]]:
        """Carries what changed here to the other region, and has its stream's records read there.

        Returns the records. Afterwards we are back in this region.
        """
        here, there = self.region, WEST if self.region == EAST else EAST
        records = []
        for name in (TOKENS, CARD_KEYS):
            source, target = dynamodb(here).Table(name), dynamodb(there).Table(name)
            new = {_key(item): item for item in source.scan()["Items"]}
            old = {_key(item): item for item in target.scan()["Items"]}
            for key in new.keys() | old.keys():
                if key[1].endswith(there) or f"#{there}#" in key[1] or new.get(key) == old.get(key):
                    continue  # the other region's own
                records.append((name, _record(old.get(key), new.get(key))))
                if key in new:
                    target.put_item(Item=new[key])
                else:
                    target.delete_item(Key={"token": key[0], "holding": key[1]})
        shown = [record for name, record in records if name == TOKENS and _filtered(record)]
        self.move_to(there)
        assert app.shredder({"Records": shown}, None) == {"batchItemFailures": []}
        self.move_to(here)
        return shown

    def synchronize(self) -> None:
        """Replicates both ways."""
        self.replicate()
        here = self.region
        self.move_to(WEST if here == EAST else EAST)
        self.replicate()
        self.move_to(here)

    def jwk(self) -> dict[str, str]:
        return dict(app.public_key({}, None)["keys"][0])

    def sealed(self, card: object = None, merchant: str = MERCHANT, **header: Any) -> str:
        return seal(self.jwk(), CARD if card is None else card, merchant, self.now, **header)

    def tokenize(
        self, card: object = None, attempt: str = "att_1", merchant: str = MERCHANT, **header: Any
    ) -> dict[str, Any]:
        return self.submit({"sealed_card": self.sealed(card, merchant, **header)}, attempt, merchant)

    def submit(
        self, card: object, attempt: str = "att_1", merchant: str = MERCHANT, payment: str = "pay_1"
    ) -> dict[str, Any]:
        event = {"payment_id": payment, "attempt": attempt, "merchant_id": merchant, "card": card}
        return app.tokenize(event, None)

    def store(self, envelope: object, merchant: str = MERCHANT) -> dict[str, Any]:
        return app.store({"sealed_card": envelope, "merchant_id": merchant}, None)

    def token(self, attempt: str = "att_1", merchant: str = MERCHANT, card: object = None) -> str:
        return str(self.tokenize(card, attempt, merchant)["card"]["token"])

    def charge_token(self, token: object, attempt: str = "att_1", merchant: str = MERCHANT) -> str:
        """The result, or why the card is invalid."""
        answer = self.submit({"token": token}, attempt, merchant)
        return str(answer.get("code", answer["result"]))

    def release(self, token: object, attempt: str = "att_1", merchant: str = MERCHANT) -> str:
        return str(app.release({"token": token, "merchant_id": merchant, "attempt": attempt}, None)["result"])

    def detokenize(self, token: object, merchant: str = MERCHANT) -> dict[str, Any]:
        return app.detokenize({"token": token, "merchant_id": merchant, "payment_id": "pay_1"}, None)

    def opens(self, token: object, merchant: str = MERCHANT) -> bool:
        return bool(self.detokenize(token, merchant)["result"] == "detokenized")

    def shred(self, token: object, merchant: str = MERCHANT) -> str:
        return str(app.shred({"token": token, "merchant_id": merchant}, None)["result"])

    def keys(self, do: str, **fields: Any) -> dict[str, Any]:
        return app.key_ring({"do": do, **fields}, None)

    def walk(
        self, task: str, job: str, merchant: str | None = None, limit: int = 1000, kek: int | None = None
    ) -> dict[str, Any]:
        event = {"task": task, "job": job, "merchant_id": merchant, "kek_version": kek, "limit": limit}
        return app.walk(event, None)

    def fault(self, call: Any) -> VaultError:
        with pytest.raises(VaultError) as fault:
            call()
        return fault.value


def create_tables(region: str) -> None:
    """The vault's two tables."""
    for name in (TOKENS, CARD_KEYS):
        dynamodb(region).create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": "token", "KeyType": "HASH"},
                {"AttributeName": "holding", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "token", "AttributeType": "S"},
                {"AttributeName": "holding", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return item["token"], item["holding"]


def _record(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """A stream's record of new and old images."""
    event = "REMOVE" if new is None else "MODIFY" if old else "INSERT"
    images = {"OldImage": old, "NewImage": new}
    typed = {name: _typed(image) for name, image in images.items() if image}
    return {"eventName": event, "dynamodb": {"SequenceNumber": "1", **typed}}


def _typed(item: dict[str, Any]) -> dict[str, Any]:
    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in item.items()}


def _filtered(record: dict[str, Any]) -> bool:
    """The event source's filter (docs/interfaces.md)."""
    change = record["dynamodb"]
    if record["eventName"] == "REMOVE":
        return change["OldImage"].get("kind") == {"S": "card"}
    return change["NewImage"].get("kind") == {"S": "shredded"}


@pytest.fixture(params=["file", "softhsm"])
def key_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The setting of a key store without keys: each test runs on both kinds."""
    return file_setting(tmp_path) if request.param == "file" else softhsm_setting(tmp_path)


@pytest.fixture
def blank_vault(monkeypatch: pytest.MonkeyPatch, key_store: str) -> Iterator[VaultUnderTest]:
    """A vault whose tables are there and whose keys are not."""
    with mock_aws():
        yield VaultUnderTest(monkeypatch, key_store)
        app.forget_container()


@pytest.fixture
def vault(blank_vault: VaultUnderTest) -> VaultUnderTest:
    """A provisioned vault; the other region has the keys as well."""
    app.key_ring({"do": "provision"}, None)
    blank_vault.replicate()
    return blank_vault


@pytest.fixture
def clock(vault, monkeypatch):
    """Lets time pass for the vault's containers as well: they read the ring anew."""
    monkeypatch.setattr("functions.vault.ring._clocks", lambda: (vault.now, vault.now))

    def later(seconds):
        vault.now += seconds

    return later
