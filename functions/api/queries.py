"""The queries of the merchants' API."""

from datetime import date
from typing import Annotated

from msgspec import Meta

from functions.api.resources import PaymentStatus
from payments.rest.queries import Amount, Currency, PageQuery, Query, Text, Time

Source = Annotated[Text, Meta(description="The id of a payment, or of a payout, fee or adjustment.")]
Day = Annotated[date, Meta(description="A day, as 2026-11-23, of which the report is.")]
Account = Annotated[Text, Meta(description="As entries name it: `merchant`, `customer:cus_1`, `disputes`, `fees`, …")]


class PaymentsQuery(PageQuery, frozen=True):
    """Which payments."""

    integers = PageQuery.integers | {"amount", "amount_gte", "amount_lte"}

    status: PaymentStatus | None = None
    created_gte: Time | None = None
    created_lt: Time | None = None
    customer: Text | None = None
    amount: Amount | None = None
    amount_gte: Amount | None = None
    amount_lte: Amount | None = None
    currency: Currency | None = None


class EntriesQuery(PageQuery, frozen=True):
    """Which entries of the ledger."""

    payment: Source | None = None
    account: Account | None = None
    created_gte: Time | None = None
    created_lt: Time | None = None


class ReportsQuery(PageQuery, frozen=True):
    """Which reports."""

    as_of_gte: Day | None = None
    as_of_lt: Day | None = None


class BalanceQuery(Query, frozen=True):
    """Which balance."""

    at: Annotated[Time, Meta(description="The instant, RFC 3339; now where it is not given.")] | None = None
