"""Balances: what a chunk's journals add to them, in one transaction with the chunk's marker and its item of the feed.

One update per balance and chunk, however many journals touch it: a hot merchant costs what a quiet one does.
"""

import random
from collections import Counter
from typing import Any

from functions.projector import arrivals, chunks, dynamodb, feed, history, markers, settlement_feed, unbalanced
from functions.projector.chunks import Chunk
from functions.projector.settings import ProjectorSettings
from payments import projection
from payments.projection import Key
from payments.settings import load


def project(records: list[dict[str, Any]]) -> int:
    """Counts what of a batch is not counted yet; the number of its journals that were new.

    After an exception the batch may come again, with more or fewer records: what was counted stays counted.
    """
    inserted = [record for record in records if arrivals.is_journal(record)]
    counted = markers.counted([arrivals.number_of(record) for record in inserted])
    for chunk in chunks.cut(map(arrivals.read, inserted[:counted])):
        _hand_on(chunk)  # perhaps that is where the delivery before this one ended
    for chunk in chunks.cut(map(arrivals.read, inserted[counted:])):
        unbalanced.report(chunk.arrivals)
        _count(chunk)
        _hand_on(chunk)
    return len(inserted) - counted


def _hand_on(chunk: Chunk) -> None:
    """What follows from the chunk once it is counted; may be repeated."""
    history.put(chunk.arrivals)
    settlement_feed.put(chunk.arrivals)


def _count(chunk: Chunk) -> None:
    """One transaction. Where it meets another one it goes to a lane of its own: a shard's item, and a hot merchant's,
    are updated from every shard of the stream at once."""
    named = chunk.first_unbalanced
    others = [*feed.entry(chunk), markers.entry([arrival.number for arrival in chunk.arrivals])]

    def writes(number: int) -> list[dict[str, Any]]:
        lane = random.randrange(projection.LANES) if number else None  # noqa: S311 - spreads, hides nothing
        return [*(_update(key, added, named.get(key), lane) for key, added in chunk.sums.items()), *others]

    dynamodb.transact(writes)


def _update(key: Key, counters: Counter[str], unbalanced_journal: str | None, lane: int | None) -> dict[str, Any]:
    """Adds to the counters of one item. Their names are given by number: `fees:platform/…` is no name in DynamoDB."""
    account, period = key[0], projection.in_lane(key[1], lane)
    numbered = list(enumerate(sorted(counters)))
    expression = "ADD " + ", ".join(f"#{n} :{n}" for n, _ in numbered)
    values: dict[str, dict[str, str]] = {f":{n}": {"N": str(counters[name])} for n, name in numbered}
    if unbalanced_journal:
        expression += " SET first_unbalanced = if_not_exists(first_unbalanced, :unbalanced)"
        values[":unbalanced"] = {"S": unbalanced_journal}
    return {
        "Update": {
            "TableName": load(ProjectorSettings).balances_table,
            "Key": {"account": {"S": account}, "period": {"S": period}},
            "UpdateExpression": expression,
            "ExpressionAttributeNames": {f"#{n}": name for n, name in numbered},
            "ExpressionAttributeValues": values,
        }
    }
