"""Where the PIN of the token comes from, and that no error tells it."""

import json
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from functions.vault import pin
from functions.vault.errors import KeyStoreUnavailable, KeyStoreUnusable
from functions.vault.pin import pin_reader


@pytest.fixture
def secret():
    """Stores a secret in another region than the function's and returns its ARN."""
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="us-west-2")
        yield lambda **value: client.create_secret(Name="vault/pin", **value)["ARN"]


def file_with(directory: Path, content: bytes, mode: int = 0o600) -> str:
    file = directory / "pin"
    file.write_bytes(content)
    file.chmod(mode)
    return f"file:{file}"


def test_a_pin_in_a_file_is_read_without_its_line_end(tmp_path):
    assert pin_reader(file_with(tmp_path, b"1234\n"), "local")() == "1234"


@pytest.mark.parametrize(
    ("content", "mode"), [(b"", 0o600), (b"\n", 0o600), (b"\xff\xfe12", 0o600), (b"1234", 0o644), (b"1234", 0o640)]
)
def test_an_empty_or_readable_file_is_unusable(tmp_path, content, mode):
    with pytest.raises(KeyStoreUnusable, match="pin") as raised:
        pin_reader(file_with(tmp_path, content, mode), "local")()
    assert "1234" not in str(raised.value)


def test_a_missing_file_is_unusable(tmp_path):
    with pytest.raises(KeyStoreUnusable, match="No such file"):
        pin_reader(f"file:{tmp_path}/pin", "local")()


def test_user_and_password_become_cloudhsms_pin(secret):
    arn = secret(SecretString=json.dumps({"username": "vault", "password": "geheim:1"}))

    assert pin_reader(arn, "production")() == "vault:geheim:1"


@pytest.mark.parametrize("text", ["vault:geheim", "123456", '"quoted"', "[1]", "{not json"])
def test_other_text_is_the_pin_itself(secret, text):
    assert pin_reader(secret(SecretString=text), "production")() == text


@pytest.mark.parametrize(
    "value",
    [
        {"SecretString": json.dumps({"user": "vault", "password": "geheim"})},
        {"SecretString": json.dumps({"username": "vault", "password": ""})},
        {"SecretString": json.dumps({"username": "vault", "password": 4711})},
        {"SecretBinary": b"geheim"},
    ],
)
def test_a_secret_without_a_pin_is_unusable_and_not_told(secret, value):
    with pytest.raises(KeyStoreUnusable, match="no PIN in arn:aws") as raised:
        pin_reader(secret(**value), "production")()
    assert "geheim" not in repr(raised.value)
    assert raised.value.__context__ is None


def test_an_absent_secret_is_unusable(secret):
    arn = secret(SecretString="x").replace("vault/pin", "vault/other")

    with pytest.raises(KeyStoreUnusable, match="ResourceNotFoundException"):
        pin_reader(arn, "production")()


def test_secrets_manager_that_does_not_answer_is_unavailable(monkeypatch):
    class Unreachable:
        def get_secret_value(self, SecretId):
            raise EndpointConnectionError(endpoint_url="https://secretsmanager")

    monkeypatch.setattr(pin, "_secrets_client", lambda region: Unreachable())

    with pytest.raises(KeyStoreUnavailable, match="EndpointConnectionError"):
        pin_reader("arn:aws:secretsmanager:us-east-1:123456789012:secret:x-AbCdEf", "production")()


def test_the_client_gives_up_in_seconds():
    config = pin._secrets_client("us-west-2").meta.config

    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (1, 2, 3)
