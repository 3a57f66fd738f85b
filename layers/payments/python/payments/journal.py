"""Double-entry journals in two phases, never changed once written; a journal that does not balance cannot be built.

The phases are those of TigerBeetle's transfers: an amount is reserved (pending) and later taken to its end in parts
(post_pending, void_pending), or it is posted at once. Each account has the four counters of `Balance`.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Side(StrEnum):
    """The side of an account that an entry is written on."""

    DEBIT = "debit"
    CREDIT = "credit"


class Phase(StrEnum):
    """What an entry does to its side of the account."""

    PENDING = "pending"
    """Reserves the amount."""
    POST_PENDING = "post_pending"
    """Takes a reserved amount, or a part of it, to posted."""
    VOID_PENDING = "void_pending"
    """Releases a reserved amount, or a part of it."""
    POSTED = "posted"
    """Posts the amount at once."""


class Kind(StrEnum):
    """What a journal records."""

    CHARGE = "charge"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    FEE = "fee"
    CHARGEBACK = "chargeback"
    REPRESENTMENT = "representment"
    SETTLEMENT = "settlement"
    PAYOUT = "payout"
    ADJUSTMENT = "adjustment"
    REVERSAL = "reversal"


class UnbalancedJournal(ValueError):
    """Debits and credits of a journal differ in some currency and phase, or an entry is not a positive amount."""


class IrreversibleJournal(ValueError):
    """The journal reserves amounts or ends reservations: its payment's own steps undo it, a reversal cannot."""


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
    """A set of entries that balances per currency and phase; immutable once written.

    `payment_id` is the payment, or the transfer (`out_…`, `fee_…`, `adj_…`), that it belongs to. `journal_id` is
    unique within it and derived from what caused it, so that the same cause written twice, or in two regions, is
    one journal. `sequence` is the payment's after the step, `created_at` RFC 3339 in UTC with milliseconds, `reverses`
    the journal that this one corrects. Raises `UnbalancedJournal`.
    """

    payment_id: str
    journal_id: str
    kind: Kind
    created_at: str
    entries: tuple[Entry, ...]
    sequence: int = 1
    reason: str | None = None
    reverses: str | None = None

    def __post_init__(self) -> None:
        if not self.entries:
            raise UnbalancedJournal("a journal has entries")
        if any(isinstance(entry.amount, bool) or not isinstance(entry.amount, int) for entry in self.entries):
            raise UnbalancedJournal("an entry's amount is an integer")
        if any(entry.amount <= 0 for entry in self.entries):
            raise UnbalancedJournal("an entry has a positive amount")
        unbalanced = {key: total for key, total in totals(self.entries).items() if total}
        if unbalanced:
            raise UnbalancedJournal(f"debits and credits differ: {unbalanced}")
        if (self.kind is Kind.REVERSAL) is not bool(self.reverses):
            raise UnbalancedJournal("a reversal names what it reverses, and nothing else does")


def totals(entries: Iterable[Entry]) -> dict[tuple[str, Phase], int]:
    """Signed sums of the entries by currency and phase; of balanced books every one is zero."""
    sums: defaultdict[tuple[str, Phase], int] = defaultdict(int)
    for entry in entries:
        sums[entry.currency, entry.phase] += entry.signed
    return dict(sums)


def transfer(debited: str, credited: str, amount: int, currency: str, phase: Phase = Phase.POSTED) -> tuple[Entry, ...]:
    """The balanced pair of entries that moves an amount; none for an amount of zero."""
    if amount == 0:
        return ()
    return (
        Entry(debited, Side.DEBIT, phase, amount, currency),
        Entry(credited, Side.CREDIT, phase, amount, currency),
    )


def reversal(journal: Journal, at: str, reason: str) -> Journal:
    """The journal that takes another one back: the same amounts on the other sides. Raises `IrreversibleJournal`."""
    if journal.reverses or any(entry.phase is not Phase.POSTED for entry in journal.entries):
        raise IrreversibleJournal(f"a {journal.kind} cannot be reversed by itself")
    return Journal(
        journal.payment_id,
        f"reversal#{journal.journal_id}",
        Kind.REVERSAL,
        at,
        undone(journal.entries),
        journal.sequence,
        reason,
        reverses=journal.journal_id,
    )


def undone(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries that take these back: what they reserved is released, what they took to its end is reserved again,
    and what they posted is posted on the other side. They balance if these do."""
    return tuple(
        replace(entry, phase=phase, side=entry.side if same_side else _OTHER[entry.side])
        for entry in entries
        for phase, same_side in _UNDONE[entry.phase]
    )


_OTHER = {Side.DEBIT: Side.CREDIT, Side.CREDIT: Side.DEBIT}
_UNDONE: dict[Phase, tuple[tuple[Phase, bool], ...]] = {
    Phase.PENDING: ((Phase.VOID_PENDING, True),),
    Phase.POST_PENDING: ((Phase.PENDING, True), (Phase.POSTED, False)),
    Phase.VOID_PENDING: ((Phase.PENDING, True),),
    Phase.POSTED: ((Phase.POSTED, False),),
}
"""The phases that take a phase back, and whether on its side."""

EFFECTS: dict[Phase, tuple[int, int]] = {
    Phase.PENDING: (1, 0),
    Phase.POST_PENDING: (-1, 1),
    Phase.VOID_PENDING: (-1, 0),
    Phase.POSTED: (0, 1),
}
"""What an entry of each phase adds, in amounts, to its side's pending and its side's posted counter."""


@dataclass(frozen=True, slots=True)
class Balance:
    """The four counters of an account in one currency, in minor units."""

    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0

    def __add__(self, other: "Balance") -> "Balance":
        return Balance(
            self.debits_pending + other.debits_pending,
            self.debits_posted + other.debits_posted,
            self.credits_pending + other.credits_pending,
            self.credits_posted + other.credits_posted,
        )

    def after(self, entry: Entry) -> "Balance":
        """The balance with this entry counted."""
        pending, posted = (factor * entry.amount for factor in EFFECTS[entry.phase])
        if entry.side is Side.DEBIT:
            return self + Balance(debits_pending=pending, debits_posted=posted)
        return self + Balance(credits_pending=pending, credits_posted=posted)

    @property
    def debit(self) -> int:
        """The posted balance of an asset or expense: debits less credits."""
        return self.debits_posted - self.credits_posted

    @property
    def available(self) -> int:
        """What of a liability can be paid out: posted credits less posted debits and less what is reserved to leave."""
        return self.credits_posted - self.debits_posted - self.debits_pending

    @property
    def balanced(self) -> bool:
        """Whether debits equal credits, which holds for the sum over all accounts."""
        return (self.debits_pending, self.debits_posted) == (self.credits_pending, self.credits_posted)
