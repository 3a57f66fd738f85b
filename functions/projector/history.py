"""History: every journal under the merchant whose accounts it touches, by time. Written once the journal is
counted, and again when the batch is repeated: the same item each time. So what has a row here is counted.
"""

from collections.abc import Iterable
from typing import Any

from functions.projector import dynamodb
from functions.projector.arrivals import Arrival
from functions.projector.settings import ProjectorSettings
from payments import accounts, records
from payments.settings import load


def put(arrivals: Iterable[Arrival]) -> None:
    """Writes the rows of these journals. Raises `dynamodb.NotAllDone`."""
    # By key, because one request may not have the same key twice; the later image is the one that stands.
    rows = {row["account"]["S"] + row["position"]["S"]: row for arrival in arrivals for row in _rows(arrival)}
    requests = [{"PutRequest": {"Item": row}} for row in rows.values()]
    dynamodb.write(load(ProjectorSettings).accounts_table, requests)


def _rows(arrival: Arrival) -> Iterable[dict[str, Any]]:
    """One row per merchant; a journal has one merchant, or none when it is between the platform's own accounts."""
    if arrival.journal is None:
        return
    payment_id, created_at = arrival.journal.payment_id, arrival.journal.created_at
    for merchant in sorted({accounts.owner(entry.account) or "" for entry in arrival.journal.entries} - {""}):
        yield {
            "account": {"S": records.merchant_bucket(merchant, payment_id)},
            "position": {"S": f"{created_at}#{payment_id}#{arrival.journal.journal_id}"},
            "journal": {"M": arrival.image},
        }
