"""The tables of payments and ledger as pynamodb models: names, keys and attributes, no behaviour."""

from functools import cache
from typing import Any

from pynamodb.attributes import (
    BooleanAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    UnicodeAttribute,
)
from pynamodb.connection import Connection
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection
from pynamodb.models import Model

from payments.clients import ATTEMPTS, CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from payments.settings import CommonSettings, TableSettings, load

_names = load(TableSettings)


class ModelConnection:
    """What every model's connection shares."""

    region = load(CommonSettings).aws_region
    connect_timeout_seconds = CONNECT_TIMEOUT_SECONDS
    read_timeout_seconds = READ_TIMEOUT_SECONDS
    max_retry_attempts = ATTEMPTS - 1


@cache
def connection() -> Connection:
    """The connection that transactions over several tables use; set up as the models' own."""
    return Connection(
        region=ModelConnection.region,
        connect_timeout_seconds=ModelConnection.connect_timeout_seconds,
        read_timeout_seconds=ModelConnection.read_timeout_seconds,
        max_retry_attempts=ModelConnection.max_retry_attempts,
        max_pool_connections=10,
    )


class PendingIndex(GlobalSecondaryIndex["PaymentItem"]):
    """Payments that wait for something, longest first, by shard and what they wait for; the sweeper's list."""

    class Meta:
        index_name = "pending"
        projection = KeysOnlyProjection()

    pending_bucket = NumberAttribute(hash_key=True)
    pending_since = UnicodeAttribute(range_key=True)


class MerchantIndex(GlobalSecondaryIndex["PaymentItem"]):
    """A merchant's payments in the order of their creation, in buckets; what a merchant lists."""

    class Meta:
        index_name = "merchant"
        projection = KeysOnlyProjection()

    merchant_bucket = UnicodeAttribute(hash_key=True)
    listed_as = UnicodeAttribute(range_key=True)


class ReviewIndex(GlobalSecondaryIndex["PaymentItem"]):
    """Payments that operators are to review, in the order of their creation, and conflicts, open and resolved, in that
    of their discovery; in buckets."""

    class Meta:
        index_name = "review"
        projection = KeysOnlyProjection()

    review = UnicodeAttribute(hash_key=True)
    listed_as = UnicodeAttribute(range_key=True)


class PaymentItem(Model):
    """A payment, which is its own idempotency record; or, under `<payment_id>#<attempt>`, an abandoned attempt; or,
    under `cmd_…`, a command on a payment with its answer; or, under `<payment_id>#mended#<sequence>#<time>`, a repair;
    or, under `<payment_id>#conflict`, two requests that were accepted under its id, and behind it who has seen to that.
    """

    class Meta(ModelConnection):
        table_name = _names.payments_table

    payment_id = UnicodeAttribute(hash_key=True)
    merchant_id = UnicodeAttribute()
    shard = NumberAttribute()
    fingerprint = UnicodeAttribute()
    attempt = UnicodeAttribute(null=True)
    region = UnicodeAttribute()
    written_in = UnicodeAttribute(null=True)
    taken_from = UnicodeAttribute(null=True)
    status = UnicodeAttribute()
    pending_bucket = NumberAttribute(null=True)
    pending_since = UnicodeAttribute(null=True)
    merchant_bucket = UnicodeAttribute(null=True)
    listed_as = UnicodeAttribute(null=True)
    amount = NumberAttribute(null=True)
    currency = UnicodeAttribute(null=True)
    capture = BooleanAttribute(null=True)
    network_ref = UnicodeAttribute(null=True)
    card: MapAttribute[str, Any] = MapAttribute(null=True)
    fraud: MapAttribute[str, Any] = MapAttribute(null=True)
    review = UnicodeAttribute(null=True)
    review_decision: MapAttribute[str, Any] = MapAttribute(null=True)
    customer_id = UnicodeAttribute(null=True)
    description = UnicodeAttribute(null=True)
    metadata: MapAttribute[str, Any] = MapAttribute(null=True)
    failure: MapAttribute[str, Any] = MapAttribute(null=True)
    fees: MapAttribute[str, Any] = MapAttribute(null=True)
    amount_captured = NumberAttribute(null=True)
    amount_released = NumberAttribute(null=True)
    amount_refunded = NumberAttribute(null=True)
    amount_charged_back = NumberAttribute(null=True)
    dispute: MapAttribute[str, Any] = MapAttribute(null=True)
    outstanding: ListAttribute[dict[str, Any]] = ListAttribute(null=True)
    answer: MapAttribute[str, Any] = MapAttribute(null=True)
    mending: MapAttribute[str, Any] = MapAttribute(null=True)
    conflict: MapAttribute[str, Any] = MapAttribute(null=True)
    created_at = UnicodeAttribute()
    updated_at = UnicodeAttribute()
    sequence = NumberAttribute(null=True)

    pending = PendingIndex()
    of_merchant = MerchantIndex()
    to_review = ReviewIndex()


class JournalItem(Model):
    """A journal with its entries in one item: written and replicated whole, so it balances wherever it is read."""

    class Meta(ModelConnection):
        table_name = _names.ledger_table

    payment_id = UnicodeAttribute(hash_key=True)
    journal_id = UnicodeAttribute(range_key=True)
    kind = UnicodeAttribute()
    created_at = UnicodeAttribute()
    region = UnicodeAttribute()
    sequence = NumberAttribute()
    reason = UnicodeAttribute(null=True)
    reverses = UnicodeAttribute(null=True)
    entries: ListAttribute[dict[str, Any]] = ListAttribute()
