"""Fraud's tables and bucket on moto, and models made of the shipped one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto import mock_aws

from functions.fraud.charge import Charge
from functions.fraud.models import Panel

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "models" / "fraud"
REGIONS = ("us-east-1", "us-west-2")
BUCKET = "payments-fraud-models"
NOON = 1_795_435_200  # 23 November 2026, 12:00 UTC
CHARGE = Charge("pay_1", "mer_1", 4200, "USD", NOON, "tok_1", "cus_1", "dev_1")
PERSONAL = replace(CHARGE, email="a@example.com", ip="203.0.113.7", ip_country="US", billing_country="US", bin="424242")

KEYS = {
    "fraud-profiles": ("entity", "region"),
    "fraud-rules": ("scope", "entry"),
    "fraud-scores": ("day", "payment_id"),
}


@contextmanager
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account with nothing in it; also for threads, and for clients that code under test makes."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGIONS[0]}.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


def client(service: str = "dynamodb", region: str = REGIONS[0]) -> Any:
    """A client of the account."""
    return botocore.session.get_session().create_client(service, region_name=region)


def make_tables(dynamodb: Any) -> None:
    """Fraud's three tables, empty."""
    for table, keys in KEYS.items():
        dynamodb.create_table(
            TableName=table,
            KeySchema=[
                {"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=True)
            ],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
        )


def items(dynamodb: Any, table: str = "fraud-scores") -> list[dict[str, Any]]:
    """All that is in a table."""
    found: list[dict[str, Any]] = dynamodb.scan(TableName=table)["Items"]
    return found


def point(dynamodb: Any, role: str, version: str | None) -> None:
    """Say which model is `champion` or in `shadow`; None: none is."""
    key = {"scope": {"S": "global"}, "entry": {"S": f"model#{role}"}}
    if version is None:
        dynamodb.delete_item(TableName="fraud-rules", Key=key)
    else:
        dynamodb.put_item(TableName="fraud-rules", Item={**key, "version": {"S": version}, "since": {"S": "2026"}})


def files(version: str, scores: list[float] | None = None, **changes: Any) -> dict[str, bytes]:
    """The shipped model under another name, with other scores at its knots, or with other facts in model.json."""
    facts = json.loads((SHIPPED / "model.json").read_text())
    if scores is not None:
        odds = facts["calibration"]["log_odds"]
        changes["calibration"] = {**facts["calibration"], "log_odds": odds[: len(scores)], "scores": scores}
    facts |= {"version": version, **changes}
    return {"model.txt": (SHIPPED / "model.txt").read_bytes(), "model.json": json.dumps(facts).encode()}


def put_model(s3: Any, version: str, content: dict[str, bytes]) -> None:
    """Put a model's files where a version is looked for."""
    for name, body in content.items():
        s3.put_object(Bucket=BUCKET, Key=f"models/{version}/{name}", Body=body)


def only(model: Any, shadow: Any = None) -> Any:
    """Whatever the pointers say, these models."""
    return lambda _: Panel(model, shadow)
