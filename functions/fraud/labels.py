"""Labels: what a payment says, some time after it was scored, about whether it was fraud.

A stream record of `payments` is read as it is stored (the layer's records.py writes it; a test holds the two
together). What it says follows from the whole image, not from what changed, so a record that was missed is made up
for by the next one.

The order is safe against being killed anywhere: the profiles, which remember the newest labels for two days; that the
fraud is counted, for as long as a score is kept; the score's own label, which never goes back in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from functions.fraud.charge import Charge
from functions.fraud.features import NOTHING, remember_fraud
from functions.fraud.history import merged
from functions.fraud.profiles import ProfileTable
from functions.fraud.scores import LIFETIME, entity_keys, partition

if TYPE_CHECKING:
    from botocore.client import BaseClient

Image = Mapping[str, Mapping[str, Any]]
"""An item in DynamoDB's JSON."""

FRAUD, GOOD = "fraud", "good"
DISPUTE, REVIEW = "dispute", "review"


@dataclass(frozen=True, slots=True)
class Label:
    """`said` is `fraud` or `good`, by a `dispute` or a `review`, at Unix second `at`."""

    said: str
    source: str
    at: int


def label_of(image: Image) -> Label | None:
    """What a payment says of itself, None: nothing. A dispute's word stands over a reviewer's: the cardholder knows.

    Raises KeyError, TypeError or ValueError for an image that is no payment's.
    """
    if "dispute" in image:
        status = image["dispute"]["M"]["status"]["S"]
        return Label(GOOD if status == "won" else FRAUD, DISPUTE, _seconds(image["updated_at"]["S"]))
    if "review_decision" in image:
        decided = image["review_decision"]["M"]
        said = {"decline": FRAUD, "approve": GOOD}[decided["decision"]["S"]]
        return Label(said, REVIEW, _seconds(decided["at"]["S"]))
    return None


def charge_of(image: Image) -> Charge:
    """The charge that a payment was made of, as far as the payment knows. Raises as `label_of`."""
    return Charge(
        payment_id=image["payment_id"]["S"],
        merchant=image["merchant_id"]["S"],
        amount=int(image["amount"]["N"]),
        currency=image["currency"]["S"],
        at=_seconds(image["created_at"]["S"]),
        card=image["card"]["M"]["token"]["S"],
        customer=image["customer_id"]["S"] if "customer_id" in image else None,
        device=None,
    )


class Labels:
    """Writes labels of the payments of the profiles' region; `profiles` takes keys as they are stored."""

    def __init__(self, client: BaseClient, table: str, profiles: ProfileTable, digest_key: str) -> None:
        self._client: Any = client  # botocore makes its methods at run time
        self._table = table
        self._profiles = profiles
        self._digest_key = digest_key.encode()

    def follow(self, record: Mapping[str, Any]) -> None:
        """Write what a record of the stream says, if anything; may be repeated, and come late.

        Raises ProfilesUnavailable, or what botocore raises, or as `label_of`.
        """
        image: Image = record["dynamodb"].get("NewImage", {})
        if image.get("region") != {"S": self._profiles.region}:
            return
        label = label_of(image)
        if label is None:
            return
        charge = charge_of(image)
        if label.said == FRAUD and not self._counted(charge):
            self._count(charge, label.at)
        self._write(charge, label)

    def _counted(self, charge: Charge) -> bool:
        answer = self._client.get_item(TableName=self._table, Key=_mark(charge), ConsistentRead=True)
        return "Item" in answer

    def _count(self, charge: Charge, at: int) -> None:
        """The profiles learn of the fraud. A replayed record finds the same `at`, and so the same memory of labels."""
        keys = self._keys(charge)
        found = self._profiles.read(keys.values())
        own = {kind: found[key].get(self._profiles.region, NOTHING) for kind, key in keys.items()}
        histories = {kind: merged(found[key].values()) for kind, key in keys.items()}
        changes = remember_fraud(charge, own, histories, at)
        self._profiles.write({keys[kind]: change for kind, change in changes.items()})
        self._client.put_item(TableName=self._table, Item={**_mark(charge), "expires_at": {"N": str(at + LIFETIME)}})

    def _keys(self, charge: Charge) -> dict[str, str]:
        """Kind of entity → its key as it is stored: of a kept charge all of them, else of what the payment names."""
        answer = self._client.get_item(TableName=self._table, Key=_key(charge), ProjectionExpression="#keys",
                                       ExpressionAttributeNames={"#keys": "keys"})  # fmt: skip
        kept = answer.get("Item", {}).get("keys", {"M": {}})["M"]
        return entity_keys(charge, self._digest_key) | {kind: key["S"] for kind, key in kept.items()}

    def _write(self, charge: Charge, label: Label) -> None:
        """The score's label, where the score is kept and says something older. Said again, it stays as it is."""
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._table,
                Key=_key(charge),
                UpdateExpression="SET label = :said, label_source = :source, labelled_at = :at",
                ConditionExpression="attribute_exists(payment_id) AND (attribute_not_exists(label) OR "
                "(labelled_at <= :at AND NOT (label = :said AND label_source = :source)))",
                ExpressionAttributeValues={
                    ":said": {"S": label.said},
                    ":source": {"S": label.source},
                    ":at": {"N": str(label.at)},
                },
            )


def _key(charge: Charge) -> dict[str, Any]:
    return {"day": {"S": partition(charge.payment_id, charge.at)}, "payment_id": {"S": charge.payment_id}}


def _mark(charge: Charge) -> dict[str, Any]:
    """Key of the item that says: this payment's fraud is counted in the profiles."""
    return {"day": {"S": f"counted#{charge.payment_id}"}, "payment_id": {"S": charge.payment_id}}


def _seconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp())
