"""The queries of the operators' API."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, field

from payments.rest.queries import Amount, Currency, PageQuery, Text

OpenClass = Literal[
    "missing_at_network",
    "missing_in_ledger",
    "amount_mismatch",
    "currency_mismatch",
    "duplicate_at_network",
    "fee_mismatch",
    "batch_mismatch",
    "orphan",
]
"""`payments.discrepancies.OPEN`, spelt out."""

LineType = Literal["authorization", "capture", "refund", "chargeback", "representment", "batch"]

_LONGEST_DAYS = 36_500


class DiscrepanciesQuery(PageQuery, frozen=True):
    """Which discrepancies; all that is said must hold."""

    integers = PageQuery.integers | {"min_age_days", "min_at_risk"}

    name: OpenClass | None = field(default=None, name="class")
    type: LineType | None = None
    network: Text | None = None
    currency: Currency | None = None
    merchant: Text | None = None
    assignee: Text | None = None
    min_age_days: Annotated[int, Meta(ge=0, le=_LONGEST_DAYS)] | None = None
    min_at_risk: Amount | None = None


class ReportsQuery(PageQuery, frozen=True):
    """Which reports."""

    as_of_gte: date | None = None
    as_of_lt: date | None = None


class ReviewsQuery(PageQuery, frozen=True):
    """Which payments in review; all that is said must hold."""

    integers = PageQuery.integers | {"min_score"}

    merchant: Text | None = None
    min_score: Annotated[int, Meta(ge=0, le=100)] | None = None
    degraded: Literal["true", "false"] | None = None


class ConflictsQuery(PageQuery, frozen=True):
    """Which conflicts."""

    state: Literal["open", "resolved"] = "open"
