"""What accepting a discrepancy of settlement books: the network's figure is right (docs/operators_api.md, "Decisions").

Pure. Whatever the class, afterwards the movement has nothing left on the clearing account, and the bank has what the
network paid or took. Amounts are integers in the currency's minor unit. A record is an item of the table `settlements`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from payments.money import InvalidMoney
from payments.transfers import Settled

OPEN = frozenset(
    {
        "missing_at_network",
        "missing_in_ledger",
        "amount_mismatch",
        "currency_mismatch",
        "duplicate_at_network",
        "fee_mismatch",
        "batch_mismatch",
        "orphan",
    }
)
"""Classes that somebody must look at."""

_HOLDS_CLEARING = frozenset({"missing_at_network", "amount_mismatch"})
"""The movement's own money is still on the clearing account. Of the other classes it is settled, or was never there."""

_BOOKED_ALREADY = frozenset({"fee_mismatch", "orphan"})
"""The run has booked it as it came, or there is nothing to book: only the record is closed."""

_DIRECTIONS = {"capture": 1, "representment": 1, "refund": -1, "chargeback": -1}
"""1 where the network pays, -1 where it takes."""

Record = Mapping[str, Any]


class NotBookable(ValueError):
    """The record is of no type or no amount that can be booked; the message says what is wrong."""


def is_open(record: Record) -> bool:
    """Whether somebody must look at it, and nobody has decided it."""
    return record["class"] in OPEN and "resolution" not in record


def decided_with(record: Record, others: Sequence[Record]) -> list[Record]:
    """The records that are decided with this one, itself first: the lines of a split settlement are one movement."""
    if not record.get("split"):
        return [record]
    same = ("class", "type", "movement", "currency")
    alike = [other for other in others if other.get("split") and all(other.get(it) == record.get(it) for it in same)]
    return [record, *(other for other in alike if other["line"] != record["line"] and is_open(other))]


def settled(records: Sequence[Record]) -> Settled | None:
    """What the network has settled, as its own figures have it, for records that are decided together.

    None where there is nothing to book. Raises `NotBookable`.
    """
    kind = records[0]["class"]
    if kind in _BOOKED_ALREADY:
        return None
    try:
        amounts = _of_batch(records[0]) if kind == "batch_mismatch" else _of_movement(records)
    except InvalidMoney as error:
        raise NotBookable(str(error)) from None
    return amounts if amounts != Settled() else None


def _of_movement(records: Sequence[Record]) -> Settled:
    """The movement is taken off the clearing account; what the network paid less, or took more, is written off."""
    direction = _DIRECTIONS.get(records[0]["type"])
    if direction is None:
        raise NotBookable("only captures, refunds, chargebacks and representments are settled")
    cleared = _sum(records, "expected") if records[0]["class"] in _HOLDS_CLEARING else 0
    return Settled(
        captured=cleared if direction > 0 else 0,
        returned=cleared if direction < 0 else 0,
        fees=_sum(records, "fee_settled"),
        written_off=direction * (cleared - _sum(records, "settled")),
    )


def _of_batch(record: Record) -> Settled:
    """Its members are booked one by one; the bank got what the batch says, so the rest is a gain or a loss."""
    return Settled(written_off=-_sum([record], "difference"))


def _sum(records: Sequence[Record], field: str) -> int:
    return sum(record.get(field) or 0 for record in records)
