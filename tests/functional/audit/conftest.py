"""Two regions' ledgers on moto, written, replicated, projected and sealed by the plainest code that can do it."""

import zlib
from collections import defaultdict
from datetime import UTC, datetime

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from moto import mock_aws
from moto.backends import get_backend

from local.ledger import Region
from local.ledger_rebuild import history_keys
from local.ledger_verify import Verification
from payments import identifiers, lifecycle, projection, proofs, records
from payments.fees import FeePlan
from payments.lifecycle import Authorization, Payment, Status
from tests.functional.samples import CARD_FACTS

ACCOUNT, EAST, WEST = "123456789012", "us-east-1", "us-west-2"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
YESTERDAY = "2026-11-22T10:00:{:02d}.000Z"
JUST_NOW = "2026-11-23T11:59:30.000Z"
KEYS = {
    "ledger": ("payment_id", "journal_id"),
    "restored": ("payment_id", "journal_id"),
    "balances": ("account", "period"),
    "accounts": ("account", "position"),
    "proofs": ("record", "position"),
    "payments": ("payment_id",),
}


def typed(value):
    """A plain item in DynamoDB's JSON."""
    return {name: TypeSerializer().serialize(content) for name, content in value.items()}


def payment(key="key-1", merchant="mer_a", amount=4200, at="2026-11-22T10:00:00.000Z", **changes):
    """A payment that waits for the card network."""
    payment_id = identifiers.payment_id(merchant, key)
    values = {
        "payment_id": payment_id,
        "merchant_id": merchant,
        "shard": identifiers.merchant_shard(merchant),
        "fingerprint": "f" * 64,
        "attempt": "att_1",
        "region": EAST,
        "status": Status.PENDING,
        "amount": amount,
        "currency": "USD",
        "capture": True,
        "network_ref": "net_1",
        "card": CARD_FACTS,
        "fraud": {},
        "created_at": at,
        "updated_at": at,
        "fees": FeePlan(290, 30, 1500),
        "customer_id": "Zoë",
    }
    return Payment(**(values | changes))


def life(key="key-1", merchant="mer_a", amount=4200, day=YESTERDAY):
    """The journals of a charge that is captured and of which a part is refunded."""
    begun = payment(key, merchant, amount, day.format(0))
    paid, captured = lifecycle.decide(begun, Authorization(), day.format(1))
    back, refund = lifecycle.refund(paid, f"ref_{key}", 1000, day.format(2), "requested\u2028by customer")
    _, ended = lifecycle.end_refund(back, f"ref_{key}", None, day.format(3))
    return [lifecycle.authorization_journal(begun), captured, refund, ended]


class World:
    """What the platform would have done."""

    def __init__(self):
        self.clients = {(s, r): boto3.client(s, region_name=r) for s in ("dynamodb", "s3") for r in (EAST, WEST)}
        self.functions = {}
        self.regions = {name: Region(name, self._client, ACCOUNT) for name in (EAST, WEST)}

    def _client(self, service, region):
        return self.functions[region] if service == "lambda" else self.clients[service, region]

    def create(self):
        """Empty tables and archives in both regions."""
        self.unsealed, self.chains = {EAST: [], WEST: []}, {}
        for name, region in self.regions.items():
            for table, keys in KEYS.items():
                region.dynamodb.create_table(
                    TableName=table,
                    BillingMode="PAY_PER_REQUEST",
                    AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                    KeySchema=[
                        {"AttributeName": key, "KeyType": kind}
                        for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
                    ],
                )
            region.dynamodb.create_table(
                TableName="shards",
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "shard", "AttributeType": "N"}],
                KeySchema=[{"AttributeName": "shard", "KeyType": "HASH"}],
            )
            where = {} if name == EAST else {"CreateBucketConfiguration": {"LocationConstraint": name}}
            region.s3.create_bucket(Bucket=region.bucket, ObjectLockEnabledForBucket=True, **where)

    def write(self, journals, origin=EAST):
        """Journals written in one region and replicated to the other; to be sealed by `seal`."""
        for journal in journals:
            item = records.journal_record(journal, origin)
            for region in self.regions.values():
                region.dynamodb.put_item(TableName="ledger", Item=typed(item))
            self.unsealed[origin].append(item)

    def project(self):
        """Balances and history of both regions, as a projector would have left them."""
        for region in self.regions.values():
            journals = [
                records.StoredJournal.of(records.plain(item)) for page in region.scan("ledger") for item in page
            ]
            for (account, period), counter in projection.sums(journals).items():
                region.dynamodb.put_item(
                    TableName="balances", Item=typed({"account": account, "period": period, **counter})
                )
            region.dynamodb.put_item(TableName="balances", Item=typed({"account": "batch#1", "period": "-"}))
            for page in region.scan("ledger"):
                for item in map(records.plain, page):
                    for account, position in history_keys(records.StoredJournal.of(item)):
                        row = {"account": account, "position": position, "journal": item}
                        region.dynamodb.put_item(TableName="accounts", Item=typed(row))

    def feed(self, origin=EAST):
        """What is unsealed waits in the feed."""
        texts = [proofs.canonical(item) for item in self.unsealed[origin]]
        item = {"record": "feed#0", "position": "0" * 40, "journals": zlib.compress("\n".join(texts).encode())}
        self.regions[origin].dynamodb.put_item(TableName="proofs", Item=typed(item))

    def seal(self, origin=EAST, sealed_at="2026-11-22T10:05:00.000Z"):
        """One batch per shard of everything unsealed, and the head."""
        by_shard = defaultdict(list)
        for item in self.unsealed[origin]:
            by_shard[identifiers.shard_of(item["payment_id"])].append(proofs.canonical(item))
        self.unsealed[origin].clear()
        for shard, texts in by_shard.items():
            chain = self.chains.setdefault((origin, shard), [])
            previous = chain[-1].hash if chain else proofs.GENESIS
            chain.append(proofs.Batch(origin, shard, len(chain) + 1, previous, sealed_at, tuple(texts)))
            self.put(chain[-1])
            self.head(chain[-1])

    def put(self, batch, key=None, content=None):
        """An object of the archive."""
        region = self.regions[batch.region]
        body = batch.archived() if content is None else content
        region.s3.put_object(Bucket=region.bucket, Key=key or batch.key, Body=body)

    def head(self, batch):
        """The head of a chain."""
        item = {"record": "head", "position": f"{batch.shard:03d}", "number": batch.number, "hash": batch.hash}
        self.regions[batch.region].dynamodb.put_item(TableName="proofs", Item=typed(item))

    def purge(self, key, region=EAST):
        """An object with all its versions, as nobody should be able to."""
        at = self.regions[region]
        for version in at.s3.list_object_versions(Bucket=at.bucket, Prefix=key).get("Versions", []):
            at.s3.delete_object(Bucket=at.bucket, Key=key, VersionId=version["VersionId"])

    def items(self, region=EAST):
        """The ledger of a region."""
        return [item for page in self.regions[region].scan("ledger") for item in page]

    def replace(self, before, after):
        """Another item in its place, in both regions."""
        for region in self.regions.values():
            key = {name: before[name] for name in KEYS["ledger"]}
            region.dynamodb.delete_item(TableName="ledger", Key=key)
            if after is not None:
                region.dynamodb.put_item(TableName="ledger", Item=after)

    def verify(self, path, regions=(EAST, WEST), anchors=None):
        """What is found, and the counts."""
        chosen = [self.regions[name] for name in regions]
        (path / "leaves.sqlite").unlink(missing_ok=True)
        run = Verification(chosen, path, anchors, (EAST, WEST), lambda: NOW, lambda seconds: None)
        return [(found.what, found.name) for found in run.run()], run.counts


@pytest.fixture(scope="module")
def clients():
    """Clients take longest to make."""
    with mock_aws():
        yield World()


def emptied(world):
    """The world, empty."""
    for region in (EAST, WEST):
        get_backend("dynamodb")[ACCOUNT][region].reset()
    get_backend("s3")[ACCOUNT]["aws"].reset()
    world.create()
    return world


@pytest.fixture
def world(clients):
    """Empty ledgers in both regions."""
    return emptied(clients)


@pytest.fixture
def sealed(world):
    """Two batches in one chain, one in another shard's, one in the other region's."""
    world.write(life("key-1") + life("key-2", amount=5100))
    world.seal()
    world.write(life("key-3"))
    world.write(life("key-4", merchant="mer_b"))
    world.seal(sealed_at="2026-11-22T10:06:00.000Z")
    world.write(life("key-5"), WEST)
    world.seal(WEST)
    return world


@pytest.fixture
def projected(sealed):
    """The same with balances and history."""
    sealed.project()
    return sealed
