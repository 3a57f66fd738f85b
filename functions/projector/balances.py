"""Balances: four counters per account and currency and side, as TigerBeetle keeps them, exactly once per journal.

A batch of the stream is added up first and written in one transaction, together with a marker of how far it went.
Lambda repeats a failed batch from the same record on: the marker under that record's sequence number tells a repeat
what was counted already. (The event source neither bisects batches nor reports single failures: both would start
a repeat at a record that has no marker.)
"""

import time
from collections import Counter
from typing import Any

from payments.clients import client
from payments.settings import TableSettings, load

_MARKER_SECONDS = 48 * 3600
"""A stream keeps its records for 24 hours; a marker must outlive them."""

_INSERT = "INSERT"
"""Journals are only ever inserted; a change is the other region's copy of the same one, replicated over it."""

Counters = dict[tuple[str, str], Counter[str]]


def project(records: list[dict[str, Any]]) -> int:
    """Adds the batch's journals to the balances; the number of journals that were new."""
    marker = "batch#" + records[0]["dynamodb"]["SequenceNumber"]
    done = _done(marker)
    new = [record for record in records if int(record["dynamodb"]["SequenceNumber"]) > done]
    journals = [record["dynamodb"]["NewImage"] for record in new if record["eventName"] == _INSERT]
    if journals:
        _write(_sums(journals), marker, done, new[-1]["dynamodb"]["SequenceNumber"])
    return len(journals)


def _sums(journals: list[dict[str, Any]]) -> Counters:
    """What the journals add to each counter: a post or a void takes its amount out of pending."""
    sums: Counters = {}
    for entry in (line["M"] for journal in journals for line in journal["entries"]["L"]):
        counter = sums.setdefault((entry["account"]["S"], entry["currency"]["S"]), Counter())
        side, phase, amount = entry["side"]["S"], entry["phase"]["S"], int(entry["amount"]["N"])
        counter[f"{side}s_{phase}"] += amount
        if phase != "pending":
            counter[f"{side}s_pending"] -= amount
    return sums


def _done(marker: str) -> int:
    item = client("dynamodb").get_item(TableName=_table(), Key=_key(marker, "-"), ConsistentRead=True).get("Item")
    return int(item["sequence_number"]["S"]) if item else 0


def _write(sums: Counters, marker: str, done: int, sequence_number: str) -> None:
    updates = [{"Update": _update(account, currency, counter)} for (account, currency), counter in sums.items()]
    mark = {
        "Update": {
            "TableName": _table(),
            "Key": _key(marker, "-"),
            "UpdateExpression": "SET sequence_number = :new, expires_at = :expiry",
            "ConditionExpression": "attribute_not_exists(sequence_number) OR sequence_number = :done",
            "ExpressionAttributeValues": {
                ":new": {"S": sequence_number},
                ":done": {"S": str(done)},
                ":expiry": {"N": str(int(time.time()) + _MARKER_SECONDS)},
            },
        }
    }
    client("dynamodb").transact_write_items(TransactItems=[*updates, mark])


def _update(account: str, currency: str, counter: Counter[str]) -> dict[str, Any]:
    names = sorted(counter)
    return {
        "TableName": _table(),
        "Key": _key(account, currency),
        "UpdateExpression": "ADD " + ", ".join(f"{name} :{name}" for name in names),
        "ExpressionAttributeValues": {f":{name}": {"N": str(counter[name])} for name in names},
    }


def _key(account: str, currency: str) -> dict[str, Any]:
    return {"account": {"S": account}, "currency": {"S": currency}}


def _table() -> str:
    return load(TableSettings).balances_table
