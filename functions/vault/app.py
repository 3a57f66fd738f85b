"""The vault's Lambda handlers. Contracts: docs/interfaces.md.

Each container makes its client and unwraps the keys its handler needs once. Each invocation logs one line, which names
the payment and the outcome and nothing of the card; no exception leaves here but the vault's own.
"""

import re
import time
from collections.abc import Callable, Mapping
from functools import cache, wraps
from traceback import extract_tb
from typing import Any

from aws_lambda_powertools.logging import Logger

from functions.vault import keys, rotation, shredding, vault
from functions.vault import walk as walking
from functions.vault.errors import InvalidRequest, UnexpectedFault, VaultError
from functions.vault.settings import settings
from functions.vault.table import Table, dynamodb_client

logger = Logger()

_LOGGED = ("payment_id", "attempt", "merchant_id")
_LOGGED_OF_OPERATORS = ("do", "key", "task", "job")
_WORD = re.compile(r"[a-z][a-z0-9_.:-]{0,99}")

Event = Mapping[str, Any]
Answer = dict[str, Any]


def entry(operation: Callable[[Event], Answer]) -> Callable[[Event, object], Answer]:
    """A Lambda handler of `operation`: logs its outcome, and keeps foreign exceptions' texts from getting out, and with
    a fault's traceback every frame that had a card in it."""

    @wraps(operation)
    def handler(event: Event, context: object) -> Answer:
        try:
            answer = operation(event)
            fault = None
        except Exception as error:  # noqa: BLE001 - the outermost edge
            fault = _bare(error)
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
    token, merchant_id, attempt = _fields(event, "token", "merchant_id", "attempt")
    return _vault().release(token, merchant_id, attempt, _now())


@entry
def detokenize(event: Event) -> Answer:
    """Network worker: a token → its card's facts, proven to open, or `token_unknown`."""
    token, merchant_id, payment_id = _fields(event, "token", "merchant_id", "payment_id")
    vault.check_identifier("payment_id", payment_id)
    return _vault().detokenize(token, merchant_id, _now())


@entry
def store(event: Event) -> Answer:
    """api: a sealed card, to be charged later → as tokenize, with its expiry."""
    sealed_card, merchant_id = _fields(event, "sealed_card", "merchant_id")
    return _vault().store(sealed_card, merchant_id, _now())


@entry
def shred(event: Event) -> Answer:
    """api, operator: a merchant's card is destroyed → `shredded` or `token_unknown`."""
    token, merchant_id = _fields(event, "token", "merchant_id")
    return _vault().shred(token, merchant_id, _now())


@entry
def public_key(event: Event) -> Answer:
    """api: the public sealing keys, the current one first."""
    return {"keys": _vault().rings.ring().published(_now())}


@entry
def shredder(event: Event) -> Answer:
    """Stream of `vault-tokens`: what the other region has shredded, and what TTL has removed, is destroyed here too."""
    failed = []
    for record in event["Records"]:
        try:
            shredding.follow(_vault(), record)
        except Exception as error:  # noqa: BLE001 - one record must not hold up the others
            fault = _bare(error)
            logger.error("shredder", extra={"fault": type(fault).__name__, "detail": str(fault)})
            failed.append({"itemIdentifier": record["dynamodb"]["SequenceNumber"]})
    return {"batchItemFailures": failed}


@entry
def walk(event: Event) -> Answer:
    """Operator: the next page of a job over all cards, or card keys, of this region."""
    _fields(event, "job", "task", "merchant_id", "kek_version", "limit")
    return walking.walk(_vault(), _tokens(), _card_keys(), event, _now())


@entry
def key_ring(event: Event) -> Answer:
    """Operator: makes, rotates and shows the vault's own keys."""
    ring, now = rotation.KeyRing(_tokens(), _key_store()), _now()
    match event:
        case {"do": "provision"}:
            ring.provision(now)
        case {"do": "rotate", "key": kind, "lead_s": lead_s}:
            ring.rotate(kind, lead_s, now)
        case {"do": "create_kek"}:
            ring.create_kek(now)
        case {"do": "activate_kek", "version": version, "check_value": check_value, "lead_s": lead_s}:
            ring.activate_kek(version, check_value, lead_s, now)
        case {"do": "show"}:
            pass
        case _:
            raise InvalidRequest("do must be provision, rotate, create_kek, activate_kek or show, with its fields")
    return ring.describe(now)


@entry
def key_check(event: Event) -> Answer:
    """Operator: which versions of the key-encryption key are in this region's key store, without showing them, and
    which keys of the ring have arrived here."""
    versions = {str(version): value for version, value in _key_store().versions().items()}
    return {"label": _key_store().label, "versions": versions, "ring": _vault().rings.read().names}


@cache
def _client() -> Any:
    return dynamodb_client()


@cache
def _tokens() -> Table:
    return Table(_client(), settings().table)


@cache
def _card_keys() -> Table:
    return Table(_client(), settings().card_keys_table)


@cache
def _key_store() -> keys.KeyStore:
    return keys.open_key_store(settings().key_store, settings().environment)


@cache
def _vault() -> vault.Vault:
    return vault.Vault(_tokens(), _card_keys(), settings().region, _key_store())


def forget_container() -> None:
    """Drops what this container keeps: settings, client and keys. For tests."""
    for kept in (settings, _client, _tokens, _card_keys, _key_store, _vault):
        kept.cache_clear()


def _now() -> float:
    return time.time()


def _fields(event: Event, *names: str) -> list[Any]:
    missing = [name for name in names if name not in event]
    if missing:
        raise InvalidRequest(f"the event has no {', '.join(missing)}")
    return [event[name] for name in names]


def _named(event: Event) -> dict[str, str]:
    """Who asked for what, for the log: nothing that is not an identifier, or a word of an operator's."""
    asked = event if isinstance(event, Mapping) else {}
    named = {name: asked[name] for name in _LOGGED if vault.is_identifier(asked.get(name))}
    words = {name: asked[name] for name in _LOGGED_OF_OPERATORS if isinstance(asked.get(name), str)}
    return named | {name: word for name, word in words.items() if _WORD.fullmatch(word)}


def _bare(error: Exception) -> VaultError:
    """The fault without what it carries along: of a foreign exception the type, the service's error code if it has one,
    and where it arose, not its text; of any the traceback, cause and context, whose frames may hold a card."""
    if isinstance(error, VaultError):
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    frame = extract_tb(error.__traceback__)[-1]
    return UnexpectedFault(f"{type(error).__name__} {code} at {frame.filename}:{frame.lineno}".replace("  ", " "))
