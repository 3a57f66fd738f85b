"""What the API answers, field by field. The description of the API is generated from these types."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
PaymentStatus = Literal[
    "pending",
    "fraud_blocked",
    "requires_capture",
    "partially_captured",
    "canceled",
    "succeeded",
    "partially_refunded",
    "refunded",
    "disputed",
    "charged_back",
    "failed",
]
"""`payments.lifecycle.Status`, spelt out."""
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
    """Why a payment or a refund failed."""

    code: str
    message: str


class Dispute(msgspec.Struct):
    """A cardholder's dispute of a payment."""

    id: str
    amount: int
    status: Literal["open", "won", "lost"]
    reason: str | None


class ListedPayment(msgspec.Struct, tag_field="object", tag="payment"):
    """A payment. Amounts are in the currency's minor unit."""

    id: str
    status: PaymentStatus
    amount: int
    currency: str
    capture: bool
    card: CardFacts
    customer: str | None
    description: str | None
    metadata: dict[str, str]
    amount_captured: int
    amount_refunded: Annotated[int, Meta(description="With refunds that are pending.")]
    amount_capturable: Annotated[int, Meta(description="Authorized, and neither captured nor released.")]
    dispute: Dispute | None
    failure: Failure | None
    review: bool
    created_at: Time
    updated_at: Time


class Payment(ListedPayment, tag_field="object", tag="payment"):
    """A payment. Amounts are in the currency's minor unit."""

    request_id: str


class ListedRefund(msgspec.Struct, tag_field="object", tag="refund"):
    """A refund, in the minor unit of its payment's currency."""

    id: str
    payment_id: str
    amount: int
    currency: str
    status: Literal["pending", "succeeded", "failed"]
    reason: str | None
    failure: Failure | None
    created_at: Time


class Refund(ListedRefund, tag_field="object", tag="refund"):
    """A refund, in the minor unit of its payment's currency."""

    request_id: str


class Entry(msgspec.Struct):
    """A line of a journal: an amount, in the currency's minor unit, on one side of an account."""

    id: str
    payment_id: Annotated[str, Meta(description="The payment, payout, fee or adjustment.")]
    journal_id: str
    kind: str
    account: str
    side: Literal["debit", "credit"]
    phase: Literal["pending", "post_pending", "void_pending", "posted"]
    amount: int
    currency: str
    created_at: Time


class Settled(msgspec.Struct, rename={"name": "class"}):
    """What reconciliation found of one class, type and currency. Amounts are in the currency's minor unit."""

    name: Annotated[str, Meta(description="`matched`, `expected`, `missing_at_network`, `amount_mismatch`, …")]
    type: Annotated[str, Meta(description="`capture`, `refund`, `chargeback` or `representment`; `authorization`.")]
    currency: str
    lines: int
    amount: Annotated[int, Meta(description="Settled by the card network.")]
    difference: Annotated[int, Meta(description="Settled less expected.")]
    at_risk: Annotated[int, Meta(description="What may be lost.")]


class ListedReport(msgspec.Struct, tag_field="object", tag="reconciliation_report"):
    """What reconciliation found of a merchant's payments, as of the end of a day (UTC)."""

    id: str
    as_of: Annotated[str, Meta(extra_json_schema={"format": "date"})]
    run: str
    created_at: Time
    totals: list[Settled]


class List(msgspec.Struct, tag_field="object", tag="list"):
    """A page of a list, newest first."""

    has_more: Annotated[bool, Meta(description="Whether there is more in the direction of the request.")]
    next_cursor: Annotated[
        str | None, Meta(description="What to go on from, as `starting_after` or `ending_before` as in this request.")
    ]
    request_id: str


class PaymentList(List, tag_field="object", tag="list"):
    """A page of payments, newest first."""

    data: list[ListedPayment]


class RefundList(List, tag_field="object", tag="list"):
    """A page of a payment's refunds, newest first."""

    data: list[ListedRefund]


class EntryList(List, tag_field="object", tag="list"):
    """A page of entries, the newest journal's first."""

    data: list[Entry]


class ReportList(List, tag_field="object", tag="list"):
    """A page of reports, newest first."""

    data: list[ListedReport]


class Sum(msgspec.Struct):
    """An amount in a currency's minor unit."""

    currency: str
    amount: int


class Balance(msgspec.Struct, tag_field="object", tag="balance"):
    """What stands on a merchant's accounts; each list has every currency that the merchant had to do with."""

    at: Time
    available: Annotated[list[Sum], Meta(description="Captured, less fees, refunds, disputes and payouts.")]
    pending: Annotated[list[Sum], Meta(description="Authorized, and neither captured nor released.")]
    disputed: Annotated[list[Sum], Meta(description="Held until disputes are decided.")]
    request_id: str


class Check(msgspec.Struct):
    """Whether something that a charge needs answered, and after how many milliseconds; `slow`: not in time."""

    result: Literal["ok", "failed", "slow"]
    ms: int


class Health(msgspec.Struct):
    """Whether a region can take a charge, and which of the things it needs answer."""

    status: Literal["ok", "degraded", "unavailable", "failed_over"]
    region: str
    checks: dict[str, Check]
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
