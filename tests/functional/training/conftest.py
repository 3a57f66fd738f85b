"""Scores of two regions, the pointers and two buckets, beside the platform's tables."""

import pytest

from functions.training import reading
from payments import clients
from tests.functional.training.world import REGIONS, World

BUCKET = "payments-fraud-models-1"

ENVIRONMENT = {
    "FRAUD_MODELS_BUCKET": f"{BUCKET}-{REGIONS[0]}",
    "TRAINING_DAYS": "3",
    "LABEL_DAYS": "30",
    "HELD_OUT_DAYS": "1",
    "SHADOW_SECONDS": "7",
    "SHADOW_CHARGES": "20",
    "LEAST_FRAUDS": "30",
    "LEAST_GOOD": "40",
}


@pytest.fixture
def world(monkeypatch, tables):
    """A world with few buckets, so that few calls read them all."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(reading, "BUCKETS", 2)
    for region in REGIONS:
        clients.client("dynamodb", region).create_table(
            TableName="fraud-scores",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("day", "payment_id")],
            KeySchema=[
                {"AttributeName": "day", "KeyType": "HASH"},
                {"AttributeName": "payment_id", "KeyType": "RANGE"},
            ],
        )
        place = {} if region == REGIONS[0] else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        clients.client("s3", region).create_bucket(Bucket=f"{BUCKET}-{region}", **place)
    return World(monkeypatch, BUCKET)
