"""The platform's tables on moto, one AWS account per test."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Lock

import pytest
from moto import mock_aws
from moto.backends import get_backend
from moto.dynamodb.responses import DynamoHandler

from functions.ledger import bookings  # noqa: F401 - its bounds are those of its import; tests change the number of shards
from payments import books, clients, clock, identifiers, regions, settings
from payments.lifecycle import Payment, Status
from payments.merchants import MerchantItem, api_key_kind, new_api_key
from payments.tables import JournalItem, PaymentItem, connection
from tests.functional.samples import CARD_FACTS, FRAUD, MERCHANT

SHARD = identifiers.merchant_shard(MERCHANT)

_PLAIN_TABLES = {
    "shards": [("shard", "N")],
    "balances": [("account", "S"), ("period", "S")],
    "accounts": [("account", "S"), ("position", "S")],
    "proofs": [("record", "S"), ("position", "S")],
    "fraud-rules": [("scope", "S"), ("entry", "S")],
}


@pytest.fixture(scope="session", autouse=True)
def whole_transactions() -> Iterator[None]:
    """One request to DynamoDB at a time: moto undoes a transaction by putting back whole tables as they were before it,
    and with them loses what others wrote meanwhile. DynamoDB does not."""
    turn, call_action = Lock(), DynamoHandler.call_action

    def in_turn(handler: DynamoHandler):
        with turn:
            return call_action(handler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DynamoHandler, "call_action", in_turn)
        yield


@pytest.fixture(autouse=True)
def fresh_settings():
    """Every test reads the environment for itself, whichever ran before it in this process."""
    settings._read.cache_clear()


@pytest.fixture(scope="module")
def account():
    """An AWS account for the tests of a module, and clients that know no other; making clients is what takes time."""
    with mock_aws():
        clients.client.cache_clear()
        clients._session.cache_clear()
        connection.cache_clear()
        for model in (PaymentItem, JournalItem, MerchantItem):
            model._connection = None
        yield
    clients.client.cache_clear()


@pytest.fixture
def aws(account):
    """The account, empty."""
    empty()


@pytest.fixture
def tables(aws):
    """The tables of the account."""
    make_tables()


@pytest.fixture
def remake_tables(account):
    """Call it for an account of empty tables, as often as wanted."""

    def remake():
        empty()
        make_tables()

    return remake


def empty():
    """Forget everything in the account's tables and buckets."""
    for region in ("us-east-1", "us-west-2"):
        get_backend("dynamodb")["123456789012"][region].reset()
    get_backend("s3")["123456789012"]["aws"].reset()
    regions._cache.clear()


def make_tables():
    """The platform's tables, as docs/interfaces.md lists them, and the bucket that the projector feeds."""
    for model in (PaymentItem, JournalItem, MerchantItem):
        model.create_table(billing_mode="PAY_PER_REQUEST")
    for name, keys in _PLAIN_TABLES.items():
        clients.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys],
            KeySchema=[{"AttributeName": keys[0][0], "KeyType": "HASH"}]
            + [{"AttributeName": key, "KeyType": "RANGE"} for key, _ in keys[1:]],
        )
    write_here()
    # Straight into moto: most tests make no client of S3.
    get_backend("s3")["123456789012"]["aws"].create_bucket(os.environ["RECONCILIATION_BUCKET"], "us-east-1")


def write_here(shard=SHARD, **changes):
    """Has this region write for a shard, by default the merchant's, for which the other one would by itself."""
    item = {"shard": shard, "primary": "us-east-1", "epoch": 0, **changes}
    typed = {name: {"N" if isinstance(value, int) else "S": str(value)} for name, value in item.items()}
    clients.client("dynamodb").put_item(TableName="shards", Item=typed)
    regions._cache.clear()


@pytest.fixture
def archive(aws):
    """The bucket of the ledger's archive."""
    bucket = os.environ["ARCHIVE_BUCKET"]
    clients.client("s3").create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    return bucket


@pytest.fixture
def api_key(tables):
    """The API key of an active merchant."""
    key = new_api_key(MERCHANT, "test")
    MerchantItem(MERCHANT, "profile", status="active").save()
    MerchantItem(MERCHANT, api_key_kind(key), status="active").save()
    return key


@pytest.fixture
def context():
    """What Lambda passes beside the event."""
    return type(
        "Context",
        (),
        {
            "function_name": "f",
            "memory_limit_in_mb": 128,
            "invoked_function_arn": "arn:aws:lambda:::f",
            "aws_request_id": "request-1",
        },
    )()


def charge(key="key-1", **changes):
    """A charge as the saga hands it to the ledger."""
    payment_id = identifiers.payment_id(MERCHANT, key)
    values = {
        "payment_id": payment_id,
        "attempt": identifiers.new_attempt(),
        "merchant_id": MERCHANT,
        "shard": identifiers.merchant_shard(MERCHANT),
        "epoch": 0,
        "mapped_at": clock.now(),
        "fingerprint": "f" * 64,
        "amount": 4200,
        "currency": "USD",
        "capture": True,
        "created_at": clock.timestamp(datetime.now(UTC) - timedelta(minutes=2)),
        "network_ref": identifiers.network_reference(payment_id),
        "fees": {"basis_points": 290, "fixed": 30, "dispute": 1500},
        "card": CARD_FACTS,
        "customer": {"id": "cus_1"},
        "description": None,
        "metadata": {"order": "1"},
    }
    return {**values, **changes}


@pytest.fixture
def new_charge():
    """Builds charges."""
    return charge


@pytest.fixture
def pending(tables):
    """A pending payment with its authorization journal."""
    from functions.ledger import app

    asked = charge()
    app.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
    found = books.find(asked["payment_id"])
    assert isinstance(found, Payment)
    assert found.status is Status.PENDING
    return found
