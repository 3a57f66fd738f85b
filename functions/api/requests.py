"""What merchants may send: parsed into typed values, or refused with the field's name and never its content."""

import json
import re
from hashlib import sha256
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from payments.errors import InvalidRequest
from payments.money import MAXIMUM_AMOUNT, InvalidMoney, Money
from payments.rest import bodies, card_numbers

MAXIMUM_KEY_LENGTH = 255
MAXIMUM_METADATA = 50
_CARD_FIELDS = ("card", "sealed_card", "token")

_SEALED_FORM = re.compile(r"[\w-]{20,1000}\.\.[\w-]{16}\.[\w-]{20,2000}\.[\w-]{22}", re.ASCII)
"""A compact JWE as ECDH-ES with A256GCM makes it (RFC 7516, section 7.1): no encrypted key, IV of 96 bits, tag of 128.
What has another form is no ciphertext, and might be a number in clear: it must not get to the vault's callers."""

_TOKEN_FORM = re.compile(r"tok_[a-z0-9]{20,80}")


def _described(sentence: str = "", **schema: Any) -> Meta:
    """What the API's description says of a field beyond its type; the checks are made here, with errors of their own.
    Enforced by msgspec are only the limits that are given to `Meta` directly."""
    return Meta(extra_json_schema={"description": sentence, **schema} if sentence else schema)


Text = Annotated[str, _described(maxLength=bodies.MAXIMUM_TEXT)]
Name = Annotated[str, Meta(min_length=1, pattern="^(?!self$)", extra_json_schema={"maxLength": bodies.MAXIMUM_TEXT})]
"""A key of the metadata; DynamoDB stores none that is empty, and pynamodb none that is called `self`."""

SealedCard = Annotated[
    str,
    _described(
        "A compact JWE of the object `card`, see docs/sealing.md.", pattern=f"^{_SEALED_FORM.pattern}$", format="jwe"
    ),
]
Token = Annotated[
    str,
    _described("A stored card of the merchant.", pattern=f"^{_TOKEN_FORM.pattern}$", format="card-token"),
]
Amount = Annotated[int, _described("In the currency's minor unit.", minimum=1, maximum=MAXIMUM_AMOUNT)]
PaymentId = Annotated[str, _described(pattern="^pay_[0-7][0-9a-f][a-z2-7]{24}$", format="payment-id")]
IdempotencyKey = Annotated[
    str,
    _described(
        "Names what is asked: sent again with the same key, it is the same charge, capture, void or refund.",
        minLength=1,
        maxLength=MAXIMUM_KEY_LENGTH,
    ),
]


class RawCard(msgspec.Struct, forbid_unknown_fields=True):
    """A card as typed; accepted only where the deployment allows it."""

    # It is sealed before anything else happens, so it has no printable form. The limits keep what it is sealed into
    # within the form above; whether the card is valid is the vault's to say.
    number: Annotated[
        str, Meta(max_length=64, extra_json_schema={"format": "card-number"}, examples=["4242424242424242"])
    ]
    exp_month: Annotated[int, Meta(ge=0, le=99, examples=[12])]
    exp_year: Annotated[int, Meta(ge=0, le=9999, examples=[2031])]
    cvc: Annotated[str, Meta(max_length=8, extra_json_schema={"format": "card-cvc"}, examples=["123"])] | None = None

    def __repr__(self) -> str:
        return "RawCard(…)"


class Address(msgspec.Struct, forbid_unknown_fields=True):
    """A billing address; only the country counts so far."""

    country: Text | None = None
    postal_code: Text | None = None


class Customer(msgspec.Struct, forbid_unknown_fields=True):
    """The merchant's customer. Only the id is kept; the rest is used for scoring."""

    id: Text | None = None
    email: Text | None = None
    billing_address: Address | None = None


class Device(msgspec.Struct, forbid_unknown_fields=True):
    """The device the customer pays from; used for scoring and not kept."""

    fingerprint: Text | None = None
    ip: Text | None = None


class CommandRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a command on a payment may say; each command has its own fields."""


class CaptureRequest(CommandRequest):
    """A capture: of all that is left, or of an amount; `final` releases what then remains."""

    amount: Amount | None = None
    final: bool = False


class VoidRequest(CommandRequest):
    """The release of what is authorized and not captured."""

    reason: Text | None = None


class RefundRequest(CommandRequest):
    """A refund: of all that is left, or of an amount."""

    amount: Amount | None = None
    reason: Text | None = None


class ChargeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A charge; exactly one of `card`, `sealed_card` and `token` is given."""

    amount: Amount
    currency: Annotated[str, _described("ISO 4217, in capitals.", pattern="^[A-Z]{3}$", format="iso-4217")]
    card: RawCard | None = None
    sealed_card: SealedCard | None = None
    token: Token | None = None
    customer: Customer | None = None
    device: Device | None = None
    capture: bool = True
    description: Text | None = None
    metadata: Annotated[dict[Name, Text], _described(maxProperties=MAXIMUM_METADATA)] = {}


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A card to be stored; exactly one of `card` and `sealed_card` is given."""

    card: RawCard | None = None
    sealed_card: SealedCard | None = None


Command = TypeVar("Command", bound=CommandRequest)


def parse_charge(body: str | None, idempotency_key: str | None) -> ChargeRequest:
    """The charge a request asks for.

    Raises `InvalidRequest` or `BodyTooLarge`; what may be a card number in any field but the card's own is refused.
    """
    _check_key(idempotency_key)
    request = bodies.decode(body or "", ChargeRequest)
    _check_card_choice(request)
    if len(request.metadata) > MAXIMUM_METADATA:
        raise InvalidRequest("invalid_field", f"At most {MAXIMUM_METADATA} metadata entries.", param="metadata")
    try:
        Money(request.amount, request.currency)
    except InvalidMoney as error:
        raise InvalidRequest("invalid_amount", str(error), param="amount") from None
    return request


def parse_token(body: str | None) -> TokenRequest:
    """The card a request asks to store. Raises `InvalidRequest` or `BodyTooLarge`, as `parse_charge` does."""
    request = bodies.decode(body or "", TokenRequest)
    _check_card_choice(request)
    return request


def parse_command(body: str | None, idempotency_key: str | None, kind: type[Command]) -> Command:
    """What a command asks for; an empty body of a void asks for nothing in particular.

    Raises `InvalidRequest` or `BodyTooLarge`, as `parse_charge` does.
    """
    _check_key(idempotency_key)
    request = bodies.decode(body or ("{}" if kind is VoidRequest else ""), kind)
    amount = getattr(request, "amount", None)
    if amount is not None and not 1 <= amount <= MAXIMUM_AMOUNT:
        sentence = f"amount must be between 1 and {MAXIMUM_AMOUNT}"
        raise InvalidRequest("invalid_amount", sentence, param="amount")
    return request


def is_token(text: str) -> bool:
    """Whether the text has the form of a token, and cannot hold a card number."""
    return _TOKEN_FORM.fullmatch(text) is not None and not card_numbers.occurs_in(text)


def fingerprint(request: ChargeRequest) -> str:
    """SHA-256 (hex) of what the request asks for, without card data: a retry may seal the same card anew."""
    asked = {name: value for name, value in msgspec.to_builtins(request).items() if name not in ("card", "sealed_card")}
    return _digest(asked)


def command_fingerprint(command: str, payment_id: str, request: CommandRequest) -> str:
    """SHA-256 (hex) of what a command asks for: another command, payment or field is another request."""
    return _digest({"command": command, "payment_id": payment_id, **msgspec.to_builtins(request)})


def _digest(asked: dict[str, Any]) -> str:
    return sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _check_key(key: str | None) -> None:
    if not key:
        raise InvalidRequest("idempotency_key_required", "Send an Idempotency-Key header.", param="Idempotency-Key")
    if len(key) > MAXIMUM_KEY_LENGTH:
        raise InvalidRequest("idempotency_key_too_long", "The key has at most 255 characters.", param="Idempotency-Key")


def _check_card_choice(request: ChargeRequest | TokenRequest) -> None:
    """Exactly one of the card's fields is given, and in its form."""
    choices = [name for name in _CARD_FIELDS if name in request.__struct_fields__]
    given = {name: value for name in choices if (value := getattr(request, name)) is not None}
    if len(given) != 1:
        raise InvalidRequest("card_required", f"Send exactly one of {', '.join(choices)}.", param="card")
    if "sealed_card" in given and not _SEALED_FORM.fullmatch(given["sealed_card"]):
        raise InvalidRequest("sealed_card_invalid", "sealed_card must be a compact JWE.", param="sealed_card")
    if "token" in given and not _TOKEN_FORM.fullmatch(given["token"]):
        raise InvalidRequest("invalid_field", "This is not a card token.", param="token")
