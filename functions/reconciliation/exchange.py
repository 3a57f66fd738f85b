"""What the matching of a part takes and answers (docs/reconciliation.md): values, in minor units."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from payments import discrepancies

OPEN = tuple(sorted(discrepancies.OPEN))
"""Classes that somebody must look at."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """An operator has decided this record; `note` is what was decided, or None."""

    network_ref: str
    record: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """Parquet files of one part: facts and lines that are new, and the two files that the run before left
    (`Outputs.facts`, `Outputs.lines`)."""

    facts: Sequence[Path]
    lines: Sequence[Path]
    state_facts: Path | None = None
    state_lines: Path | None = None
    resolutions: Sequence[Resolution] = ()


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the results go, and what the next run must be given."""

    results: Path
    facts: Path
    lines: Path


@dataclass(frozen=True, slots=True)
class Settled:
    """A movement that an earlier run settled, and the record of the line that did it."""

    type: str
    movement: str
    record: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known elsewhere about a payment that no fact here names."""

    network_ref: str
    payment_id: str
    merchant_id: str | None
    shard: int
    network: str | None
    currency: str | None
    movements: Sequence[Settled] = ()


@dataclass(frozen=True, slots=True)
class WantedDispute:
    """A chargeback whose dispute the ledger does not have, or has not told of yet. `settled_on` is a date."""

    line_id: str
    network_ref: str
    payment_id: str
    merchant_id: str
    shard: int
    case_ref: str
    amount: int
    currency: str
    reason: str
    settled_on: date


@dataclass(frozen=True, slots=True)
class OpenedDispute:
    """The ledger's answer: a dispute with its journal's amount, currency and time, or the code it refused with."""

    line_id: str
    dispute_id: str | None = None
    amount: int = 0
    currency: str = ""
    at: str = ""
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over the results of a class, type, network and currency; of one merchant, or of all (`merchant_id` None)."""

    merchant_id: str | None
    result_class: str
    type: str
    network: str | None
    currency: str
    lines: int
    expected: int
    settled: int
    difference: int
    fee_settled: int
    at_risk: int


@dataclass(frozen=True, slots=True)
class Booking:
    """What this run books more than earlier ones; each sum is signed."""

    shard: int
    network: str
    currency: str
    captured: int
    returned: int
    fees: int
    written_off: int


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """What the networks owe us for movements that are not settled; negative where we owe more."""

    network: str
    currency: str
    amount: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a part came to.

    `totals` and `by_merchant` count the results that this run tells: what is new, has changed or is open. `counts` says
    what came in and what became of it; `lost`, facts and lines that are in no result and in no state, is 0.
    """

    totals: Sequence[Total]
    by_merchant: Sequence[Total]
    bookings: Sequence[Booking]
    open_claims: Sequence[OpenClaim]
    counts: dict[str, int] = field(default_factory=dict)
