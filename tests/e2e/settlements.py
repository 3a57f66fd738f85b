"""A few days of a card business in a minute: charges, refunds and disputes at the ledger and at the card networks, and
what must come of their settlement. All expectations are from the orders and from the networks' own record."""

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from local.client import TEST_CARD, new_card_number, new_key
from local.ledger import Region
from local.planting import Planted, plant
from local.planting_field import Mark
from local.settings import ACCOUNT, REGIONS
from local.settle import Network, Reconciliation, Settled, settle
from local.settlement_export import File, Row
from payments import identifiers, settlement
from payments.records import StoredJournal
from tests.e2e.cloud import FIRST, SECOND, Cloud, until
from tests.e2e.posting import Order, post

SEED = 20261123
CHARGES, THROUGH_THE_API = 2000, 8
NETWORKS, CURRENCIES = ("visa", "mastercard", "amex"), ("USD", "EUR", "JPY", "KWD")
TERMS = {
    "default": {
        "due_days": 3,
        "tolerance": {"USD": 5, "KWD": 20},
        "fee_tolerance": {"*": 1},
        "basis_points": 180,
        "fixed": {"*": 10},
    },
    "networks": {"amex": {"basis_points": 230}},
    "merchants": {},
}
PLANTED = {
    "missing_at_network": 6,
    "missing_in_ledger": 5,
    "unknown_refund": 3,
    "amount_mismatch": 8,
    "currency_mismatch": 4,
    "duplicate_at_network": 5,
    "fee_mismatch": 6,
    "split": 4,
    "split_mismatch": 3,
    "partial": 3,
    "batch": 3,
    "batch_mismatch": 2,
    "tolerated": 6,
    "bad_row": 4,
    "repeated_row": 4,
    "fee_line": 3,
}
WHOLE_FILES = {"truncated": 1, "repeated_file": 1}
ORPHANS_DAYS = 9
"""After so many days everything is due, and what was authorized and came to nothing is an orphan."""

SIGNS = {"capture": 1, "representment": 1, "refund": -1, "chargeback": -1}
SETTLING = {"matched", "fee_mismatch", "network_fee"}
"""Classes of lines whose money is booked."""

UNSETTLED = {"missing_at_network", "amount_mismatch", "currency_mismatch", "split_mismatch", "partial"}
"""Planted errors that leave the movement itself open."""

CHARGED_BACK = ("disputed", "represented", "refunded-twice")
"""Orders that a chargeback follows."""

Sums = Counter[tuple[str, str]]
"""Amounts in minor units by network and currency."""


@dataclass
class Story:
    """What happened, step by step."""

    cloud: Cloud
    orders: list[Order] = field(default_factory=lambda: orders(CHARGES))
    honest: tuple[File, ...] = field(init=False)
    planted: Planted = field(init=False)
    settled: Settled = field(init=False)

    def __post_init__(self) -> None:
        clients = Region(FIRST, lambda service, name: self.cloud.aws(service, name), ACCOUNT)
        self.reconciliation = Reconciliation(clients, self.cloud.aws("stepfunctions", FIRST), ACCOUNT)
        self.network = Network(self.cloud.endpoints["card_network"])
        self.bucket = f"payments-reconciliation-{ACCOUNT}-{FIRST}"
        self.today = datetime.now(UTC).date()

    @property
    def as_of(self) -> str:
        """The day of the last run."""
        return (self.today + timedelta(days=ORPHANS_DAYS)).isoformat()

    def happen(self) -> None:
        """Payments come about, and disputes of them; everything is in the first region's ledger and in the feed."""
        self.cloud.aws("s3").put_object(Bucket=self.bucket, Key="config/terms.json", Body=json.dumps(TERMS).encode())
        with ThreadPoolExecutor(3) as pool:
            done = [pool.submit(self._post, FIRST), pool.submit(self._post, SECOND), pool.submit(self._through_the_api)]
            for work in done:
                work.result()
        for order in self.orders:
            if order.key.startswith(CHARGED_BACK):
                self.dispute("chargeback", order)
        until(self._fed, 90, "every journal in the feed")

    def settle(self) -> None:
        """The networks settle, with errors planted, and the region reconciles as of a later day."""
        self.honest = tuple(self.network.cut(self.today.isoformat()))
        planted = plant(self.honest, PLANTED, SEED, self.reconciliation.tolerance())
        self.planted = replace(planted, marks=(*planted.marks, *self._refused_chargebacks(), *self._orphans()))
        self.settled = settle(self.reconciliation, self.planted, "1", WHOLE_FILES, self.as_of)

    def replay(self, key: str) -> None:
        """The event of a file that was taken comes once more, under another execution; waits for its end."""
        name = f"replayed-{new_key()}"
        event = {"detail": {"bucket": {"name": self.bucket}, "object": {"key": key}}}
        machines = self.cloud.aws("stepfunctions", FIRST)
        started = machines.start_execution(
            stateMachineArn=self.reconciliation.machine(), name=name, input=json.dumps(event)
        )

        def over() -> str | None:
            status = str(machines.describe_execution(executionArn=started["executionArn"])["status"])
            return None if status == "RUNNING" else status

        assert until(over, 120, "the replayed event") == "SUCCEEDED"

    def goes_on(self) -> None:
        """A dispute is won, lines come that were missing, and the networks settle once more, without errors."""
        (order,) = [order for order in self.orders if order.key.startswith("represented")]
        asked = {"command": "win_dispute", "payment_id": payment_id(order), "merchant_id": order.merchant_id}
        details = {"key": f"case-{order.key}#won", "fingerprint": "f" * 64, "amount": None}
        answer = self.cloud.ask("payments-ledger-command", asked | details, region_of(order))
        assert answer["result"] == "done", answer
        self.dispute("representment", order)
        until(self._same_everywhere, 60, "the dispute's end in both regions")
        late = {mark.row for mark in self.planted.marks if mark.kind == "missing_at_network"}
        again = [replace(file, reference=f"{file.reference}-late") for file in self.honest]
        again = [replace(file, rows=tuple(row for row in file.rows if row in late)) for file in again]
        files = (*self.network.cut(self.as_of), *(file for file in again if file.rows))
        self.planted = replace(
            self.planted, marks=tuple(mark for mark in self.planted.marks if mark.kind != "missing_at_network")
        )
        self.settled = settle(self.reconciliation, Planted(files, ()), "1", {}, self.as_of)

    def decided(self, mark: Mark) -> None:
        """What this mark planted is decided: nothing of it is open any more."""
        self.planted = replace(self.planted, marks=tuple(other for other in self.planted.marks if other != mark))

    def dispute(self, kind: str, order: Order) -> None:
        """The network takes an amount back of a payment, or returns it."""
        amount = order.amount // 2 if order.key.startswith("disputed-half") else order.amount
        body = {"kind": kind, "network_ref": network_ref(order), "case_ref": f"case-{order.key}", "amount": amount}
        url = f"{self.cloud.endpoints['card_network']}/disputes"
        answer = httpx.post(url, json=body | {"reason": "fraudulent"}, trust_env=False)
        assert answer.status_code == 200, answer.text

    def journals(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Every journal of the region, or those of a kind."""
        return [item for item in self.cloud.items("ledger", FIRST) if kind in (None, item["kind"])]

    def ledger(self, account: str, journals: Iterable[dict[str, Any]]) -> Sums:
        """What is posted on accounts that begin so in these journals, debits less credits, by account and currency."""
        sums: Sums = Counter()
        for journal in journals:
            for entry in journal["entries"]:
                if entry["account"].startswith(account) and entry["phase"] == "posted":
                    amount = int(entry["amount"]) * (1 if entry["side"] == "debit" else -1)
                    sums[entry["account"].removeprefix(account), entry["currency"]] += amount
        return sums

    def open_claims(self) -> Sums:
        """What the networks still owe, by network and currency: the movements that planted errors leave open."""
        open_ = {movement(mark.row) for mark in self.planted.marks if mark.kind in UNSETTLED}
        sums: Sums = Counter()
        for file in self.honest:
            for row in file.rows:
                if movement(row) in open_:
                    sums[file.network, row.currency] += SIGNS[row.type] * row.amount
        return sums

    def paid(self) -> tuple[Sums, Sums]:
        """What the bank got and what the networks kept, by their own files: of the lines that settle something."""
        bank, fees = Counter(), Counter()
        open_ = {mark.line_ref for mark in self.planted.marks if mark.class_ not in SETTLING}
        for row in {row for file in self.planted.files for row in file.rows if row.line_ref not in open_}:
            kept = row.amount if row.type == "fee" else row.fee
            fees["", row.currency] += kept
            bank["", row.currency] += SIGNS.get(row.type, 0) * row.amount - kept
        return bank, fees

    def _post(self, region: str) -> None:
        environment: dict[str, str] = {}
        for function in ("payments-ledger-command", "payments-network"):
            found = self.cloud.aws("lambda", region).get_function_configuration(FunctionName=function)
            environment |= found["Environment"]["Variables"]
        environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        environment |= {"AWS_ENDPOINT_URL": self.cloud.endpoints["regions"][region]["aws"]}
        post([order for order in self.orders if region_of(order) == region], region, environment)

    def _through_the_api(self) -> None:
        """Some payments take the whole way, and half of them a part of it back."""
        for number in range(THROUGH_THE_API):
            merchant = self.cloud.merchant((FIRST, SECOND)[number % 2])
            answer = merchant.charge(3000 + number % 5, card={**TEST_CARD, "number": new_card_number()})
            assert answer.status == 201, answer
            assert merchant.settled(answer.body["id"])["status"] == "succeeded"
            if number % 2:
                assert merchant.refund(answer.body["id"], 1000).status == 201
                self.cloud.finished(answer.body["id"])

    def _fed(self) -> bool:
        """Whether all journals of both regions are here, and their facts in the feed."""
        ledgers = [
            {(item["payment_id"], item["journal_id"]) for item in self.cloud.items("ledger", r)} for r in REGIONS
        ]
        if ledgers[0] != ledgers[1]:
            return False
        facts = [fact for item in self.journals() for fact in settlement.facts(StoredJournal.of(item).journal())]
        return {(fact.payment_id, fact.journal_id) for fact in facts} <= self._feed()

    def _same_everywhere(self) -> bool:
        first, second = (
            {(item["payment_id"], item["journal_id"]) for item in self.cloud.items("ledger", region)}
            for region in REGIONS
        )
        return first == second

    def _feed(self) -> set[tuple[str, str]]:
        pages = self.cloud.aws("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="feed/")
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        bodies = (self.cloud.aws("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys)
        facts = (json.loads(line) for body in bodies for line in gzip.decompress(body).splitlines())
        return {(fact["payment_id"], fact["journal_id"]) for fact in facts}

    def _refused_chargebacks(self) -> list[Mark]:
        """Chargebacks of payments that were refunded already: the ledger has nothing left to take them from."""
        refunded = {network_ref(order) for order in self.orders if order.key.startswith("refunded-twice")}
        rows = [row for file in self.honest for row in file.rows if row.type == "chargeback"]
        return [
            Mark("refused_chargeback", "missing_in_ledger", row, row.line_ref, row.amount)
            for row in rows
            if row.network_ref in refunded
        ]

    def _orphans(self) -> list[Mark]:
        """Charges whose event was lost: nobody asked the network."""
        lost = [order for order in self.orders if not order.told]
        rows = [Row("", "authorization", network_ref(order), "", order.amount, order.currency, 0, "") for order in lost]
        return [Mark("orphan", "orphan", row, "", row.amount) for row in rows]


def orders(count: int) -> list[Order]:
    """Orders of several merchants in both regions, networks and currencies; an order's key says what becomes of it."""
    chance, merchants, made = random.Random(SEED), _merchants(), []
    kinds = list(_KINDS) + chance.choices(list(_KINDS), [kind[0] for kind in _KINDS.values()], k=count - len(_KINDS))
    for number, kind in enumerate(kinds):
        _, changes = _KINDS[kind]
        amount = 2000 + 100 * chance.randrange(200) + chance.randrange(5)  # …05 and others would not be approved
        ordinary = {"amount": amount, "currency": chance.choice(CURRENCIES), "network": chance.choice(NETWORKS)}
        made.append(Order(merchants[number % len(merchants)], f"{kind}-{number}", **{**ordinary, **changes}))
    return made


_KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "captured": (64, {}),
    "refunded-partly": (10, {"then": (("refund", {"amount": 500}),)}),
    "refunded": (4, {"then": (("refund", {}),)}),
    "refund-declined": (1, {"then": (("refund", {"amount": 507}),)}),
    "refunded-twice": (0, {"then": (("refund", {}),)}),
    "captured-in-parts": (
        6,
        {"capture": False, "then": (("capture", {"amount": 700}), ("capture", {"amount": 900, "final": True}))},
    ),
    "captured-later": (3, {"capture": False, "then": (("capture", {}), ("refund", {"amount": 300}))}),
    "voided": (3, {"capture": False, "then": (("void", {}),)}),
    "declined": (2, {"amount": 2005}),
    "disputed": (4, {}),
    "disputed-half": (2, {}),
    "represented": (0, {}),
    "orphan": (0, {"told": False}),
    "orphan-too": (0, {"told": False}),
}
"""What becomes of a payment: its weight among all, of each at least one, and the order's details."""


def network_ref(order: Order) -> str:
    """What the card network knows the order's payment by."""
    return identifiers.network_reference(payment_id(order))


def payment_id(order: Order) -> str:
    """The payment of an order."""
    return identifiers.payment_id(order.merchant_id, order.key)


def movement(row: Row) -> tuple[str, str, str]:
    """What a row settles."""
    return row.network_ref, row.type, row.movement or row.case_ref


def region_of(order: Order) -> str:
    """The region that writes for the order's merchant."""
    return REGIONS[identifiers.merchant_shard(order.merchant_id) % 2]


def _merchants() -> list[str]:
    """Four merchants: two of each region."""
    names = [f"mer_settling{number}" for number in range(100)]
    return [name for parity in (0, 1) for name in [n for n in names if identifiers.merchant_shard(n) % 2 == parity][:2]]
