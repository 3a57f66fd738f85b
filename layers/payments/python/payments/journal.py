"""Double-entry journals in two phases: amounts are pending, then posted or voided, and never changed.

The phases are those TigerBeetle's two-phase transfers give an amount: an authorization reserves it (pending), a
capture moves it from pending to posted, a void from pending to voided. A journal that does not balance cannot be built.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from payments import accounts


class Side(StrEnum):
    """The side of an account that an entry is written on."""

    DEBIT = "debit"
    CREDIT = "credit"


class Phase(StrEnum):
    """What an entry does to its account: reserve (pending), or take a reserved amount to its end (posted, voided)."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"


class UnbalancedJournal(ValueError):
    """Debits and credits of a journal differ in some currency and phase, or an entry is not a positive amount."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal: an amount in minor units on one side of an account."""

    account: str
    side: Side
    phase: Phase
    amount: int
    currency: str

    @property
    def signed(self) -> int:
        """The amount with the sign of its side: debits are positive, credits negative."""
        return self.amount if self.side is Side.DEBIT else -self.amount


@dataclass(frozen=True, slots=True)
class Journal:
    """A set of entries of one payment that balances per currency and phase; immutable once written.

    `journal_id` is unique within the payment and derived from what caused it, so that the same cause written twice,
    or in two regions, is one journal. `created_at` is RFC 3339 in UTC with milliseconds.
    Raises `UnbalancedJournal`.
    """

    payment_id: str
    journal_id: str
    created_at: str
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if not self.entries:
            raise UnbalancedJournal("a journal has entries")
        if any(entry.amount <= 0 for entry in self.entries):
            raise UnbalancedJournal("an entry has a positive amount")
        unbalanced = {key: total for key, total in totals(self.entries).items() if total}
        if unbalanced:
            raise UnbalancedJournal(f"debits and credits differ: {unbalanced}")


def totals(entries: Iterable[Entry]) -> dict[tuple[str, Phase], int]:
    """Signed sums of the entries by currency and phase; of balanced books every one is zero."""
    sums: defaultdict[tuple[str, Phase], int] = defaultdict(int)
    for entry in entries:
        sums[entry.currency, entry.phase] += entry.signed
    return dict(sums)


@dataclass(frozen=True, slots=True)
class Parties:
    """The two accounts of a charge: who owes (the customer) and who is owed (the merchant)."""

    payer: str
    payee: str

    @classmethod
    def of(cls, merchant_id: str, customer_id: str | None) -> "Parties":
        """The parties of a charge of this merchant's customer."""
        return cls(accounts.customer(merchant_id, customer_id), accounts.merchant(merchant_id))

    def entries(self, phase: Phase, amount: int, currency: str) -> tuple[Entry, Entry]:
        """The balanced pair of entries that takes the amount into this phase."""
        return (
            Entry(self.payer, Side.DEBIT, phase, amount, currency),
            Entry(self.payee, Side.CREDIT, phase, amount, currency),
        )
