"""What merchants may send: parsed into typed values, or refused with the field's name and never its content."""

import json
import re
import unicodedata
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import msgspec

from payments.errors import BodyTooLarge, InvalidRequest
from payments.money import InvalidMoney, Money

MAXIMUM_BODY_BYTES = 64 * 1024
MAXIMUM_KEY_LENGTH = 255
MAXIMUM_METADATA = 50
_MAXIMUM_DEPTH = 10
_TEXT = 500
_LONGEST_SEALED = 4_096
_CARD_FIELDS = ("card", "sealed_card", "token")
_DIGIT_RUNS = re.compile(r"\d+(?:[ .\-_/]{1,2}\d+)*")
_PRINTED_GROUPS = re.compile(
    r"(?<!\d)(?:\d{4}(?:\W{1,3}\d{4}){2}\W{1,3}\d{4}(?:\W{1,3}\d{3})?|\d{4}\W{1,3}\d{6}\W{1,3}\d{4,5})(?!\d)"
)
"""Digits grouped as on cards (4-4-4-4, 4-4-4-4-3, 4-6-5, 4-6-4), with anything between the groups."""

_RANDOM_IDS = re.compile(
    r"\b(?:(?=[0-9-]*[a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{32,})\b", re.IGNORECASE
)
"""UUIDs and digests. They are what idempotency keys are made of, and one in a thousand has digits that pass Luhn."""

_SEALED_FORM = re.compile(r"[\w-]{20,1000}\.\.[\w-]{16}\.[\w-]{20,2000}\.[\w-]{22}", re.ASCII)
"""A compact JWE as ECDH-ES with A256GCM makes it (RFC 7516, section 7.1): no encrypted key, IV of 96 bits, tag of 128.
What has another form is no ciphertext, and might be a number in clear: it must not reach the saga."""

_TOKEN_FORM = re.compile(r"tok_[a-z0-9]{20,80}")
_LONGEST_PAN, _SHORTEST_PAN = 19, 13


class RawCard(msgspec.Struct, forbid_unknown_fields=True):
    """A card as typed; it is sealed before anything else happens, so it has no printable form."""

    number: str
    exp_month: int
    exp_year: int
    cvc: str | None = None

    def __repr__(self) -> str:
        return "RawCard(…)"


class Address(msgspec.Struct, forbid_unknown_fields=True):
    """A billing address; only the country counts so far."""

    country: str | None = None
    postal_code: str | None = None


class Customer(msgspec.Struct, forbid_unknown_fields=True):
    """The merchant's customer. Only the id is kept; the rest is used for scoring."""

    id: str | None = None
    email: str | None = None
    billing_address: Address | None = None


class Device(msgspec.Struct, forbid_unknown_fields=True):
    """The device the customer pays from; used for scoring and not kept."""

    fingerprint: str | None = None
    ip: str | None = None


class ChargeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/payments/charge`; exactly one of `card`, `sealed_card` and `token`."""

    amount: int
    currency: str
    card: RawCard | None = None
    sealed_card: str | None = None
    token: str | None = None
    customer: Customer | None = None
    device: Device | None = None
    capture: bool = True
    description: str | None = None
    metadata: dict[str, str] = {}


def parse_charge(body: str | None, idempotency_key: str | None) -> ChargeRequest:
    """The charge a request asks for.

    Raises `InvalidRequest` or `BodyTooLarge`. A run of 13 to 19 digits that passes the Luhn check (ISO/IEC 7812-1,
    annex B) in any field but the card's own, or in the idempotency key, is refused: it may be a card number.
    """
    _check_key(idempotency_key)
    request = _decode(body or "")
    _check_card_choice(request)
    try:
        Money(request.amount, request.currency)
    except InvalidMoney as error:
        raise InvalidRequest("invalid_amount", str(error), param="amount") from None
    return request


def fingerprint(request: ChargeRequest) -> str:
    """SHA-256 (hex) of what the request asks for, without card data: a retry may seal the same card anew."""
    asked = {name: value for name, value in msgspec.to_builtins(request).items() if name not in ("card", "sealed_card")}
    return sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def refuse_card_number(text: str, param: str | None) -> None:
    """Raises `InvalidRequest` when the text contains what may be a card number."""
    text = unicodedata.normalize("NFKC", _RANDOM_IDS.sub("…", text))
    printed = (re.sub(r"\D", "", found) for found in _PRINTED_GROUPS.findall(text))
    if any(map(_passes, printed)) or any(map(_may_be_pan, _DIGIT_RUNS.findall(text))):
        raise InvalidRequest("card_data_in_field", "This field may not contain a card number.", param=param)


def _check_key(key: str | None) -> None:
    if not key:
        raise InvalidRequest("idempotency_key_required", "Send an Idempotency-Key header.", param="Idempotency-Key")
    if len(key) > MAXIMUM_KEY_LENGTH:
        raise InvalidRequest("idempotency_key_too_long", "The key has at most 255 characters.", param="Idempotency-Key")
    refuse_card_number(key, "Idempotency-Key")


def _decode(body: str) -> ChargeRequest:
    if len(body.encode()) > MAXIMUM_BODY_BYTES:
        raise BodyTooLarge("body_too_large", f"The body has at most {MAXIMUM_BODY_BYTES} bytes.")
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest("invalid_json", "The body is not valid JSON.") from None
    if not isinstance(content, dict):
        raise InvalidRequest("invalid_json", "The body must be a JSON object.")
    _check_texts(content)
    try:
        return msgspec.convert(content, ChargeRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            "invalid_field", "A field is missing, unknown or of the wrong type.", param=_path_of(error)
        ) from None


def _path_of(error: msgspec.ValidationError) -> str | None:
    """The place msgspec names at the end of its message, ``… - at `$.card.number` ``; its text may quote input."""
    found = re.search(r"at `\$\.?([a-z_.]*)[^`]*`$", str(error))
    return found.group(1) or None if found else None


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Every text and number of a JSON value, object keys included."""
    if depth > _MAXIMUM_DEPTH:
        raise InvalidRequest("invalid_json", "The body is nested too deeply.")
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _texts(inner, depth + 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _check_card_choice(request: ChargeRequest) -> None:
    given = [name for name in _CARD_FIELDS if getattr(request, name) is not None]
    if len(given) != 1:
        raise InvalidRequest("card_required", "Send exactly one of card, sealed_card and token.", param="card")
    if request.sealed_card is not None and not _SEALED_FORM.fullmatch(request.sealed_card):
        raise InvalidRequest("sealed_card_invalid", "sealed_card must be a compact JWE.", param="sealed_card")
    if request.token is not None and not _TOKEN_FORM.fullmatch(request.token):
        raise InvalidRequest("invalid_field", "This is not a card token.", param="token")
    if len(request.metadata) > MAXIMUM_METADATA:
        raise InvalidRequest("invalid_field", f"At most {MAXIMUM_METADATA} metadata entries.", param="metadata")


def _check_texts(content: dict[str, Any]) -> None:
    """Refuses overlong texts and card numbers anywhere but in the card itself."""
    for name, value in content.items():
        if name == "card":
            continue
        param = name if name in ChargeRequest.__struct_fields__ else None
        for text in (name, *_texts(value)):
            if len(text) > (_LONGEST_SEALED if name == "sealed_card" else _TEXT):
                raise InvalidRequest("invalid_field", f"A text has at most {_TEXT} characters.", param=param)
            refuse_card_number(text, param)


def _may_be_pan(run: str) -> bool:
    """Whether neighbouring groups of digits make 13 to 19 digits, or a longer group holds some, that pass Luhn."""
    groups = re.findall(r"\d+", run)
    joined = ("".join(groups[start:end]) for start in range(len(groups)) for end in range(start + 1, start + 20))
    return any(_passes(digits) for digits in joined if len(digits) <= _LONGEST_PAN) or any(
        _passes(group[start : start + length])
        for group in groups
        if len(group) > _LONGEST_PAN
        for length in range(_SHORTEST_PAN, _LONGEST_PAN + 1)
        for start in range(len(group) - length + 1)
    )


def _passes(text: str) -> bool:
    if len(text) < _SHORTEST_PAN:
        return False
    digits = [int(character) for character in text]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
