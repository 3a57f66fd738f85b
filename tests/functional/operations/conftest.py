"""The operators' API in process, over moto, with the ledger's own function behind it."""

import json
import os
import zlib
from dataclasses import dataclass, field

import pytest
from boto3.dynamodb.types import TypeSerializer

from functions.ledger import app as ledger_function
from functions.operations import app, bucket, ledger, review_commands, table
from payments import clients, identifiers, records, regions
from tests.functional.api.functions import Functions
from tests.functional.samples import MERCHANT
from tests.functional.settlements import make_table

ALICE = "arn:aws:sts::123456789012:assumed-role/payments-operator/alice"
BOB = "arn:aws:sts::123456789012:assumed-role/payments-operator/bob"
PAYMENT = identifiers.payment_id(MERCHANT, "key-1")
REF = identifiers.network_reference(PAYMENT)
ROOT = "/operations/v1"
RUN = "run_00000007"
BUCKET = os.environ["RECONCILIATION_BUCKET"]


class Crash(BaseException):
    """The process is gone: nothing of it catches this."""


@dataclass
class Services:
    """The AWS services behind the API: counts what changes anything, and dies at one of these calls if told to."""

    functions: Functions
    writes: list[str] = field(default_factory=list)
    crash_at: int | None = None
    after: bool = False

    def client(self, name, *_, **__):
        return _Service(self, self.functions if name == "lambda" else clients.client(name))


@dataclass
class _Service:
    services: Services
    real: object

    def __getattr__(self, operation):
        call = getattr(self.real, operation)
        if operation not in ("transact_write_items", "put_object", "invoke", "update_item"):
            return call
        return lambda **arguments: self._counted(operation, call, arguments)

    def _counted(self, operation, call, arguments):
        dies = len(self.services.writes) == self.services.crash_at
        self.services.writes.append(operation)
        if dies and not self.services.after:
            raise Crash(operation)
        answer = call(**arguments)
        if dies:
            raise Crash(operation)
        return answer


@pytest.fixture
def services(tables, monkeypatch):
    make_table()
    clients.client("s3").create_bucket(Bucket=BUCKET)
    behind = {"payments-ledger-book": ledger_function.book, "payments-ledger-command": ledger_function.command}
    found = Services(Functions(behind))
    for room in (table, bucket, ledger, review_commands):
        monkeypatch.setattr(room, "client", found.client)
    monkeypatch.setattr(regions, "primary", lambda shard: "us-east-1")
    return found


@pytest.fixture
def call(services, context):
    """Sends a request to the API as API Gateway does."""

    def send(method, path, body=None, *, key=None, query=None, arn=ALICE, headers=None):
        answer = app.handler(event(method, path, body, key, query, arn, headers or {}), context)
        content = answer["body"]
        kind = answer["multiValueHeaders"]["Content-Type"][0]
        return answer["statusCode"], json.loads(content) if kind == "application/json" else content, answer

    return send


def event(method, path, body, key, query, arn, headers):
    return {
        "resource": "/{proxy+}",
        "path": ROOT + path,
        "httpMethod": method,
        "headers": {**({"Idempotency-Key": key} if key else {}), **headers},
        "multiValueHeaders": {},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": None,
        "stageVariables": None,
        "isBase64Encoded": False,
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "requestContext": {
            "requestId": "request-1",
            "stage": "live",
            "httpMethod": method,
            "path": path,
            "identity": {"userArn": arn} if arn else {},
        },
    }


def result(**changes):
    """A discrepancy as a run writes it, by default a captured amount that was settled 5.00 short."""
    item = {
        "network_ref": REF,
        "line": "L1~0a1b2c3d",
        "class": "amount_mismatch",
        "type": "capture",
        "movement": "",
        "network": "visa",
        "currency": "USD",
        "expected": 4200,
        "settled": 3700,
        "difference": -500,
        "fee_expected": 86,
        "fee_settled": 77,
        "at_risk": 500,
        "split": False,
        "tolerated": False,
        "merchant_id": MERCHANT,
        "payment_id": PAYMENT,
        "shard": identifiers.merchant_shard(MERCHANT),
        "line_ref": "L1",
        "file": "ab" * 16,
        "row": 3,
        "day": "2026-11-20",
        "due": "2026-11-23",
        "booked": False,
        "run": RUN,
        "changed_at": "2026-11-24T03:00:00.000Z",
        "first_seen": "2026-11-24T03:00:00.000Z",
        "open_since": "2026-11-23",
        **changes,
    }
    item = {name: value for name, value in item.items() if value is not None}
    if "open_since" in item:
        item.setdefault("open", str(zlib.crc32(item["network_ref"].encode()) % 16))
    return item


def put(**changes):
    """Stores it, and says what the paths have of it."""
    item = result(**changes)
    store(item)
    from functions.operations import names

    return names.identifier(item["network_ref"], item["line"])


def store(item):
    serialize = TypeSerializer().serialize
    clients.client("dynamodb").put_item(
        TableName="settlements", Item={name: serialize(value) for name, value in item.items()}
    )


def stored(network_ref=REF):
    """Items under a reference, by their lines."""
    items = clients.client("dynamodb").scan(TableName="settlements", ConsistentRead=True)["Items"]
    plain = [records.plain(item) for item in items]
    return {item["line"]: item for item in plain if item["network_ref"] == network_ref}


def resolutions():
    """What the next run reads, by key."""
    listed = clients.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="resolutions/").get("Contents", ())
    return {
        found["Key"]: json.loads(clients.client("s3").get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read())
        for found in listed
    }


def balances():
    """What stands on every account, by its control account and currency: debits less credits."""
    from payments import accounts
    from payments.journal import Side

    found = {}
    for item in clients.client("dynamodb").scan(TableName="ledger", ConsistentRead=True)["Items"]:
        for entry in records.plain(item)["entries"]:
            name = accounts.control(entry["account"]), entry["currency"]
            signed = entry["amount"] if entry["side"] == Side.DEBIT else -entry["amount"]
            found[name] = found.get(name, 0) + signed
    return {name: total for name, total in found.items() if total}
