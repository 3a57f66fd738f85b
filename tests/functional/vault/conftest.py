"""A provisioned vault on moto: the real handlers, the real key store, a clock the test sets."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.vault import app
from tests.functional.vault.envelopes import CARD, MERCHANT, seal

TABLE = "vault-tokens"


@cache
def dynamodb(region: str) -> Any:
    """Making one takes longer than most tests."""
    return boto3.resource("dynamodb", region_name=region, aws_access_key_id="testing", aws_secret_access_key="testing")


class VaultUnderTest:
    """The handlers as the platform calls them, and the table behind them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, key_file: Path) -> None:
        self.now = 1_790_000_000
        self.key_file = key_file
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(app, "_now", lambda: self.now)
        monkeypatch.setenv("ENVIRONMENT", "local")
        monkeypatch.setenv("VAULT_TABLE", TABLE)
        monkeypatch.setenv("KEY_STORE", f"file:{key_file}")
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        self.move_to("us-east-1")

    def move_to(self, region: str) -> None:
        """From now on in a new container of `region`."""
        self.region = region
        self._monkeypatch.setenv("AWS_DEFAULT_REGION", region)
        app.forget_container()

    @property
    def table(self) -> Any:
        return dynamodb(self.region).Table(TABLE)

    def create_table(self) -> None:
        dynamodb(self.region).create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "token", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "token", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def items(self) -> list[dict[str, Any]]:
        return list(self.table.scan()["Items"])

    def item(self, token: str) -> dict[str, Any]:
        return dict(self.table.get_item(Key={"token": token})["Item"])

    def jwk(self) -> dict[str, str]:
        return dict(app.public_key({}, None)["keys"][0])

    def sealed(self, card: object = None, merchant: str = MERCHANT, **header: Any) -> str:
        return seal(self.jwk(), CARD if card is None else card, merchant, self.now, **header)

    def tokenize(self, card: object = None, attempt: str = "att_1", merchant: str = MERCHANT) -> dict[str, Any]:
        return self.submit({"sealed_card": self.sealed(card, merchant)}, attempt, merchant)

    def submit(self, card: object, attempt: str = "att_1", merchant: str = MERCHANT) -> dict[str, Any]:
        event = {"payment_id": "pay_1", "attempt": attempt, "merchant_id": merchant, "card": card}
        return app.tokenize(event, None)

    def token(self, attempt: str = "att_1", merchant: str = MERCHANT) -> str:
        return str(self.tokenize(None, attempt, merchant)["card"]["token"])

    def charge_token(self, token: object, attempt: str = "att_1", merchant: str = MERCHANT) -> str:
        """The result, or why the card is invalid."""
        answer = self.submit({"token": token}, attempt, merchant)
        return str(answer.get("code", answer["result"]))

    def release(self, token: str, attempt: str = "att_1") -> str:
        return str(app.release({"token": token, "attempt": attempt}, None)["result"])

    def detokenize(self, token: object) -> dict[str, Any]:
        return app.detokenize({"token": token, "payment_id": "pay_1"}, None)


@pytest.fixture
def blank_vault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[VaultUnderTest]:
    """A vault whose table is there and whose keys are not."""
    with mock_aws():
        vault = VaultUnderTest(monkeypatch, tmp_path / "keys" / "kek")
        vault.create_table()
        yield vault
        app.forget_container()


@pytest.fixture
def vault(blank_vault: VaultUnderTest) -> VaultUnderTest:
    """A provisioned vault."""
    app.provision({}, None)
    return blank_vault
