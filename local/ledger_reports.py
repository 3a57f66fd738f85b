"""What accountants ask for: the trial balance, a merchant's statement, the T-accounts of a payment."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from local.ledger import ACCOUNTS, BALANCES, Item, Region
from local.ledger_rebuild import counters
from payments import accounts, identifiers, projection, records
from payments.journal import Balance, Entry
from payments.records import MERCHANT_BUCKETS, StoredJournal

TrialBalance = dict[str, dict[str, Balance]]
"""By currency and control account."""


def trial_balance(region: Region, until: str | None = None) -> TrialBalance:
    """The general ledger over all shards at the end of a UTC day (`2026-11-23`), by default of now."""
    found: TrialBalance = {}
    for shard in range(identifiers.SHARDS):
        for item in _periods(region, projection.shard_account(shard)):
            currency, _, day = item["period"]["S"].partition("#")
            if until is not None and day[:10] > until:
                continue
            sums = found.setdefault(currency, {})
            for control, balance in projection.trial_balance(counters(item)).items():
                sums[control] = sums.get(control, Balance()) + balance
    return {currency: dict(sorted(sums.items())) for currency, sums in sorted(found.items())}


def total(balances: Iterable[Balance]) -> Balance:
    """The sum; it is balanced as long as the books are."""
    found = Balance()
    for balance in balances:
        found += balance
    return found


@dataclass(frozen=True)
class Line:
    """A journal on a statement: its entries on the account, and the balance after them."""

    journal: StoredJournal
    entries: tuple[Entry, ...]
    balance: Balance


@dataclass(frozen=True)
class Statement:
    """An account in one currency at an instant: the balance when its day began, and the day's journals up to it."""

    account: str
    currency: str
    opening: Balance
    lines: tuple[Line, ...]

    @property
    def closing(self) -> Balance:
        """The balance at the instant."""
        return self.lines[-1].balance if self.lines else self.opening


def currencies(region: Region, account: str) -> list[str]:
    """The currencies in which there is a balance."""
    return sorted({item["period"]["S"].partition("#")[0] for item in _periods(region, account)})


def statement(region: Region, account: str, currency: str, at: str) -> Statement:
    """The account of a merchant (`merchant:mer_…` or `disputes:mer_…`) at an instant, RFC 3339 in UTC."""
    before = (
        projection.balance(counters(item))
        for item in _periods(region, account)
        if item["period"]["S"].startswith(f"{currency}#") and item["period"]["S"] < f"{currency}#{at[:10]}"
    )
    balance = opening = total(before)
    lines = []
    for journal in sorted(_history(region, account, at), key=lambda found: (found.created_at, found.sequence)):
        entries = tuple(entry for entry in journal.entries if (entry.account, entry.currency) == (account, currency))
        for entry in entries:
            balance = balance.after(entry)
        if entries:
            lines.append(Line(journal, entries, balance))
    return Statement(account, currency, opening, tuple(lines))


def available(region: Region, merchant_id: str, currency: str) -> int:
    """What can be paid out to the merchant now, in minor units."""
    account = accounts.merchant(merchant_id)
    periods = (item for item in _periods(region, account) if item["period"]["S"].startswith(f"{currency}#"))
    return total(projection.balance(counters(item)) for item in periods).available


def t_accounts(items: Iterable[Item]) -> dict[tuple[str, str], list[tuple[str, Entry]]]:
    """The entries of these journals by account and currency, each with its journal's id, in their order."""
    found: dict[tuple[str, str], list[tuple[str, Entry]]] = {}
    for item in items:
        journal = StoredJournal.of(item)
        for entry in journal.entries:
            found.setdefault((entry.account, entry.currency), []).append((journal.journal_id, entry))
    return found


def _periods(region: Region, account: str) -> Iterator[dict[str, Any]]:
    return region.query(BALANCES, "account = :account", {":account": account})


def _history(region: Region, account: str, at: str) -> Iterator[StoredJournal]:
    """The journals of the merchant in the instant's day, up to it."""
    merchant = accounts.owner(account)
    for bucket in range(MERCHANT_BUCKETS):
        rows = region.query(
            ACCOUNTS,
            "account = :account AND #position BETWEEN :since AND :until",
            {":account": f"{merchant}#{bucket}", ":since": at[:10], ":until": f"{at}$"},
            ExpressionAttributeNames={"#position": "position"},
        )
        yield from (StoredJournal.of(records.plain(row)["journal"]) for row in rows)
