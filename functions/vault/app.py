"""The vault's five Lambda handlers. Contracts: docs/interfaces.md.

Each container makes its client and unwraps the keys its handler needs once. Each invocation logs one line, which names
the payment and the outcome and nothing of the card; no exception leaves here but the vault's own.
"""

import time
from collections.abc import Callable, Mapping
from functools import cache, wraps
from traceback import extract_tb
from typing import Any

from aws_lambda_powertools.logging import Logger

from functions.vault import keys, vault
from functions.vault import provision as provisioning
from functions.vault.encryption import CardCipher
from functions.vault.errors import InvalidRequest, UnexpectedFault, VaultError
from functions.vault.sealing import SealingKey
from functions.vault.settings import settings
from functions.vault.store import TokenStore, dynamodb_client
from functions.vault.tokens import TokenKey

logger = Logger()

_LOGGED = ("payment_id", "attempt", "merchant_id")

Event = Mapping[str, Any]
Answer = dict[str, Any]


def entry(operation: Callable[[Event], Answer]) -> Callable[[Event, object], Answer]:
    """A Lambda handler of `operation`: logs its outcome, and keeps foreign exceptions' texts from getting out."""

    @wraps(operation)
    def handler(event: Event, context: object) -> Answer:
        try:
            answer = operation(event)
            fault = None
        except VaultError as error:
            fault = error
        except Exception as error:  # noqa: BLE001 - the outermost edge
            fault = _anonymous(error)
        if fault is not None:
            logger.error(operation.__name__, extra={"fault": type(fault).__name__, "detail": str(fault)})
            raise fault
        outcome = {"result": answer.get("result", "done"), "code": answer.get("code")}
        logger.info(operation.__name__, extra=outcome | _named(event))
        return answer

    return handler


@entry
def tokenize(event: Event) -> Answer:
    """Saga: a sealed card or a token → `tokenized` with the card's facts, or `invalid_card`."""
    request = vault.TokenizeRequest(*_fields(event, "payment_id", "attempt", "merchant_id", "card"))
    return _vault().tokenize(request, _now())


@entry
def release(event: Event) -> Answer:
    """Saga: an attempt lets go of a token → `released` or `kept`."""
    token, attempt = _fields(event, "token", "attempt")
    return vault.release(_store(), token, attempt, _now())


@entry
def detokenize(event: Event) -> Answer:
    """Network worker: a token → its card's facts, proven to open, or `token_unknown`."""
    token, payment_id = _fields(event, "token", "payment_id")
    vault.check_identifier("payment_id", payment_id)
    return vault.detokenize(_store(), _cipher(), _token_key(), token, _now())


@entry
def public_key(event: Event) -> Answer:
    """api: the public sealing keys, the current one first."""
    return {"keys": [key.public_jwk for key in _sealing_keys()]}


@entry
def provision(event: Event) -> Answer:
    """Operator: makes the vault's keys where they are absent → the token key's version and the sealing key's kid."""
    key_store = keys.create_key_store(settings().key_store, settings().environment)
    token_key, sealing_keys = provisioning.provision(_store(), key_store)
    return {"token_key": token_key.version, "sealing_kid": sealing_keys[0].kid}


@cache
def _store() -> TokenStore:
    return TokenStore(dynamodb_client(), settings().table)


@cache
def _key_store() -> keys.KeyStore:
    return keys.open_key_store(settings().key_store, settings().environment)


@cache
def _cipher() -> CardCipher:
    return CardCipher(_key_store())


@cache
def _token_key() -> TokenKey:
    return provisioning.load_token_key(_store(), _key_store())


@cache
def _sealing_keys() -> tuple[SealingKey, ...]:
    return provisioning.load_sealing_keys(_store(), _key_store())


@cache
def _vault() -> vault.Vault:
    return vault.Vault(_store(), _cipher(), _token_key(), _sealing_keys())


def forget_container() -> None:
    """Drops what this container keeps: settings, client and keys. For tests."""
    for kept in (settings, _store, _key_store, _cipher, _token_key, _sealing_keys, _vault):
        kept.cache_clear()


def _now() -> int:
    return int(time.time())


def _fields(event: Event, *names: str) -> list[Any]:
    missing = [name for name in names if name not in event]
    if missing:
        raise InvalidRequest(f"the event has no {', '.join(missing)}")
    return [event[name] for name in names]


def _named(event: Event) -> dict[str, str]:
    """Who asked, for the log: nothing that is not an identifier."""
    named = event if isinstance(event, Mapping) else {}
    return {name: named[name] for name in _LOGGED if vault.is_identifier(named.get(name))}


def _anonymous(error: Exception) -> UnexpectedFault:
    """The type of a foreign exception, the service's error code if it has one, and where it arose; not its text."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    frame = extract_tb(error.__traceback__)[-1]
    return UnexpectedFault(f"{type(error).__name__} {code} at {frame.filename}:{frame.lineno}".replace("  ", " "))
