"""The books as `payments demo` shows them: journals and balances, read from the tables like an auditor."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from local.client import until
from local.deploy import aws
from local.invoke import items, plain
from local.settings import REGIONS, Settings

_ARRIVAL_SECONDS = 30
_COUNTERS = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")


class Books:
    """What the tables of the local cloud hold."""

    def __init__(self, at: Settings, console: Console):
        self._at, self._console = at, console

    def journals(self, payment_id: str) -> list[dict[str, Any]]:
        """The payment's journals in all regions."""
        return [journal for region in REGIONS for journal in items(self._at, region, "ledger", payment_id)]

    def show_journals(self, region: str, payment_id: str, expected: int = 2) -> list[dict[str, Any]]:
        """Prints a payment's journals once there are as many as expected. Raises `TimedOut`."""

        def found() -> list[dict[str, Any]] | None:
            journals = items(self._at, region, "ledger", payment_id)
            return sorted(journals, key=lambda found: int(found["sequence"])) if len(journals) >= expected else None

        journals = until(found, _ARRIVAL_SECONDS, f"{expected} journals of {payment_id} in {region}")
        table = Table("journal", "account", "debit", "credit", "phase", title=f"Journals of {payment_id}")
        for journal in journals:
            for entry in journal["entries"]:
                money = f"{entry['amount']} {entry['currency']}"
                sides = (money, "") if entry["side"] == "debit" else ("", money)
                table.add_row(journal["journal_id"], entry["account"], *sides, entry["phase"])
        self._console.print(table)
        return journals

    def show_balance(self, region: str, account: str) -> None:
        """Prints what the projector has summed up of an account, once there is something. Raises `TimedOut`."""
        look = partial(self._periods, region, account)
        table = Table("period", *_COUNTERS, title=f"Balances of {account} in {region}")
        for item in until(look, _ARRIVAL_SECONDS, f"the balance of {account}"):
            table.add_row(item["period"], *(str(item.get(name, 0)) for name in _COUNTERS))
        self._console.print(table)

    def all_journals(self, region: str) -> list[dict[str, Any]]:
        """The whole ledger of a region."""
        scan = aws(self._at, "dynamodb", region).get_paginator("scan")
        pages = scan.paginate(TableName="ledger", ConsistentRead=True)
        return [{name: plain(value) for name, value in item.items()} for page in pages for item in page["Items"]]

    def _periods(self, region: str, account: str) -> list[dict[str, Any]]:
        found = aws(self._at, "dynamodb", region).query(
            TableName="balances",
            KeyConditionExpression="#account = :account",
            ExpressionAttributeNames={"#account": "account"},
            ExpressionAttributeValues={":account": {"S": account}},
        )
        return [{name: plain(value) for name, value in item.items()} for item in found["Items"]]


def sums_of(journals: Iterable[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """The signed sum (debits positive) of all entries, per currency and phase."""
    sums: Counter[tuple[str, str]] = Counter()
    for journal in journals:
        for entry in journal["entries"]:
            signed = entry["amount"] if entry["side"] == "debit" else -entry["amount"]
            sums[entry["currency"], entry["phase"]] += signed
    return sums
