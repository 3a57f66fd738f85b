"""The continuous balance check: the general ledger of every shard, as the projector keeps it, balances in itself.

Looks at today and yesterday, so that no day's last minutes are missed; the full check (`audit`) looks at everything.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from payments import clock, projection
from payments.clients import client
from payments.journal import Balance
from payments.observability import count, logger
from payments.records import plain
from payments.settings import TableSettings, load

UNBALANCED = "UnbalancedJournals"

_FIRST = "!"
"""Sorts before every currency."""


def check(shards: Sequence[int], now: datetime) -> int:
    """How many accounting periods of these shards do not balance; each is logged as critical and counted."""
    unbalanced = sum(not _balances(shard, item) for shard in shards for item in _periods(shard, now))
    if unbalanced:
        count(UNBALANCED, unbalanced)
    return unbalanced


def _balances(shard: int, item: dict[str, Any]) -> bool:
    total = sum(projection.trial_balance(item).values(), Balance())
    if not total.balanced:
        currency, _, day = item["period"].partition("#")
        fault = {
            "shard": shard,
            "currency": currency,
            "day": day,
            "pending": total.debits_pending - total.credits_pending,
            "posted": total.debits_posted - total.credits_posted,
            "first_unbalanced": item.get("first_unbalanced"),
        }
        logger.critical("the general ledger does not balance", extra=fault)
    return total.balanced


def _periods(shard: int, now: datetime) -> Iterator[dict[str, Any]]:
    """The items of a shard's general ledger of yesterday and today, in every currency that it has.

    The years before are skipped: the next currency is whatever comes after the last day of the one before.
    """
    account = projection.shard_account(shard)
    yesterday, today = (clock.timestamp(moment) for moment in (now - timedelta(days=1), now))
    following = _query(account, _FIRST, "~", limit=1)
    while following:
        currency = following[0]["period"].partition("#")[0]
        low, high = (projection.period(currency, day) for day in (yesterday, today))
        yield from _all(account, low, f"{high}~")  # with the lanes of the last day
        following = _query(account, f"{currency}$", "~", limit=1)  # "$" comes after "#"


def _all(account: str, low: str, high: str) -> Iterator[dict[str, Any]]:
    """Every item between two sort keys: of each period the first one and its lanes."""
    most = 2 * (projection.LANES + 1)
    return iter(_query(account, low, high, limit=most))


def _query(account: str, low: str, high: str, limit: int = 10) -> list[dict[str, Any]]:
    answer = client("dynamodb").query(
        TableName=load(TableSettings).balances_table,
        KeyConditionExpression="#account = :account AND #period BETWEEN :low AND :high",
        ExpressionAttributeNames={"#account": "account", "#period": "period"},  # reserved words
        ExpressionAttributeValues={":account": {"S": account}, ":low": {"S": low}, ":high": {"S": high}},
        Limit=limit,
    )
    return [plain(item) for item in answer["Items"]]
