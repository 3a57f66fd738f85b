"""What is booked beside payments: payouts, fees and adjustments of a merchant's account, reversals, and settlements."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from functions.ledger import fencing
from payments import books, clock, identifiers, regions, transfers
from payments.journal import IrreversibleJournal, Journal, reversal
from payments.money import InvalidMoney
from payments.records import journal_record


class Transfer(msgspec.Struct, frozen=True, tag_field="kind"):
    """A booking on a merchant's account. `reference` names it: the same reference twice is one booking."""

    merchant_id: str
    reference: str
    amount: int
    currency: str
    reason: str


class Payout(Transfer, frozen=True, tag_field="kind", tag="payout"):
    """Money sent to the merchant's bank."""


class Fee(Transfer, frozen=True, tag_field="kind", tag="fee"):
    """A fee that belongs to no payment."""


class Adjustment(Transfer, frozen=True, tag_field="kind", tag="adjustment"):
    """Given to the merchant, or, where the amount is negative, taken."""


class Reversal(msgspec.Struct, frozen=True, tag_field="kind", tag="reversal"):
    """Takes another journal back."""

    payment_id: str
    journal_id: str
    reason: str


class Settlement(msgspec.Struct, frozen=True, tag_field="kind", tag="settlement"):
    """What a card network settled of a shard's payments; see `transfers.Settled`."""

    shard: Annotated[int, Meta(ge=0, lt=identifiers.SHARDS)]
    reference: Annotated[str, Meta(min_length=1, max_length=500)]
    network: str
    currency: str
    captured: int
    returned: int
    fees: int
    written_off: int
    reason: str | None = None


Booking = Payout | Fee | Adjustment | Reversal | Settlement


def book(booking: Booking) -> dict[str, Any]:
    """Writes the booking's journal, once, in the region that writes for its shard only: two regions could book the same
    reference with different contents, and one journal would take the other's place.

    `written`, `exists`, `conflict` (another booking has that reference), or `refused`. What any region has booked is
    `exists`, or `conflict`, in each that knows of it.
    """
    try:
        journal = _journal(booking, clock.now())
    except (InvalidMoney, IrreversibleJournal) as error:
        return _refused("invalid_booking", str(error))
    if journal is None:
        return _refused("journal_not_found", "There is no such journal.")
    standing = books.find_journal(journal.payment_id, journal.journal_id)
    if standing is None:
        if refusal := fencing.refusal(identifiers.shard_of(journal.payment_id)):
            return _refused(*refusal)
        standing = books.book(journal)
    result: Literal["written", "exists", "conflict"] = "written"
    if standing is not journal:
        result = "exists" if (standing.entries, standing.reason) == (journal.entries, journal.reason) else "conflict"
    return {"result": result, "journal": journal_record(standing, regions.here())}


def _journal(booking: Booking, at: str) -> Journal | None:
    """The journal of the booking; None when what it reverses is not there."""
    match booking:
        case Reversal(payment_id, journal_id, reason):
            found = {journal.journal_id: journal for journal in books.journals(payment_id)}
            return reversal(found[journal_id], at, reason) if journal_id in found else None
        case Settlement():
            settled = transfers.Settled(booking.captured, booking.returned, booking.fees, booking.written_off)
            names = booking.shard, booking.reference, booking.network, booking.currency
            return transfers.settlement(*names, settled, at, booking.reason)
        case Payout():
            build = transfers.payout
        case Fee():
            build = transfers.fee
        case Adjustment():
            build = transfers.adjustment
    return build(booking.merchant_id, booking.reference, booking.amount, booking.currency, at, booking.reason)


def _refused(code: str, message: str) -> dict[str, Any]:
    return {"result": "refused", "code": code, "message": message}
