"""What a scan of the ledger adds up to: signed sums, the journals that are none, and one number to compare balances by.

Pure. The answer of a call is what the next call goes on from, and small: of balanced books every sum is zero, and zeros
are left out.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any

from payments import identifiers, projection
from payments.journal import Journal, totals
from payments.records import StoredJournal, plain

NAMED = 3
"""Bad journals that a segment names, the oldest; 128 segments' answers must fit one state of 256 KiB."""

FIELD = 2**61 - 1
"""A prime (Mersenne's ninth): sums of amounts times coefficients are taken modulo it."""

_NOT_A_JOURNAL = (KeyError, ValueError, TypeError, AttributeError)
"""What reading an item that is no journal raises."""


@dataclass(frozen=True, slots=True)
class Line:
    """An item of the ledger as far as it can be read: `stored` if it has a journal's form, `journal` if it is one."""

    payment_id: str
    journal_id: str
    stored: StoredJournal | None = None
    journal: Journal | None = None


def read(item: Mapping[str, Any]) -> Line:
    """The line of an item in DynamoDB's JSON, whatever it holds besides its key."""
    key = item["payment_id"]["S"], item["journal_id"]["S"]
    try:
        stored = StoredJournal.of(plain(item))
        projection.sums([stored])
    except _NOT_A_JOURNAL:
        return Line(*key)
    try:
        return Line(*key, stored, stored.journal())
    except ValueError:
        return Line(*key, stored)


@dataclass(slots=True)
class Tally:
    """The running sums of a segment. `before_day` is the first accounting day that is not compared to balances."""

    segment: int
    journals: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    bad: list[dict[str, Any]] = field(default_factory=list)
    mended: int = 0
    contradictions: int = 0
    check: int = 0

    @classmethod
    def resumed(cls, segment: int, answer: Mapping[str, Any]) -> "Tally":
        """Where the answer of the call before left off; empty for the first call."""
        return cls(
            segment,
            answer.get("journals", 0),
            Counter(answer.get("sums", {})),
            list(answer.get("bad", [])),
            answer.get("mended", 0),
            answer.get("contradictions", 0),
            int(answer.get("check", "0"), 16),
        )

    def add(self, line: Line, before_day: str) -> dict[str, Any] | None:
        """Counts a line; what there is to say of it when it is no journal that balances."""
        self.journals += 1
        if line.stored:
            self._sum(line.stored)
            self.check = (self.check + check_number(projection.sums([line.stored]).items(), before_day)) % FIELD
        if line.journal:
            return None
        bad = _bad(line)
        self.bad = sorted([*self.bad, bad], key=lambda found: str(found["created_at"]))[:NAMED]
        return bad

    def answer(self, following: dict[str, str] | None) -> dict[str, Any]:
        """The answer of a call that goes on at `following`, or is the segment's last."""
        return {
            "segment": self.segment,
            "journals": self.journals,
            "sums": {key: total for key, total in self.sums.items() if total},
            "bad": self.bad,
            "mended": self.mended,
            "contradictions": self.contradictions,
            "check": f"{self.check:x}",  # text: Step Functions keeps no more than 53 bits of a number
            "next": following,
        }

    def _sum(self, stored: StoredJournal) -> None:
        shard = identifiers.shard_of(stored.payment_id)
        for (currency, phase), total in totals(stored.entries).items():
            self.sums[f"{shard}|{currency}|{phase}"] += total


def check_number(items: Iterable[tuple[projection.Key, Mapping[str, int]]], before_day: str) -> int:
    """One number for all counters of the general ledger up to a day: that of the journals and that of the balances are
    the same when every counter is.

    Each counter's total has a coefficient that follows from its name, so that amounts counted in the wrong place show;
    two different sets of totals have the same number by a chance of 2^-61.
    """
    number = 0
    for (account, period), counters in items:
        currency, _, day = period.partition("#")
        if account.startswith("shard:") and day < before_day:
            number += sum(
                _coefficient(f"{account}|{currency}|{name}") * int(value)
                for name, value in counters.items()
                if "/" in name
            )
    return number % FIELD


@cache
def _coefficient(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") % FIELD


def _bad(line: Line) -> dict[str, Any]:
    """A bad journal by its name; its sum is that of the first currency and phase in which its sides differ."""
    key = {"payment_id": line.payment_id, "journal_id": line.journal_id, "shard": _shard(line.payment_id)}
    if line.stored is None:
        return {**key, "currency": None, "sum": 0, "created_at": ""}
    sums = totals(line.stored.entries)
    ordered = sorted(sums.items(), key=lambda item: item[1] == 0)
    currency, total = (ordered[0][0][0], ordered[0][1]) if ordered else (None, 0)
    return {**key, "currency": currency, "sum": total, "created_at": line.stored.created_at}


def _shard(payment_id: str) -> int | None:
    try:
        return identifiers.shard_of(payment_id)
    except ValueError:
        return None
