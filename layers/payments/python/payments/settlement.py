"""What a journal means to settlement: the facts that reconciliation compares with what the card networks say.

Pure. A fact is what one journal did to a payment's claim on a card network (docs/reconciliation.md, "A fact"). The
signed sum of a journal's facts is what it adds to the networks' clearing accounts, whatever journal it is.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from hashlib import md5

from payments import accounts, identifiers
from payments.journal import EFFECTS, Kind, Phase, Side
from payments.lifecycle import CAPTURE, REFUSED
from payments.records import StoredJournal


class FactKind(StrEnum):
    """What a journal did; `sign` is what it does to the clearing account."""

    AUTHORIZATION = "authorization"
    """An amount is reserved."""
    RELEASE = "release"
    """Of what was reserved, an amount will not be captured."""
    CAPTURE = "capture"
    """The network owes us an amount."""
    FAILED_CAPTURE = "failed_capture"
    """The network has refused a capture that was booked: it does not owe us its amount."""
    REFUND = "refund"
    """We owe the network an amount."""
    CHARGEBACK = "chargeback"
    """The network took an amount back."""
    REPRESENTMENT = "representment"
    """The network gives it to us again."""
    SETTLEMENT = "settlement"
    """Whatever else credits a clearing account: what was owed to us is settled, or its settlement is taken back."""
    UNSETTLEMENT = "unsettlement"
    """Whatever else debits a clearing account."""

    @property
    def sign(self) -> int:
        """1 where the fact debits the clearing account, -1 where it credits it, and 0 where it does not touch it."""
        return _SIGNS.get(self, 0)


_SIGNS = {
    FactKind.CAPTURE: 1,
    FactKind.REPRESENTMENT: 1,
    FactKind.UNSETTLEMENT: 1,
    FactKind.FAILED_CAPTURE: -1,
    FactKind.REFUND: -1,
    FactKind.CHARGEBACK: -1,
    FactKind.SETTLEMENT: -1,
}

_MOVEMENTS: dict[tuple[str, Side], FactKind] = {
    (Kind.CAPTURE, Side.DEBIT): FactKind.CAPTURE,
    (Kind.REFUND, Side.CREDIT): FactKind.REFUND,
    (Kind.CHARGEBACK, Side.CREDIT): FactKind.CHARGEBACK,
    (Kind.REPRESENTMENT, Side.DEBIT): FactKind.REPRESENTMENT,
}
"""What a payment's journal of a kind means by an entry on this side of a clearing account."""

_RESERVATIONS = {Phase.PENDING: FactKind.AUTHORIZATION, Phase.VOID_PENDING: FactKind.RELEASE}
"""What a debit of a customer means; a refund credits the customer."""

_Name = tuple[FactKind, str | None, str]
"""Kind, network and currency: what names a fact within its journal."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What a journal did to a claim: `amount` is positive, in minor units of the currency.

    `network_ref` is empty where the journal is no payment's, `movement` (`cap_…`, `ref_…`, `dsp_…`) where no operation
    made it, or nothing that a network settles. `merchant_id` is None where the journal has no merchant, `network` where
    it touches no clearing account. `fee` is what the journal charged the merchant; of its facts in a currency the first
    has it. `at` is the journal's `created_at`.
    """

    network_ref: str
    payment_id: str
    merchant_id: str | None
    shard: int
    journal_id: str
    kind: FactKind
    movement: str
    network: str | None
    currency: str
    amount: int
    fee: int
    at: str


def facts(journal: StoredJournal) -> list[Fact]:
    """The facts of a journal, at most one per kind, network and currency; of most journals there is one, or none.

    Raises nothing, whatever journal the ledger holds: its amounts count by their sign, and what is no step of a payment
    is a settlement.
    """
    fees = _fees(journal)
    return [
        Fact(
            identifiers.network_reference(journal.payment_id) if _is_payment(journal) else "",
            journal.payment_id,
            _merchant(journal),
            identifiers.shard_of(journal.payment_id),
            journal.journal_id,
            kind,
            _movement(kind, journal.journal_id),
            network,
            currency,
            amount,
            fees.pop(currency, 0),
            journal.created_at,
        )
        for (kind, network, currency), amount in _amounts(journal).items()
        if amount > 0
    ]


def part_of(reference: str, parts: int) -> int:
    """The part, 0 to `parts` - 1, that a reference belongs to: the first 32 bits of the MD5 of its UTF-8, modulo
    `parts`; 0 for what has no reference. MD5 because DuckDB has it, too; it only spreads."""
    return int(md5(reference.encode(), usedforsecurity=False).hexdigest()[:8], 16) % parts if reference else 0


def _amounts(journal: StoredJournal) -> Counter[_Name]:
    """What is reserved and released, and what each clearing account is debited and credited, not netted."""
    found: Counter[_Name] = Counter()
    for entry in journal.entries:
        kind, _, name = entry.account.partition(":")
        if kind == "network" and (posted := entry.signed * EFFECTS[entry.phase][1]):
            found[_on_clearing(journal, posted), name, entry.currency] += abs(posted)
        elif kind == "customer" and entry.side is Side.DEBIT and entry.phase in _RESERVATIONS and _is_payment(journal):
            found[_RESERVATIONS[entry.phase], None, entry.currency] += entry.amount
    return found


def _on_clearing(journal: StoredJournal, posted: int) -> FactKind:
    """What it is that a journal adds this amount to a clearing account."""
    if posted < 0 and _is_payment(journal) and journal.journal_id.endswith(REFUSED):
        return FactKind.FAILED_CAPTURE
    side, other = (Side.DEBIT, FactKind.UNSETTLEMENT) if posted > 0 else (Side.CREDIT, FactKind.SETTLEMENT)
    # As text, because nobody has checked that a journal's kind is one.
    return _MOVEMENTS.get((str(journal.kind), side), other) if _is_payment(journal) else other


def _movement(kind: FactKind, journal_id: str) -> str:
    """The operation that a network settles, or would have settled, by the id of its journal: `ref_…#succeeded` is that
    of `ref_…`."""
    if not (kind in _MOVEMENTS.values() or kind is FactKind.FAILED_CAPTURE) or journal_id == CAPTURE:
        return ""
    return journal_id.partition("#")[0]


def _fees(journal: StoredJournal) -> Counter[str]:
    """What was charged, by currency."""
    found: Counter[str] = Counter()
    for entry in journal.entries:
        if entry.account == accounts.FEES:
            found[entry.currency] -= entry.signed * EFFECTS[entry.phase][1]
    return found


def _merchant(journal: StoredJournal) -> str | None:
    """The journal's merchant; of a wrong one that has several, the first."""
    return min((owner for entry in journal.entries if (owner := accounts.owner(entry.account))), default=None)


def _is_payment(journal: StoredJournal) -> bool:
    return journal.payment_id.startswith("pay_")
