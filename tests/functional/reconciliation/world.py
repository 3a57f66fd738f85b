"""Reconciliation's real handlers on moto, with the real ledger beside them, and a projector that comes when it is told.

A function may die at any of its calls to AWS. What goes on outside of the functions is not counted as theirs.
"""

import copy
import gzip
import io
import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict

from botocore.client import BaseClient
from moto.backends import get_backend

from functions.ledger import app as ledger
from functions.reconciliation import app
from local import settlement_export
from payments import books, clients, clock, events, identifiers, lifecycle, projection, records, regions, settlement
from payments.lifecycle import Authorization
from payments.records import StoredJournal
from tests.functional import conftest
from tests.functional.reconciliation.machine import Machine
from tests.functional.samples import CARD_FACTS, FRAUD

BUCKET = "payments-reconciliation"
NOW = "2026-11-23T10:00:00.000Z"
FEE = {"visa": 180, "amex": 230}


class Crash(BaseException):
    """The function's end. No handler may take it for an error of its own."""


class Calls:
    """Every call to AWS that a function makes. `crash` is the number of the one that is its last; `after` it took
    effect, or before."""

    def __init__(self, monkeypatch, invoke):
        self.made, self.crash, self.after, self._inside = [], None, False, False
        call = BaseClient._make_api_call

        def counted(client, operation, arguments):
            if not self._inside:
                return call(client, operation, arguments)
            if operation == "Invoke":
                return self._around(operation, arguments, lambda: self._outside(invoke, arguments))
            return self._around(operation, arguments, lambda: call(client, operation, arguments))

        monkeypatch.setattr(BaseClient, "_make_api_call", counted)

    @contextmanager
    def counted(self):
        """Within this, a function runs."""
        self._inside = True
        try:
            yield
        finally:
            self._inside = False

    def _around(self, operation, arguments, call):
        number = len(self.made)
        self.made.append((operation, arguments))
        if number == self.crash and not self.after:
            raise Crash(operation)
        answer = call()
        if number == self.crash:
            raise Crash(operation)
        return answer

    def _outside(self, invoke, arguments):
        self._inside = False
        try:
            return {"Payload": io.BytesIO(json.dumps(invoke(arguments)).encode())}
        finally:
            self._inside = True


class World:
    """All that is outside of reconciliation's functions. `plain` sets how things usually go."""

    def __init__(self, monkeypatch):
        self.now, self.projecting, self.lost = NOW, True, set()
        self.calls = Calls(monkeypatch, self._invoke)
        self.machine = Machine(
            {
                "BeginFunctionArn": self.called(app.begin),
                "IngestFunctionArn": self.called(app.ingest),
                "CompactFunctionArn": self.called(app.compact),
                "MatchFunctionArn": self.called(app.match),
                "ReportFunctionArn": self.called(app.report),
            }
        )
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setattr(events, "publish", lambda *_: None)
        monkeypatch.setattr(regions, "primary", lambda _: regions.here())
        monkeypatch.setattr(regions, "home", lambda _: regions.here())
        self.forget()

    def forget(self):
        """A new world, of empty tables."""
        self.projected, self.chunk = set(), 0

    def called(self, handler):
        """The function as Step Functions calls it, which tries again when it has died."""

        def call(event):
            for _ in range(3):
                try:
                    with self.calls.counted():
                        answer = handler(copy.deepcopy(event), Context())
                except Crash:
                    continue
                if self.projecting:
                    self.project()
                return answer
            raise AssertionError("the function dies again and again")

        return call

    def run(self, name="execution-1", **given):
        """The output of an execution of the state machine."""
        return self.machine.run(name, given)

    # The ledger

    def payment(
        self, key="key-1", amount=4200, merchant="mer_" + "a" * 24, network="visa", currency="USD", capture=True
    ):
        """A payment that the network has approved."""
        card = {**CARD_FACTS, "brand": network, "network": network}
        named = {"payment_id": identifiers.payment_id(merchant, key), "merchant_id": merchant, "card": card}
        asked = conftest.charge(key, amount=amount, currency=currency, capture=capture, created_at=self.now, **named)
        asked |= {"shard": identifiers.merchant_shard(merchant)}
        asked |= {"network_ref": identifiers.network_reference(asked["payment_id"])}
        ledger.handler({"operation": "post", "charge": asked, "fraud": FRAUD}, None)
        pending = books.find(asked["payment_id"])
        return books.step(pending, *lifecycle.decide(pending, Authorization(None), clock.now()))

    def capture(self, payment, amount, key="capture-1"):
        """A later capture that is booked; the payment, and the capture's id."""
        capture_id = identifiers.operation_id("cap", key)
        return books.step(payment, *lifecycle.capture(payment, capture_id, amount, False, clock.now())), capture_id

    def refuse(self, payment, capture_id):
        """The network refuses it: the books take it back."""
        made = books.find_journal(payment.payment_id, capture_id)
        failure = lifecycle.Failure("amount_exceeded", "Too much.")
        return books.step(payment, *lifecycle.refuse_operation(payment, made, failure, clock.now()))

    def settle(self, captured, shard=0, network="visa", currency="USD", reference="earlier"):
        """Books a settlement; its journal."""
        amounts = {"captured": captured, "returned": 0, "fees": 0, "written_off": 0}
        named = {"kind": "settlement", "shard": shard, "reference": reference, "network": network}
        return self.book(**named, currency=currency, **amounts)["journal"]

    @staticmethod
    def book(**booking):
        return ledger.book(booking, None)

    def _invoke(self, arguments):
        handler = {"payments-ledger-book": ledger.book, "payments-ledger-command": ledger.command}
        return handler[arguments["FunctionName"]](json.loads(arguments["Payload"]), None)

    def project(self):
        """The projector counts what is new in the ledger, and says so in the feed."""
        new = [found for found in self.journals() if (found.payment_id, found.journal_id) not in self.projected]
        if not new:
            return
        self.projected |= {(found.payment_id, found.journal_id) for found in new}
        dynamodb = clients.client("dynamodb")
        counted = [found for found in new if found.payment_id not in self.lost]
        for (account, period), added in projection.sums(counted).items():
            names = sorted(added)
            dynamodb.update_item(
                TableName="balances",
                Key={"account": {"S": account}, "period": {"S": period}},
                UpdateExpression="ADD " + ", ".join(f"#{n} :{n}" for n in range(len(names))),
                ExpressionAttributeNames={f"#{n}": name for n, name in enumerate(names)},
                ExpressionAttributeValues={f":{n}": {"N": str(added[name])} for n, name in enumerate(names)},
            )
        days = {found.created_at[:10] for found in new}
        for day in sorted(days):
            lines = [
                json.dumps(asdict(fact))
                for found in new
                if found.created_at[:10] == day
                for fact in settlement.facts(found)
            ]
            self.chunk += 1
            content = "".join(f"{one}\n" for one in lines).encode()
            self.put(f"feed/{day}/{self.chunk:040d}-{self.chunk:040d}.jsonl.gz", gzip.compress(content, mtime=0))

    def journals(self):
        found = [StoredJournal.of(records.plain(item)) for item in stored("ledger")]
        return sorted(found, key=lambda journal: (journal.created_at, journal.payment_id, journal.sequence))

    # The network

    def line(self, payment, kind="capture", **changes):
        """The row in which the network settles what was captured of a payment at once."""
        network = payment.card["network"]
        amount = changes.pop("amount", payment.amount)
        values = {
            "line_ref": f"line-{payment.payment_id[-6:]}-{kind}",
            "type": kind,
            "network_ref": payment.network_ref,
            "movement": "",
            "amount": amount,
            "currency": payment.currency,
            "fee": settlement_export.fee(network, kind, amount),
            "settled_on": self.now[:10],
        }
        return settlement_export.Row(**{**values, **changes})

    def deliver(self, *rows, network="visa", name="a.csv", reference="cycle-1"):
        """Puts a settlement file into the inbox; its key."""
        file = settlement_export.File(network, self.now[:10], reference, rows)
        key = f"inbox/{network}/{name}"
        self.put(key, settlement_export.written(file, "1").encode())
        return key

    def decide(self, network_ref, record, action="accept", reason="as agreed"):
        """An operator's decision, as the operators' API puts it into the store."""
        decision = {"network_ref": network_ref, "record": record, "action": action, "reason": reason}
        part = settlement.part_of(network_ref, 3)
        self.put(f"resolutions/{part}/{network_ref}~{record}.json", json.dumps(decision).encode())

    # What is there

    @staticmethod
    def put(key, content):
        clients.client("s3", read_timeout=60).put_object(Bucket=BUCKET, Key=key, Body=content)

    @staticmethod
    def feed():
        """The keys of the feed."""
        answer = clients.client("s3", read_timeout=60).list_objects_v2(Bucket=BUCKET, Prefix="feed/")
        return [found["Key"] for found in answer.get("Contents", ())]

    @staticmethod
    def objects():
        """The bucket's objects by key."""
        s3 = clients.client("s3", read_timeout=60)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def read(self, key):
        return json.loads(self.objects()[key])

    @staticmethod
    def results():
        """The results in the table, by payment and record."""
        items = [records.plain(item) for item in stored("settlements")]
        return {(item["network_ref"], item["line"]): item for item in items if "class" in item}

    def classes(self):
        return Counter(item["class"] for item in self.results().values())

    def clearing(self, network="visa", currency="USD"):
        """The posted balance of a clearing account by the journals themselves."""
        entries = [entry for found in self.journals() for entry in found.entries]
        ours = [entry for entry in entries if (entry.account, entry.currency) == (f"network:{network}", currency)]
        return sum(entry.signed for entry in ours)

    def snapshot(self):
        """Everything that is there, to `restore`."""
        backend = get_backend("dynamodb")["123456789012"]["us-east-1"]
        tables = {name: copy.deepcopy(table.items) for name, table in backend.tables.items()}
        return tables, self.objects(), set(self.projected), self.chunk

    def restore(self, snapshot):
        tables, objects, projected, self.chunk = snapshot
        self.projected = set(projected)
        backend = get_backend("dynamodb")["123456789012"]["us-east-1"]
        for name, items in tables.items():
            backend.tables[name].items = copy.deepcopy(items)
        for key in self.objects().keys() - objects.keys():
            clients.client("s3", read_timeout=60).delete_object(Bucket=BUCKET, Key=key)
        for key, content in objects.items():
            self.put(key, content)


class Context:
    """What Lambda passes beside the event."""

    left = 600_000

    def get_remaining_time_in_millis(self):
        return self.left


def stored(table):
    """What is in a table of moto's, without a request."""
    backend = get_backend("dynamodb")["123456789012"]["us-east-1"]
    return [item.to_json()["Attributes"] for item in backend.tables[table].all_items()]
