"""The merchants table: profiles, API keys (as hashes only) and webhook endpoints."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pynamodb.attributes import MapAttribute, UnicodeAttribute
from pynamodb.models import Model

from payments import identifiers
from payments.fees import FeePlan
from payments.observability import logger
from payments.settings import TableSettings, load
from payments.tables import ModelConnection

_KEY_BYTES = 32
_MERCHANT_PREFIX = "mer_"

PLATFORM_BLOCKS_ABOVE = 80
"""The score above which a charge is blocked, where its merchant did not set another."""

_LOWEST_BLOCK, _HIGHEST_SCORE = 50, 100
"""Within these a merchant may say above which score is blocked. One good charge in fifty scores above 50."""


class MerchantItem(Model):
    """One fact about a merchant: `kind` says which."""

    class Meta(ModelConnection):
        table_name = load(TableSettings).merchants_table

    merchant_id = UnicodeAttribute(hash_key=True)
    kind = UnicodeAttribute(range_key=True)
    status = UnicodeAttribute()
    name = UnicodeAttribute(null=True)
    url = UnicodeAttribute(null=True)
    secret = UnicodeAttribute(null=True)
    created_at = UnicodeAttribute(null=True)
    fees: MapAttribute[str, Any] = MapAttribute(null=True)
    fraud_limits: MapAttribute[str, Any] = MapAttribute(null=True)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a merchant pays the platform: a percentage, and fixed amounts by currency, in minor units.

    In a currency that the terms do not name there is no fixed fee.
    """

    basis_points: int = 0
    fixed: Mapping[str, int] = field(default_factory=dict)
    dispute: Mapping[str, int] = field(default_factory=dict)

    def plan(self, currency: str) -> FeePlan:
        """The terms of a payment in this currency. Raises `InvalidFeePlan`."""
        return FeePlan(self.basis_points, self.fixed.get(currency, 0), self.dispute.get(currency, 0))


class InvalidFraudLimits(ValueError):
    """No limits that fraud scoring could go by."""


@dataclass(frozen=True, slots=True)
class FraudLimits:
    """What a merchant set of its fraud limits: a score above `block` blocks, one from `review` on is reviewed.

    None is the platform's (functions/fraud). Raises `InvalidFraudLimits` unless 50 <= block <= 100 and, up to what
    blocks, 0 <= review.
    """

    block: int | None = None
    review: int | None = None

    def __post_init__(self) -> None:
        if not (_LOWEST_BLOCK <= (_HIGHEST_SCORE if self.block is None else self.block) <= _HIGHEST_SCORE):
            raise InvalidFraudLimits(f"block must be {_LOWEST_BLOCK} to {_HIGHEST_SCORE}")
        highest = PLATFORM_BLOCKS_ABOVE if self.block is None else self.block
        if self.review is not None and not 0 <= self.review <= highest:
            raise InvalidFraudLimits(f"review must be 0 to {highest}")


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who a request comes from, as the authorizer vouches for it."""

    merchant_id: str
    shard: int
    terms: Terms = Terms()
    fraud_limits: FraudLimits = FraudLimits()


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Where a merchant wants events, and the secret they are signed with."""

    endpoint_id: str
    url: str
    secret: str


def new_api_key(merchant_id: str, environment: str) -> str:
    """A new API key, `sk_<environment>_<merchant id without mer_>_<256 random bits>`; only its hash is ever stored."""
    return f"sk_{environment}_{merchant_id.removeprefix(_MERCHANT_PREFIX)}_{secrets.token_urlsafe(_KEY_BYTES)}"


def api_key_kind(api_key: str) -> str:
    """Under which `kind` an API key is stored. The key has 256 random bits, so a plain SHA-256 is a safe hash of it."""
    return "api_key#" + sha256(api_key.encode()).hexdigest()


def authenticate(api_key: str) -> Merchant | None:
    """The merchant of an API key; None when the key is malformed, unknown or revoked, or its merchant not active."""
    parts = api_key.split("_", 3)
    if len(parts) != 4 or parts[0] != "sk" or not parts[2].isalnum():
        return None
    merchant_id = _MERCHANT_PREFIX + parts[2]
    wanted = [(merchant_id, api_key_kind(api_key)), (merchant_id, "profile")]
    active = {item.kind: item for item in MerchantItem.batch_get(wanted) if item.status == "active"}
    if len(active) < len(wanted):
        return None
    profile = active["profile"]
    return Merchant(merchant_id, identifiers.merchant_shard(merchant_id), _terms(profile), _fraud_limits(profile))


def endpoints(merchant_id: str) -> list[WebhookEndpoint]:
    """The merchant's enabled webhook endpoints."""
    found = MerchantItem.query(merchant_id, MerchantItem.kind.startswith("webhook_endpoint#"))
    return [_endpoint(item) for item in found if item.status == "enabled"]


def endpoint(merchant_id: str, endpoint_id: str) -> WebhookEndpoint | None:
    """One webhook endpoint, or None when it is gone or disabled."""
    try:
        item = MerchantItem.get(merchant_id, f"webhook_endpoint#{endpoint_id}")
    except MerchantItem.DoesNotExist:
        return None
    return _endpoint(item) if item.status == "enabled" else None


def _terms(profile: MerchantItem) -> Terms:
    fees = profile.fees.as_dict() if profile.fees else {}
    fixed, dispute = ({name: int(fee) for name, fee in fees.get(kind, {}).items()} for kind in ("fixed", "dispute"))
    return Terms(int(fees.get("basis_points", 0)), fixed, dispute)


def _fraud_limits(profile: MerchantItem) -> FraudLimits:
    """The profile's; the platform's where what stands there is not valid: no charge shall fail for it."""
    stored = profile.fraud_limits.as_dict() if profile.fraud_limits else {}
    try:
        return FraudLimits(**{name: int(limit) for name, limit in stored.items()})
    except (ValueError, TypeError):
        logger.error("invalid fraud limits", extra={"merchant_id": profile.merchant_id})
        return FraudLimits()


def _endpoint(item: MerchantItem) -> WebhookEndpoint:
    return WebhookEndpoint(item.kind.removeprefix("webhook_endpoint#"), item.url or "", item.secret or "")
