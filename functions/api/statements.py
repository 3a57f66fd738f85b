"""What stands on a merchant's accounts: sums of the projector's periods, and of the journals of an unfinished one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from functions.api import history
from payments import accounts, projection, records
from payments.buckets import LAST, Span
from payments.clients import client
from payments.journal import Balance
from payments.records import StoredJournal
from payments.settings import TableSettings, load

_JOURNALS_AT_ONCE = 4_000
"""How many journals are read at a time of a day that is summed up; of each bucket a little less than a megabyte."""


Balances = dict[str, Balance]
"""An account's balances by currency."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A merchant's accounts: what is owed to the merchant, and what is held in disputes."""

    owed: Balances
    held: Balances

    @property
    def currencies(self) -> list[str]:
        """Every currency that the merchant had anything to do with."""
        return sorted({*self.owed, *self.held})


def current(merchant_id: str) -> Standing:
    """What stands on the merchant's accounts, as far as this region's projector has come."""
    return _before(merchant_id, LAST)


def at(merchant_id: str, instant: str) -> Standing:
    """What stood there when everything up to and including an instant (a time as the platform writes it) was booked:
    the periods of the days before, and the journals of its own day."""
    standing = _before(merchant_id, instant[:10])
    counted = {accounts.merchant(merchant_id): standing.owed, accounts.disputes(merchant_id): standing.held}
    merged = history.journals(merchant_id, Span(instant[:10], history.through(instant)))
    while items := merged.take(_JOURNALS_AT_ONCE):
        for entry in (entry for item in items for entry in StoredJournal.of(item["journal"]).entries):
            if entry.account in counted:
                balances = counted[entry.account]
                balances[entry.currency] = balances.get(entry.currency, Balance()).after(entry)
    return standing


def _before(merchant_id: str, day: str) -> Standing:
    """The sums of all periods of days before this one."""
    return Standing(_periods(accounts.merchant(merchant_id), day), _periods(accounts.disputes(merchant_id), day))


def _periods(account: str, before: str) -> Balances:
    """The sums of an account's periods of days before this one."""
    found: Balances = {}
    for item in _items(account):
        currency, _, day = item["period"].partition("#")
        if day < before:
            found[currency] = found.get(currency, Balance()) + projection.balance(item)
    return found


def _items(account: str) -> Iterator[dict[str, Any]]:
    """All periods of an account, as plain items."""
    pages = (
        client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=load(TableSettings).balances_table,
            KeyConditionExpression="account = :account",
            ExpressionAttributeValues={":account": {"S": account}},
            ConsistentRead=True,
        )
    )
    return (records.plain(item) for page in pages for item in page["Items"])
