"""Small worlds for the matching: payments with facts, and the lines of networks that make every mistake there is."""

from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from random import Random
from typing import Any

from hypothesis import strategies as st

from functions.reconciliation.disputes import dispute_of
from payments import identifiers

Row = dict[str, Any]

AS_OF = date(2026, 11, 23)
NETWORKS = ("visa", "mastercard")
CURRENCIES = ("USD", "JPY")
MERCHANTS = ("mer_a", "mer_b", "mer_c")
BATCHES = ("B1", "B2", "B3", "B4")
AMOUNTS = (1, 27, 28, 999, 1000, 1001, 1003, 2778, 99_999_999)

TERMS: Row = {
    "default": {
        "due_days": 3,
        "tolerance": {},
        "fee_tolerance": {"*": 1},
        "basis_points": 180,
        "fixed": {"*": 10, "JPY": 0},
    },
    "networks": {"mastercard": {"due_days": 2, "tolerance": {"USD": 2}, "fixed": {"USD": 5}}},
    "merchants": {
        "mer_b": {"*": {"basis_points": 250}, "visa": {"due_days": 1, "tolerance": {"*": 1}, "fee_tolerance": {"*": 0}}}
    },
}


@dataclass(frozen=True)
class World:
    """Facts and lines, in the order in which they were made up."""

    facts: list[Row]
    lines: list[Row]


def fact(payment: Row, kind: str, amount: int, day: date | str, movement: str = "", **more: Any) -> Row:
    """A fact of a payment; what reserves and releases touches no network."""
    found = {name: payment[name] for name in ("network_ref", "payment_id", "merchant_id", "shard", "currency")}
    found |= {"kind": kind, "movement": movement, "amount": amount, "day": str(day), "fee": 0, "at": f"{day}T10:00:00Z"}
    network = None if kind in ("authorization", "release") else payment["network"]
    return {**found, "journal_id": movement or kind, "network": network, **more}


def payment(name: str, network: str = "visa", currency: str = "USD", merchant: str = "mer_a") -> Row:
    """A payment of a merchant."""
    payment_id = identifiers.payment_id(merchant, name)
    return {
        "payment_id": payment_id,
        "network_ref": identifiers.network_reference(payment_id),
        "merchant_id": merchant,
        "shard": identifiers.shard_of(payment_id),
        "network": network,
        "currency": currency,
    }


def line(line_ref: str, kind: str, amount: int, paid: Row | None = None, **more: Any) -> Row:
    """A line as `ingest` writes it; `paid` is the payment that it names."""
    of = paid or {"network_ref": "", "network": "visa", "currency": "USD", "shard": 7}
    found = {
        "line_ref": line_ref,
        "file": "file-1",
        "row": 2,
        "network": of["network"],
        "type": kind,
        "network_ref": of["network_ref"],
        "movement": "",
        "amount": amount,
        "currency": of["currency"],
        "fee": 0,
        "settled_on": AS_OF - timedelta(days=1),
        "sequence": 1,
        "count": 1,
        "batch_ref": "",
        "case_ref": "",
        "reason": "",
        "shard": of["shard"],
    } | more
    if kind in ("fee", "batch"):
        found["network_ref"] = f"fee:{line_ref}" if kind == "fee" else f"batch:{found['batch_ref']}"
    told = [str(value) for name, value in found.items() if name not in ("file", "row")]
    return {**found, "line_id": f"{line_ref}~{sha256('|'.join(told).encode()).hexdigest()[:8]}"}


def fee_of(amount: int) -> int:
    """The network's fee by the default terms."""
    return (amount * 180 + 5000) // 10000 + 10


@st.composite
def worlds(draw: st.DrawFn, most: int = 80) -> World:
    """Some payments, their facts, and lines that fit them more or less.

    What becomes of one payment does not depend on the others, so that many in one run find more in the same time; and
    what is wrong with one is seen without making the example smaller. So only their number is drawn.
    """
    random = draw(st.randoms(use_true_random=True))
    return world(random, draw(st.integers(1, most)))


def world(random: Random, payments: int) -> World:
    """So many payments, and what came of them."""
    facts: list[Row] = []
    lines: list[Row] = []
    for number in range(payments):
        made = payment(f"p{number}", *(random.choice(names) for names in (NETWORKS, CURRENCIES, MERCHANTS)))
        movements = _movements(random, made)
        failed = _failed(random, made, movements)
        facts += movements + failed
        if random.randint(0, 1) and not failed:
            facts.append(fact(made, "authorization", 5000, _day(random)))
        if random.randint(0, 3) == 0:
            facts.append(fact(made, "release", 100, _day(random)))
        for each in movements:
            lines += _lines_of(random, made, each, len(lines))
        if random.randint(0, 2) == 0:
            lines.append(_stray(random, made, len(lines)))
    return World(facts, [*lines, *_others(random, lines)])


def in_files(random: Random, rows: list[Row], most: int) -> list[list[Row]]:
    """The rows in any order, in so many files at most, some of them in several."""
    again = random.choices(rows, k=len(rows) // 4) if rows else []
    files: list[list[Row]] = [[] for _ in range(random.randint(1, most))]
    for row in random.sample([*rows, *again], len(rows) + len(again)):
        random.choice(files).append(row)
    return files


def _day(random: Random) -> date:
    """Around every due day, and the day of an orphan."""
    return AS_OF - timedelta(days=random.randint(0, 12))


def _movements(random: Random, made: Row) -> list[Row]:
    found = []
    for name in random.sample(("capture", "cap_1", "ref_1", "case-1", "won-1"), random.randint(0, 3)):
        amount, day = random.choice(AMOUNTS), _day(random)
        if name.startswith("cap"):
            found.append(fact(made, "capture", amount, day, "" if name == "capture" else name))
        elif name == "ref_1":
            found.append(fact(made, "refund", amount, day, name))
        else:
            kind = "chargeback" if name == "case-1" else "representment"
            found.append(fact(made, kind, amount, day, dispute_of(made["merchant_id"], "case-1")))
    return found


def _failed(random: Random, made: Row, movements: list[Row]) -> list[Row]:
    """Some captures are refused in the end."""
    captures = [each for each in movements if each["movement"].startswith("cap_")]
    return [
        fact(made, "failed_capture", each["amount"], _day(random), each["movement"])
        for each in captures
        if random.randint(0, 2) == 0
    ]


def _lines_of(random: Random, made: Row, of: Row, number: int) -> list[Row]:
    """Lines for a movement: whole or split, some of them wrong, some missing."""
    found: list[Row] = []
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        count, rest = random.choice((1, 1, 1, 2, 2, 3)), of["amount"]
        for sequence in range(1, count + 1):
            amount = rest if sequence == count else max(1, of["amount"] // count)
            rest -= amount
            if amount > 0 and (count == 1 or random.randint(0, 4)):
                found.append(_line_of(random, made, of, f"L{number + len(found)}", amount, sequence, count))
    return found


def _line_of(random: Random, made: Row, of: Row, name: str, amount: int, sequence: int, count: int) -> Row:
    wrong = random.choice(("", "", "", "", "amount", "little", "currency", "fee"))
    if wrong in ("amount", "little"):
        amount = max(1, amount + (500 if wrong == "amount" else random.choice((-2, -1, 1, 2))))
    fee = fee_of(of["amount"]) if of["kind"] == "capture" and sequence == 1 else 0
    disputed = of["kind"] in ("chargeback", "representment")
    more = {
        "sequence": sequence,
        "count": count,
        "fee": fee + random.choice((1, 2, -40)) if wrong == "fee" else fee,
        "settled_on": _day(random),
        "batch_ref": random.choice(("", "", "", *BATCHES)),
        "movement": "" if disputed else of["movement"],
        "case_ref": "case-1" if disputed else "",
        "currency": "EUR" if wrong == "currency" else made["currency"],
    }
    return line(name, of["kind"], amount, made, **more)


def _stray(random: Random, made: Row, number: int) -> Row:
    """A line whose movement the ledger may not have."""
    kind = random.choice(("capture", "refund", "chargeback", "representment"))
    disputed = kind in ("chargeback", "representment")
    of = random.choice((made, {**made, "network_ref": f"net_unknown{number}"}))
    more = {
        "case_ref": random.choice(("case-1", "case-2")) if disputed else "",
        "movement": "" if disputed else random.choice(("", "cap_9", "ref_9")),
        "currency": random.choice((made["currency"], "EUR")),
        "settled_on": _day(random),
        "count": random.choice((1, 1, 2)),
        "batch_ref": random.choice(("", *BATCHES)),
    }
    return line(f"S{number}", kind, random.choice(AMOUNTS), of, **more)


def _others(random: Random, lines: list[Row]) -> list[Row]:
    """Fees of their own, and batch lines, some of them of the right sum."""
    found = [line(f"F{number}", "fee", 250, fee=random.choice((0, -3))) for number in range(random.randint(0, 2))]
    for batch_ref in BATCHES:
        members = [each for each in lines if each["batch_ref"] == batch_ref]
        if members and random.randint(0, 3):
            of = {name: members[0][name] for name in ("network", "currency", "shard")} | {"network_ref": ""}
            total = sum(
                each["amount"] * (1 if each["type"] in ("capture", "representment") else -1)
                for each in members
                if each["network"] == of["network"] and each["currency"] == of["currency"]
            )
            wrong = random.choice((0, 0, 5))
            found.append(line(f"T-{batch_ref}", "batch", max(1, total + wrong), of, batch_ref=batch_ref))
    return found
