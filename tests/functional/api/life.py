"""A payment's life in these tests: charged through the API, decided, and projected as the platform does it."""

from functions.projector import app as projector
from payments import books, clients, clock, lifecycle
from tests.functional.api.merchant import BODY, charge


def approved(call, key="key-1", **changes):
    """The id of a payment that the card network has approved; not captured unless it says so."""
    status, made, _ = charge(call, {**BODY, "capture": False, **changes}, key=key)
    assert status == 201, made
    decide(made["id"])
    return made["id"]


def decide(payment_id):
    payment = books.find(payment_id)
    after, journal = lifecycle.decide(payment, lifecycle.Authorization(), clock.now())
    books.step(payment, after, journal)


def end_refund(payment_id, refund_id, failure=None):
    payment = books.find(payment_id)
    after, journal = lifecycle.end_refund(payment, refund_id, failure, clock.now())
    books.step(payment, after, journal)


def command(call, name, payment_id, body=None, key="command-1", **kwargs):
    path = f"/api/v1/payments/{payment_id}/{name}"
    headers = {} if key is None else {"Idempotency-Key": key}
    return call("POST", path, {} if body is None else body, headers, **kwargs)


def project():
    """Lets the projector work off the whole ledger, as one batch of its stream."""
    journals = clients.client("dynamodb").scan(TableName="ledger")["Items"]
    records = [
        {"eventName": "INSERT", "dynamodb": {"SequenceNumber": str(100 + number), "NewImage": image}}
        for number, image in enumerate(sorted(journals, key=lambda image: image["created_at"]["S"]))
    ]
    if records:
        projector.handler({"Records": records}, None)
