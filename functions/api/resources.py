"""What the API answers, field by field. The description of the API is generated from these types."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Brand = Annotated[str, Meta(description="visa, mastercard, amex, discover, diners, jcb or unionpay.")]
CardToken = Annotated[
    str, Meta(description="The same for the same card number.", extra_json_schema={"example": "tok_…"})
]


class StoredCard(msgspec.Struct, tag_field="object", tag="token"):
    """A stored card. `expires_at` says until when an unused one is kept; null once a charge has used it."""

    id: CardToken
    brand: Brand
    network: str
    bin: Annotated[str, Meta(description="The first six digits.")]
    last4: str
    exp_month: int
    exp_year: int
    expires_at: Time | None
    request_id: str


class DeletedCard(msgspec.Struct, tag_field="object", tag="token"):
    """A card that was deleted: nothing can be charged to its token, and its number cannot be recovered."""

    id: CardToken
    deleted: Literal[True]
    request_id: str


class PublicKey(msgspec.Struct):
    """A public key as a JWK (RFC 7517, RFC 7518 section 6.2). Private members have no place in it."""

    kid: str
    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str
    use: Literal["enc"] = "enc"
    alg: Literal["ECDH-ES"] = "ECDH-ES"


class PublicKeys(msgspec.Struct):
    """The keys the vault opens cards with; seal to the first."""

    keys: Annotated[list[PublicKey], Meta(min_length=1)]
    request_id: str


class CardFacts(msgspec.Struct):
    """What is known of a payment's card."""

    token: CardToken
    brand: Brand
    network: str
    bin: str
    last4: str
    exp_month: int
    exp_year: int


class Failure(msgspec.Struct):
    """Why there is no payment, or why it failed."""

    code: str
    message: str


class Payment(msgspec.Struct, tag_field="object", tag="payment"):
    """A payment. Amounts are in the currency's minor unit."""

    id: str
    status: Literal["pending", "fraud_blocked", "requires_capture", "succeeded", "failed"]
    amount: int
    currency: str
    capture: bool
    card: CardFacts
    customer: str | None
    description: str | None
    metadata: dict[str, str]
    failure: Failure | None
    review: bool
    created_at: Time
    updated_at: Time
    request_id: str


class Health(msgspec.Struct):
    """Whether a region can take a charge, and which of the things it needs answer."""

    status: Literal["ok", "degraded"]
    region: str
    checks: dict[str, Literal["ok", "failed"]]
    request_id: str


class Problem(msgspec.Struct):
    """What was wrong. The message is for a developer, the code for a program; neither repeats what was sent."""

    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "idempotency_error",
        "rate_limit_error",
        "card_error",
        "api_error",
    ]
    code: str
    message: str
    request_id: str
    param: Annotated[str | None, Meta(description="The field or header it is about.")] = None
    payment_id: str | None = None


class Error(msgspec.Struct):
    """The body of every answer that is no success."""

    error: Problem
