"""The kinds of errors that are planted in settlement files, and of what looks odd and is none."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from local.planting_field import CAPTURES, MOVEMENTS, Field, Mark
from local.settlement_export import Row
from payments import identifiers

_MEMBERS = 3
"""Lines of a planted batch."""

_DIFFERENCE = 100
"""Minor units beyond the tolerance by which planted amounts differ."""


def _mark(class_: str | None, row: Row, at_risk: int = 0) -> Mark:
    return Mark("", class_, row, row.line_ref, at_risk)


def _missing_at_network(field: Field) -> Iterator[Mark]:
    index, row = field.take(MOVEMENTS)
    field.put(index, row)
    yield Mark("", "missing_at_network", row, "", row.amount)


def _missing_in_ledger(field: Field) -> Iterator[Mark]:
    """A capture of a payment that nobody has heard of."""
    index, row = field.take(CAPTURES)
    number = field.number()
    unknown = identifiers.network_reference(identifiers.payment_id("mer_planted", f"{field.name}-{number}"))
    other = replace(row, network_ref=unknown, line_ref=f"U{field.name}-{number}", movement="")
    field.add(index, other)
    yield _mark("missing_in_ledger", other, other.amount)
    yield _mark("matched", row)


def _unknown_refund(field: Field) -> Iterator[Mark]:
    """A refund that nobody asked for, of a payment that is known."""
    index, row = field.take(CAPTURES)
    number = field.number()
    movement = identifiers.operation_id("ref", identifiers.command_id("mer_planted", f"{field.name}-{number}"))
    refund = replace(row, type="refund", movement=movement, line_ref=f"U{field.name}-{number}", fee=0)
    field.add(index, refund)
    yield _mark("missing_in_ledger", refund, refund.amount)
    yield _mark("matched", row)


def _amount_mismatch(field: Field) -> Iterator[Mark]:
    """Too little, and of small amounts, which leave no room for that, too much."""
    index, row = field.take(MOVEMENTS)
    difference = field.tolerated(index, row) + _DIFFERENCE
    wrong = replace(row, amount=row.amount + (difference if row.amount <= difference else -difference))
    field.put(index, row, wrong)
    yield _mark("amount_mismatch", wrong, difference)


def _currency_mismatch(field: Field) -> Iterator[Mark]:
    """The right amount in another currency: nothing settles the movement."""
    index, row = field.take(MOVEMENTS)
    wrong = replace(row, currency="USD" if row.currency != "USD" else "EUR")
    field.put(index, row, wrong)
    yield _mark("currency_mismatch", wrong, wrong.amount)
    yield Mark("", "missing_at_network", row, "", row.amount)


def _duplicate_at_network(field: Field) -> Iterator[Mark]:
    """A second line for the same; it comes after the first also by its reference, so that the first one counts."""
    index, row = field.take(MOVEMENTS)
    second = replace(row, line_ref=f"Z{row.line_ref}")
    field.add(index, second)
    yield _mark("duplicate_at_network", second, second.amount)
    yield _mark("matched", row)


def _fee_mismatch(field: Field) -> Iterator[Mark]:
    index, row = field.take(CAPTURES)
    dearer = replace(row, fee=row.fee + _DIFFERENCE)
    field.put(index, row, dearer)
    yield _mark("fee_mismatch", dearer, _DIFFERENCE)


def _split(field: Field) -> Iterator[Mark]:
    """Two lines that together are what one was: nothing is wrong."""
    index, row = field.take(MOVEMENTS, _divisible)
    halves = _halves(row, row.amount)
    field.put(index, row, *halves)
    yield from (_mark("matched", half) for half in halves)


def _split_mismatch(field: Field) -> Iterator[Mark]:
    index, row = field.take(MOVEMENTS, _divisible)
    difference = field.tolerated(index, row) + _DIFFERENCE
    halves = _halves(row, row.amount + difference)
    field.put(index, row, *halves)
    yield _mark("amount_mismatch", halves[0], difference)
    yield _mark("amount_mismatch", halves[1])


def _partial(field: Field) -> Iterator[Mark]:
    """The first of two lines; the second is missing."""
    index, row = field.take(MOVEMENTS, _divisible)
    half, _ = _halves(row, row.amount)
    field.put(index, row, half)
    yield _mark("missing_at_network", half, row.amount - half.amount)


def _batch(field: Field, too_much: int = 0) -> Iterator[Mark]:
    """A line that pays several captures at once, with one line for each of them."""
    index, members = field.take_alike(_MEMBERS)
    first, reference = members[0], f"B{field.name}-{field.number()}"
    for member in members:
        field.put(index, member, replace(member, batch_ref=reference))
        yield _mark("matched", member)
    batch = Row(
        line_ref=f"L{reference}",
        type="batch",
        network_ref="",
        movement="",
        amount=sum(member.amount for member in members) + too_much,
        currency=first.currency,
        fee=sum(member.fee for member in members),
        settled_on=first.settled_on,
        batch_ref=reference,
    )
    field.add(index, batch)
    yield _mark("batch_mismatch" if too_much else "batch", batch, too_much)


def _batch_mismatch(field: Field) -> Iterator[Mark]:
    yield from _batch(field, too_much=_DIFFERENCE)


def _tolerated(field: Field) -> Iterator[Mark]:
    """As much too little as is tolerated."""
    index, row = field.take(MOVEMENTS, lambda at, found: 0 < field.tolerated(at, found) < found.amount)
    less = replace(row, amount=row.amount - field.tolerated(index, row))
    field.put(index, row, less)
    yield _mark("matched", less)


def _bad_row(field: Field) -> Iterator[Mark]:
    """A row more that cannot be read: it has no date."""
    index, row = field.take(MOVEMENTS)
    bad = replace(row, line_ref=f"X{field.name}-{field.number()}", settled_on="soon")
    field.add(index, bad)
    yield Mark("", None, bad, bad.line_ref)
    yield _mark("matched", row)


def _repeated_row(field: Field) -> Iterator[Mark]:
    """The same row once more: still one line."""
    index, row = field.take(MOVEMENTS)
    field.add(index, row)
    yield _mark("matched", row)


def _fee_line(field: Field) -> Iterator[Mark]:
    """A fee that belongs to no payment."""
    index, row = field.take(CAPTURES)
    fee = Row(
        line_ref=f"F{field.name}-{field.number()}",
        type="fee",
        network_ref="",
        movement="",
        amount=_DIFFERENCE,
        currency=row.currency,
        fee=0,
        settled_on=row.settled_on,
        reason="scheme fee",
    )
    field.add(index, fee)
    yield _mark("network_fee", fee)


def _divisible(_: int, row: Row) -> bool:
    return row.amount > 1


def _halves(row: Row, amount: int) -> tuple[Row, Row]:
    """Two lines of a split settlement, of this amount together."""
    first = replace(row, line_ref=f"{row.line_ref}-1", amount=amount // 2, fee=row.fee // 2, sequence=1, count=2)
    second = replace(first, line_ref=f"{row.line_ref}-2", sequence=2)
    return first, replace(second, amount=amount - first.amount, fee=row.fee - first.fee)


KINDS: dict[str, Callable[[Field], Iterator[Mark]]] = {
    "missing_at_network": _missing_at_network,
    "missing_in_ledger": _missing_in_ledger,
    "unknown_refund": _unknown_refund,
    "amount_mismatch": _amount_mismatch,
    "currency_mismatch": _currency_mismatch,
    "duplicate_at_network": _duplicate_at_network,
    "fee_mismatch": _fee_mismatch,
    "split": _split,
    "split_mismatch": _split_mismatch,
    "partial": _partial,
    "batch": _batch,
    "batch_mismatch": _batch_mismatch,
    "tolerated": _tolerated,
    "bad_row": _bad_row,
    "repeated_row": _repeated_row,
    "fee_line": _fee_line,
}
"""What can be planted, by name. `truncated` and `repeated_file` concern whole files: see `local.settle`."""
