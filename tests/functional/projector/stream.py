"""A ledger's stream made of random journals, and what it must come to, worked out without the projector's code."""

import gzip
import json
import os
import random
from collections import Counter, defaultdict
from contextlib import contextmanager

from boto3.dynamodb.types import TypeSerializer

from functions.projector import app
from payments import accounts, clients, identifiers, projection, records
from payments.journal import Journal, Kind, Phase, transfer

HERE, THERE = "us-east-1", "us-west-2"
PHASES = (Phase.PENDING, Phase.POST_PENDING, Phase.VOID_PENDING, Phase.POSTED)
DAYS = ("2026-11-22T23:59:59.999Z", "2026-11-23T00:00:00.000Z")


class Crash(BaseException):
    """The function's end, between two calls. No handler in the code may take it for an error of its own."""


def merchant(n):
    return f"mer_{n:024d}"


def journal(n, merchant_id=None, *, amount=100, phase=Phase.POSTED, currency="USD", at=DAYS[1], journal_id="capture"):
    """Charges a merchant's customer."""
    merchant_id = merchant_id or merchant(1)
    entries = transfer(accounts.customer(merchant_id, None), accounts.merchant(merchant_id), amount, currency, phase)
    return Journal(identifiers.payment_id(merchant_id, f"key-{n}"), journal_id, Kind.CAPTURE, at, entries)


def random_journal(chance, n):
    merchant_id = merchant(chance.randint(1, 5))
    when = {"phase": chance.choice(PHASES), "currency": chance.choice(("USD", "JPY")), "at": chance.choice(DAYS)}
    made = journal(n, merchant_id, amount=chance.randint(1, 1000), **when)
    currency = made.entries[0].currency
    fee = transfer(accounts.merchant(merchant_id), accounts.FEES, chance.randint(0, 9), currency)
    cleared = transfer(accounts.network("visa"), accounts.BANK, chance.choice((0, 0, 7)), currency)
    return Journal(made.payment_id, made.journal_id, made.kind, made.created_at, (*made.entries, *fee, *cleared))


def item(found, region=HERE):
    return records.journal_record(found, region)


def record(sequence, item, event="INSERT"):
    """A record of the stream, with the item as DynamoDB writes it."""
    image = {name: TypeSerializer().serialize(value) for name, value in item.items()}
    return {"eventName": event, "dynamodb": {"SequenceNumber": str(sequence), "NewImage": image}}


def random_stream(seed, length):
    """Records, with gaps between their numbers, of journals of here and there and of copies; and the journals."""
    chance = random.Random(seed)
    sequence, found, written = 10**20, [], []
    for n in range(length):
        sequence += chance.choice((1, 7, 10**6))
        if written and chance.random() < 0.1:
            found.append(record(sequence, chance.choice(written), "MODIFY"))
            continue
        written.append(item(random_journal(chance, n), chance.choice((HERE, HERE, THERE))))
        found.append(record(sequence, written[-1]))
    return found, written


def deliver(batch):
    app.handler({"Records": batch}, None)


def expected(items):
    """Counters by account and period: TigerBeetle's four per side and phase, summed entry by entry."""
    effects = {
        "pending": {"pending": 1},
        "post_pending": {"pending": -1, "posted": 1},
        "void_pending": {"pending": -1},
        "posted": {"posted": 1},
    }
    sums = defaultdict(lambda: defaultdict(int))
    for found in items:
        shard = int(found["payment_id"][4:6], 16)
        for entry in found["entries"]:
            period = f"{entry['currency']}#{found['created_at'][:10]}"
            kind = entry["account"].split(":")[0]
            control = {"customer": "customers", "merchant": "merchants"}.get(kind, entry["account"])
            for phase, factor in effects[entry["phase"]].items():
                counter = f"{entry['side']}s_{phase}"
                sums[f"shard:{shard:03d}", period][f"{control}/{counter}"] += factor * entry["amount"]
                if kind == "merchant":
                    sums[entry["account"], period][counter] += factor * entry["amount"]
    return {key: dict(counters) for key, counters in sums.items()}


def scan(table):
    dynamodb, found, start = clients.client("dynamodb"), [], {}
    while True:
        page = dynamodb.scan(TableName=table, **start)
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return found
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def balances():
    """The table's counters by account and period, summed over the period's lanes, without the markers."""
    sums = {}
    for found in scan("balances"):
        if not found["account"]["S"].startswith("batch#"):
            key = found["account"]["S"], projection.without_lane(found["period"]["S"])
            counters = sums.setdefault(key, {})
            for name, value in found.items():
                if "N" in value:
                    counters[name] = counters.get(name, 0) + int(value["N"])
    return sums


def history():
    """The journals in the table by partition and position."""
    return {
        (found["account"]["S"], found["position"]["S"]): records.plain(found["journal"]["M"])
        for found in scan("accounts")
    }


def settlement_feed():
    """The objects of settlement's feed, by key: the facts of each, in order."""
    s3, bucket = clients.client("s3", read_timeout=10), os.environ["RECONCILIATION_BUCKET"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="feed/")
    keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
    bodies = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
    return {key: [json.loads(line) for line in gzip.decompress(body).splitlines()] for key, body in bodies.items()}


def cleared(items):
    """What the journals add to the clearing accounts, and reserve of and release to customers: amounts by the names
    that reconciliation knows them by. Written without the code that makes facts; captures and charges only."""
    found = Counter()
    for item in items:
        for entry in item["entries"]:
            kind = {("network", "posted"): "capture", ("customer", "pending"): "authorization"}
            kind |= {("customer", "void_pending"): "release"}
            name = kind.get((entry["account"].split(":")[0], entry["phase"]))
            if name and entry["side"] == "debit":
                key = item["payment_id"], item["journal_id"], name, entry["currency"], item["created_at"]
                found[key] += entry["amount"]
    return found


@contextmanager
def crash_at(n, *, after, services=("dynamodb", "s3")):
    """The n-th call of these services, from 0, is the function's last: made and not answered, or not made.

    Gives the list of calls; longer than n when it came to the crash.
    """
    calls = []

    def end(model, **_):
        calls.append(model.name)
        if len(calls) == n + 1:
            raise Crash(model.name)

    events = [clients.client(name).meta.events for name in services if name == "dynamodb"]
    events += [clients.client("s3", read_timeout=10).meta.events] if "s3" in services else []
    moment = "after-call" if after else "before-call"
    for event in events:
        event.register(moment, end)
    try:
        yield calls
    finally:
        for event in events:
            event.unregister(moment, end)
