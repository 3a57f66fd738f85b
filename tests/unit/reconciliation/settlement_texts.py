"""Settlement files for tests: rows that are sound in both layouts, and what must be read of them."""

from datetime import date, timedelta
from hashlib import md5
from string import ascii_letters

from hypothesis import strategies as st

from local.settlement_export import File, Row, written
from payments.money import MAXIMUM_AMOUNT

NETWORK, DAY = "visa", "2026-11-23"
PAYMENT = "net_05abcdefghijklmnopqrstuvwx"
MOVEMENTS, DISPUTED = ("capture", "refund", "chargeback", "representment"), ("chargeback", "representment")


def row(**changes):
    values = {"line_ref": "L1", "type": "capture", "network_ref": PAYMENT, "movement": "", "amount": 4200}
    return Row(**{**values, "currency": "USD", "fee": 86, "settled_on": DAY, **changes})


def file(*rows):
    return File(NETWORK, DAY, "visa-1", rows)


def text(*rows, layout="1"):
    return written(file(*rows), layout)


def with_lines(*raw, rows=(), counted=0, amounts=0, fees=0):
    """A file of layout 1 with these lines as they are, which its trailer counts and adds up as it is told here."""
    *head, trailer = text(*rows).splitlines()
    told = [int(number) for number in trailer.split(",")[1:]]
    told = [one + more for one, more in zip(told, (counted, amounts, fees), strict=True)]
    return "\n".join((*head, *raw, f"T,{','.join(map(str, told))}\n"))


def few_digits(found):
    return sum(character.isdigit() for character in found) < 4


_REFERENCES = st.text(f"{ascii_letters}0789._-", min_size=1, max_size=64).filter(few_digits)
_MAYBE = st.just("") | _REFERENCES
_WORDS = st.text(f"{ascii_letters}éßЖ漢7 ,;\"'=#~/", max_size=60).filter(few_digits)


@st.composite
def _row(draw):
    kind = draw(st.sampled_from((*MOVEMENTS, "fee", "batch")))
    most = MAXIMUM_AMOUNT if kind in MOVEMENTS else 999_999_999_999
    count = draw(st.just(1) | st.integers(1, 255))
    needed = draw(_REFERENCES.filter(lambda name: name not in ("run", "file")) | st.just(PAYMENT))
    return Row(
        line_ref=draw(_REFERENCES),
        type=kind,
        network_ref=needed if kind in MOVEMENTS else "",
        movement=draw(_MAYBE),
        amount=draw(st.integers(1, most)),
        currency=draw(st.sampled_from(("USD", "JPY", "KWD", "CLF"))),
        fee=draw(st.integers(-most, most)),
        settled_on=str(date(2000, 1, 1) + timedelta(days=draw(st.integers(0, 36_524)))),
        sequence=draw(st.integers(1, count)),
        count=count,
        batch_ref=draw(_REFERENCES if kind == "batch" else _MAYBE),
        case_ref=draw(_REFERENCES if kind in DISPUTED else _MAYBE),
        reason=draw(_WORDS),
    )


ROWS = st.lists(_row(), max_size=6)
"""Rows that are sound, in both layouts."""


def expected(rows):
    """What must be read of a file's rows, as `(part key, line)`; a line has all but `file` and `line_id`."""
    return [found for number, one in enumerate(rows, 2) for found in _expected(one, number)]


def _expected(one, number):
    name = {"fee": f"fee:{one.line_ref}", "batch": f"batch:{one.batch_ref}"}.get(one.type, one.network_ref)
    line = {
        "line_ref": one.line_ref,
        "row": number,
        "network": NETWORK,
        "type": one.type,
        "network_ref": name,
        "movement": one.movement if one.type in ("capture", "refund") else "",
        "amount": one.amount,
        "currency": one.currency,
        "fee": one.fee,
        "settled_on": date.fromisoformat(one.settled_on),
        "sequence": one.sequence,
        "count": one.count,
        "batch_ref": one.batch_ref,
        "case_ref": one.case_ref,
        "reason": one.reason,
        "shard": _shard(one),
    }
    yield {"fee": one.line_ref, "batch": one.batch_ref}.get(one.type, one.network_ref), {**line, "role": "line"}
    if one.batch_ref and one.type != "batch":
        yield one.batch_ref, {**line, "role": "member_copy"}


def _shard(one):
    if one.network_ref == PAYMENT:
        return 5
    return int(md5((one.network_ref or one.line_ref).encode()).hexdigest()[:8], 16) % 128
