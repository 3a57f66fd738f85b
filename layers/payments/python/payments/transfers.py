"""Journals beside the life of a payment: payouts, fees and adjustments of a merchant's account, and settlements.

Pure. A transfer's id is derived from its merchant and reference, a settlement's from its shard and reference: the same
booking twice is one journal. Amounts are integers in the currency's minor unit.
"""

from dataclasses import dataclass

from payments import accounts, identifiers
from payments.journal import Entry, Journal, Kind, Phase, Side, transfer
from payments.money import InvalidMoney, exponent

MAXIMUM_TRANSFER = 10**15 - 1
"""Largest amount of one transfer: fifteen digits, which every JSON reader keeps exactly. A charge's own limit is far
smaller, but a payout gathers many charges."""

_PREFIXES = {Kind.PAYOUT: "out", Kind.FEE: "fee", Kind.ADJUSTMENT: "adj"}


def payout(merchant_id: str, reference: str, amount: int, currency: str, at: str, reason: str | None = None) -> Journal:
    """Money sent to the merchant's bank: owed no longer, and no longer at ours. Raises `InvalidMoney`."""
    _check(amount, currency)
    entries = transfer(accounts.merchant(merchant_id), accounts.BANK, amount, currency)
    return _journal(Kind.PAYOUT, merchant_id, reference, entries, at, reason)


def fee(merchant_id: str, reference: str, amount: int, currency: str, at: str, reason: str | None = None) -> Journal:
    """A fee that belongs to no payment, such as a month's. Raises `InvalidMoney`."""
    _check(amount, currency)
    entries = transfer(accounts.merchant(merchant_id), accounts.FEES, amount, currency)
    return _journal(Kind.FEE, merchant_id, reference, entries, at, reason)


def adjustment(
    merchant_id: str, reference: str, amount: int, currency: str, at: str, reason: str | None = None
) -> Journal:
    """An amount given to the merchant, or taken when it is negative. Raises `InvalidMoney`, also for zero."""
    _check(abs(amount) if _is_integer(amount) else amount, currency)
    expense, owed = accounts.ADJUSTMENTS, accounts.merchant(merchant_id)
    debited, credited = (expense, owed) if amount > 0 else (owed, expense)
    entries = transfer(debited, credited, abs(amount), currency)
    return _journal(Kind.ADJUSTMENT, merchant_id, reference, entries, at, reason)


@dataclass(frozen=True, slots=True)
class Settled:
    """What a card network settled in one currency, in minor units.

    `captured` is what it owed (captures, representments), `returned` what was owed to it (refunds, chargebacks), both
    as the ledger has them; `fees` is what it kept, and `written_off` what it paid too little and nobody will claim.
    Each may be negative: a correction of what was booked before, a fee given back, a difference in our favour.
    Raises `InvalidMoney` when one is not an integer within `MAXIMUM_TRANSFER`.
    """

    captured: int = 0
    returned: int = 0
    fees: int = 0
    written_off: int = 0

    def __post_init__(self) -> None:
        for amount in (self.captured, self.returned, self.fees, self.written_off):
            if not _is_integer(amount) or abs(amount) > MAXIMUM_TRANSFER:
                raise InvalidMoney(f"an amount settled is an integer of at most {MAXIMUM_TRANSFER}")

    @property
    def paid(self) -> int:
        """What the bank got of the network; negative where the bank paid."""
        return self.captured - self.returned - self.fees - self.written_off


def settlement(
    shard: int, reference: str, network: str, currency: str, settled: Settled, at: str, reason: str | None = None
) -> Journal:
    """The card network has settled payments of a shard: it owes them no longer, less its fees the bank has the money.

    Captures and returns stand on their own sides of the clearing account, not netted. Raises `InvalidMoney` when there
    is nothing to book, or no such network.
    """
    exponent(currency)
    if network not in accounts.NETWORKS:
        raise InvalidMoney("there is no clearing account of this network")
    clearing = accounts.network(network)
    entries = (
        *_entry(clearing, -settled.captured, currency),
        *_entry(clearing, settled.returned, currency),
        *_entry(accounts.NETWORK_FEES, settled.fees, currency),
        *_entry(accounts.ADJUSTMENTS, settled.written_off, currency),
        *_entry(accounts.BANK, settled.paid, currency),
    )
    if not entries:
        raise InvalidMoney("nothing was settled")
    settlement_id = identifiers.settlement_id(shard, reference)
    return Journal(settlement_id, str(Kind.SETTLEMENT), Kind.SETTLEMENT, at, entries, reason=reason)


def _entry(account: str, amount: int, currency: str) -> tuple[Entry, ...]:
    """The entry that adds an amount: a debit, or a credit where it is negative; none for zero."""
    if amount == 0:
        return ()
    return (Entry(account, Side.DEBIT if amount > 0 else Side.CREDIT, Phase.POSTED, abs(amount), currency),)


def _check(amount: int, currency: str) -> None:
    if not _is_integer(amount) or not 1 <= amount <= MAXIMUM_TRANSFER:
        raise InvalidMoney(f"amount must be an integer between 1 and {MAXIMUM_TRANSFER}")
    exponent(currency)


def _is_integer(amount: object) -> bool:
    return isinstance(amount, int) and not isinstance(amount, bool)


def _journal(
    kind: Kind, merchant_id: str, reference: str, entries: tuple[Entry, ...], at: str, reason: str | None
) -> Journal:
    transfer_id = identifiers.transfer_id(_PREFIXES[kind], merchant_id, reference)
    return Journal(transfer_id, str(kind), kind, at, entries, reason=reason)
