"""Journals beside the life of a payment: payouts, fees and adjustments of a merchant's account, and settlements.

Pure. A transfer's id is derived from its merchant and reference, a settlement's journal id from the line of the
network's file: the same booking twice is one journal. Amounts are integers in the currency's minor unit.
"""

from payments import accounts, identifiers
from payments.journal import Entry, Journal, Kind, transfer
from payments.lifecycle import Payment
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


def settlement(payment: Payment, amount: int, network_fee: int, line_ref: str, at: str) -> Journal:
    """The card network has paid an amount of the payment, less its fee, as a line of its settlement file says.

    A journal of the payment, `settlement#<line_ref>`, that leaves its state as it is. Raises `InvalidMoney` unless the
    fee is between 0 and the amount.
    """
    _check(amount, payment.currency)
    if not _is_integer(network_fee) or not 0 <= network_fee <= amount:
        raise InvalidMoney("a network's fee is an integer between 0 and the amount")
    clearing = accounts.network(payment.card["network"])
    entries = transfer(accounts.BANK, clearing, amount - network_fee, payment.currency) + transfer(
        accounts.NETWORK_FEES, clearing, network_fee, payment.currency
    )
    return Journal(payment.payment_id, f"settlement#{line_ref}", Kind.SETTLEMENT, at, entries, payment.sequence)


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
