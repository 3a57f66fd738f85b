"""Two requests under one key, accepted in two regions that could not see each other, as one region then has them."""

import json
from dataclasses import replace

from functions.ledger import app as ledger
from functions.ledger import charges
from functions.network import app as network
from functions.sweeper import app as sweeper
from payments import books, clients, lifecycle, records
from payments.tables import JournalItem, PaymentItem
from tests.functional.conftest import charge
from tests.functional.samples import FRAUD

OURS, THEIRS = "a" * 64, "b" * 64
"""Fingerprints of the two requests: ours is accepted here, theirs in the other region, and replaces it."""


def sides(key="key-1", theirs_blocked=False, **theirs):
    """Our payment as it is accepted here, and the other region's."""
    asked = charge(key, fingerprint=OURS)
    ledger.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
    found = charges.opened(asked, FRAUD), charges.opened(charge(key, fingerprint=THEIRS, **theirs), FRAUD)
    other = replace(found[1], region="us-west-2")
    blocked = {"status": lifecycle.Status.FRAUD_BLOCKED, "failure": charges.BLOCKED}
    return found[0], replace(other, **blocked) if theirs_blocked else other


def arrive(payment):
    """The other region's payment comes here, with its journal; the record of the stream that this makes."""
    old = image(payment.payment_id)
    PaymentItem(**records.payment_record(payment), written_in="us-west-2").save()
    if payment.status is not lifecycle.Status.FRAUD_BLOCKED:
        journal = records.journal_record(lifecycle.authorization_journal(payment), "us-west-2")
        JournalItem(**journal).save()
    change = {"SequenceNumber": "1", "OldImage": old, "NewImage": image(payment.payment_id)}
    return {"eventName": "MODIFY", "dynamodb": change}


def follow(record):
    """What the reader of the stream says."""
    return sweeper.conflict({"Records": [record]}, None)["batchItemFailures"]


def meet(key="key-1", **theirs):
    """A conflict that was found; our payment and theirs, which stands in the table."""
    ours, other = sides(key, **theirs)
    assert follow(arrive(other)) == []
    return ours, other


def image(payment_id):
    """The item, in DynamoDB's JSON."""
    key = {"payment_id": {"S": payment_id}}
    return clients.client("dynamodb").get_item(TableName="payments", Key=key, ConsistentRead=True)["Item"]


def stands(payment_id):
    """The payment in the table."""
    return books.find(payment_id, consistent=True)


def deliver(payment_id, tries=1, **detail):
    """What the network worker says of an event that it gets for the so manieth time."""
    body = json.dumps({"detail": {"payment_id": payment_id, **detail}})
    attributes = {"ApproximateReceiveCount": str(tries)}
    record = {"messageId": "m", "body": body, "receiptHandle": "r", "attributes": attributes}
    return network.handler({"Records": [record]}, None)["batchItemFailures"]
