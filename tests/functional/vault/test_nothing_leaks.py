"""A card number is nowhere but in its ciphertext: not in the table, the logs, the answers or the exceptions."""

import base64
import io
import json
import logging
import traceback

import pytest

from functions.vault import app, keeping
from functions.vault import vault as operations
from functions.vault.errors import UnexpectedFault, VaultError
from tests.functional.vault.envelopes import CARD, PAN

SECRETS = (PAN, PAN[:12], PAN[6:], "737")  # SECRETS[1:3]: too much of the number beside the BIN or the last four


@pytest.fixture
def output():
    """What the handlers write to standard output."""
    written, handler = io.StringIO(), app.logger.registered_handler
    before = handler.setStream(written)
    yield written
    handler.setStream(before)


@pytest.fixture
def everything_logged(caplog):
    """Every logger of the process at its most talkative, third parties included."""
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name)
    caplog.set_level(logging.DEBUG)
    logging.getLogger("aws_encryption_sdk").setLevel(logging.DEBUG)
    yield caplog
    logging.getLogger("aws_encryption_sdk").setLevel(logging.WARNING)


def assert_clean(text):
    assert PAN not in text
    assert base64.b64encode(PAN.encode()).decode().rstrip("=") not in text
    assert '"cvc"' not in text


def test_life_of_a_card_writes_its_number_nowhere(vault, everything_logged, output, capfd):
    answers = [vault.tokenize()]
    token = answers[0]["card"]["token"]
    answers += [vault.detokenize(token), vault.submit({"token": token}, "att_2"), vault.release(token)]
    answers += [vault.tokenize({**CARD, "number": PAN[:-1] + "1"}), vault.submit({"sealed_card": PAN})]

    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in everything_logged.records)
    assert "aws_encryption_sdk" in logged  # or the test sees nothing
    for text in (str(answers), logged, "".join(capfd.readouterr()), output.getvalue(), str(vault.items())):
        assert_clean(text)
    stored = [str(value) for name, value in vault.item(token).items() if name not in ("ciphertext", "card_key")]
    assert not any(secret in value for secret in SECRETS for value in stored if value != token)
    assert PAN.encode() not in bytes(vault.item(token)["ciphertext"])


def test_each_invocation_logs_one_line_that_names_the_payment_and_the_outcome(vault, output):
    vault.tokenize()

    entry = json.loads(output.getvalue().splitlines()[-1])
    assert [json.loads(line)["message"] for line in output.getvalue().splitlines()] == ["public_key", "tokenize"]
    assert (entry["level"], entry["message"], entry["result"]) == ("INFO", "tokenize", "tokenized")
    assert (entry["payment_id"], entry["attempt"], entry["merchant_id"]) == ("pay_1", "att_1", "mer_1")


@pytest.mark.parametrize("event", [None, [], "x", {"payment_id": PAN}, {"payment_id": {"number": PAN}}])
def test_strange_event_is_not_logged(vault, output, event):
    app.public_key(event, None)

    assert "public_key" in output.getvalue()
    assert_clean(output.getvalue())


@pytest.mark.parametrize("where", ["token_of", "read_card", "open_envelope"])
def test_foreign_exception_that_quotes_the_card_leaves_as_its_type_alone(vault, monkeypatch, output, where):
    envelope = vault.sealed()

    def explode(*args, **kwargs):
        try:
            raise KeyError(PAN)
        except KeyError:
            raise ValueError(f"cannot parse {CARD}")  # noqa: B904

    monkeypatch.setattr(keeping if where == "token_of" else operations, where, explode)
    with pytest.raises(UnexpectedFault) as fault:
        vault.submit({"sealed_card": envelope})

    assert "ValueError" in str(fault.value)
    assert fault.value.__context__ is None
    assert fault.value.__cause__ is None
    assert "UnexpectedFault" in output.getvalue()
    assert_clean("".join(traceback.format_exception(fault.value)) + output.getvalue())


def test_service_error_leaves_as_its_code(vault, monkeypatch):
    envelope = vault.sealed()
    monkeypatch.setenv("VAULT_TABLE", "no-such-table")
    app.forget_container()

    with pytest.raises(UnexpectedFault, match="ResourceNotFoundException"):
        vault.submit({"sealed_card": envelope})


def test_refused_ciphertext_says_nothing_of_the_card(vault):
    token = vault.token()
    damaged = bytearray(bytes(vault.item(token)["ciphertext"]))
    damaged[-1] ^= 1
    vault.change(vault.item(token), ciphertext=bytes(damaged))

    with pytest.raises(VaultError) as fault:
        vault.detokenize(token)
    assert_clean("".join(traceback.format_exception(fault.value)))
    assert fault.value.__context__ is None


def test_no_key_is_logged_even_if_botocore_is_told_to_talk(vault, caplog):
    caplog.set_level(logging.DEBUG)
    token = vault.token()

    text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    for item in vault.card_keys.scan()["Items"]:
        key = bytes(item["key"])
        assert base64.b64encode(key).decode() not in text
        assert repr(key) not in text
    assert token.startswith("tok_1")
