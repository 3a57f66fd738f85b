"""The balance check's last step: the sums of all segments, and the general ledger that the projector keeps."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from functions.sweeper.tally import FIELD, check_number
from payments import identifiers, projection
from payments.clients import client
from payments.records import plain
from payments.settings import TableSettings, load

BALANCED, UNBALANCED = "balanced", "unbalanced"

Place = tuple[int | None, str | None]
"""Shard and currency; None where a bad journal shows none."""


def over(segments: list[dict[str, Any]], before_day: str) -> dict[str, Any]:
    """The verdict over all segments' answers and the balances of the accounting days before this one.

    The books balance when every sum of every shard and currency is zero, in the ledger and in the general ledger, no
    journal is bad, and the general ledger is what the journals add up to.
    """
    rows: dict[Place, dict[str, Any]] = {}
    for place, total, first in _of_segments(segments):
        _note(rows, place, total, first)
    number = 0
    for shard in range(identifiers.SHARDS):
        items = _general_ledger(shard, before_day)
        number += check_number(((key, counters) for key, counters, _ in items), before_day)
        for place, total, first in _of_balances(shard, items):
            _note(rows, place, total, first)
    agree = (sum(int(answer["check"], 16) for answer in segments) - number) % FIELD == 0
    return {
        "result": UNBALANCED if rows or not agree else BALANCED,
        "journals": sum(answer["journals"] for answer in segments),
        "shards": list(rows.values()),
        "balances": "agree" if agree else "differ",
        "mended": sum(answer["mended"] for answer in segments),
        "contradictions": sum(answer["contradictions"] for answer in segments),
    }


Found = tuple[Place, int, str | None]
"""Where something does not balance, by how much, and the first bad journal there."""

Items = list[tuple[projection.Key, Counter[str], str | None]]
"""The general ledger's items of a shard: key, counters, and the first journal that did not balance."""


def _note(rows: dict[Place, dict[str, Any]], place: Place, total: int, first: str | None) -> None:
    """A shard and currency is told once: with the first sum that is not zero, and the first journal that is named."""
    shard, currency = place
    row = rows.setdefault(place, {"shard": shard, "currency": currency, "sum": 0, "first": None})
    row["sum"] = row["sum"] or total
    row["first"] = row["first"] or first


def _of_segments(segments: list[dict[str, Any]]) -> Iterator[Found]:
    """Bad journals, the oldest first, and then sums: a sum is the one that remains over all segments."""
    for bad in sorted((bad for answer in segments for bad in answer["bad"]), key=lambda bad: str(bad["created_at"])):
        yield (bad["shard"], bad["currency"]), 0, f"{bad['payment_id']}#{bad['journal_id']}"
    sums: Counter[str] = Counter()
    for answer in segments:
        sums.update(answer["sums"])
    for key, total in sums.items():
        shard, currency, _ = key.split("|")
        if total:
            yield (int(shard), currency), total, None


def _of_balances(shard: int, items: Items) -> Iterator[Found]:
    """Currencies whose control accounts do not add up to zero, pending or posted."""
    sums: Counter[tuple[str, str]] = Counter()
    firsts: dict[str, str | None] = {}
    for (_, period), counters, first in items:
        currency = period.partition("#")[0]
        firsts[currency] = firsts.get(currency) or first
        for balance in projection.trial_balance(counters).values():
            sums[currency, "pending"] += balance.debits_pending - balance.credits_pending
            sums[currency, "posted"] += balance.debits_posted - balance.credits_posted
    for (currency, _), total in sums.items():
        if total:
            yield (shard, currency), total, firsts[currency]


def _general_ledger(shard: int, before_day: str) -> Items:
    """The shard's items of all accounting days before this one, as the projector wrote them."""
    pages = (
        client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=load(TableSettings).balances_table,
            KeyConditionExpression="#account = :shard",  # a reserved word
            ExpressionAttributeNames={"#account": "account"},
            ExpressionAttributeValues={":shard": {"S": projection.shard_account(shard)}},
            ConsistentRead=True,
        )
    )
    items = (plain(item) for page in pages for item in page["Items"])
    return [
        ((item["account"], item["period"]), _counters(item), item.get("first_unbalanced"))
        for item in items
        if item["period"].partition("#")[2] < before_day
    ]


def _counters(item: dict[str, Any]) -> Counter[str]:
    return Counter({name: value for name, value in item.items() if "/" in name})
