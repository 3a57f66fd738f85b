"""The tools on what the real projector and notary leave behind."""

import os

import pytest

from functions.projector import app
from local.ledger import Region
from local.ledger_rebuild import Rebuild
from payments import clients, identifiers, records
from tests.functional.audit.conftest import EAST, NOW, WEST, life, typed
from tests.functional.audit.test_prove import proof_of, refused


class Context:
    """Of a function with time."""

    def get_remaining_time_in_millis(self):
        return 50_000


@pytest.fixture
def platform(world, monkeypatch):
    """A region whose stream goes through the real functions; its archive is where their setting says."""
    clients.client.cache_clear()
    region = world.regions[EAST]
    monkeypatch.setattr(region, "bucket", os.environ["ARCHIVE_BUCKET"])
    region.s3.create_bucket(Bucket=region.bucket, ObjectLockEnabledForBucket=True)
    region.s3.create_bucket(Bucket=os.environ["RECONCILIATION_BUCKET"])
    sequence = iter(range(10**6, 10**7, 7))

    def stream(journals, origin=EAST):
        world.write(journals, origin)
        images = [typed(records.journal_record(journal, origin)) for journal in journals]
        app.handler(
            {
                "Records": [
                    {"eventName": "INSERT", "dynamodb": {"SequenceNumber": str(next(sequence)), "NewImage": image}}
                    for image in images
                ]
            },
            None,
        )

    world.stream = stream
    return world


def test_what_projector_and_notary_make_is_verified_and_rebuilt(platform, tmp_path):
    region: Region = platform.regions[EAST]
    for key in range(5):
        platform.stream(life(f"key-{key}") + life(f"key-{key}", merchant=f"mer_{key}"))
        if key % 2:
            app.notarize({}, Context())
    found, counts = platform.verify(tmp_path, [EAST])
    assert (found, counts["journals sealed"], counts["waiting in the feed"]) == ([], 32, 8)
    assert Rebuild(region, tmp_path, lambda seconds: None, lambda: NOW).compare().equal

    app.notarize({}, Context())
    found, counts = platform.verify(tmp_path, [EAST])
    assert (found, counts["journals sealed"], counts["waiting in the feed"]) == ([], 40, 0)
    assert not refused(proof_of(platform, identifiers.payment_id("mer_a", "key-1")))

    platform.stream(life("key-w"), WEST)  # replicated: in this region's balances, in the other's chain
    assert Rebuild(region, tmp_path, lambda seconds: None, lambda: NOW).compare().equal
    assert platform.verify(tmp_path, [EAST])[1]["of other regions, not looked at"] == 4


def test_balances_lost_while_the_projector_goes_on_are_rebuilt_and_stay_right(platform, tmp_path):
    region: Region = platform.regions[EAST]
    platform.stream(life("key-1"))
    for page in region.scan("balances"):
        for item in page:
            if item["period"]["S"] != "-":
                region.dynamodb.delete_item(
                    TableName="balances", Key={name: item[name] for name in ("account", "period")}
                )
    work = Rebuild(region, tmp_path, lambda seconds: None, lambda: NOW)
    work.write(work.compare())
    platform.stream(life("key-2"))
    assert work.compare().equal
