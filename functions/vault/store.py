"""The vault-tokens table: one item per card, and the vault's own wrapped keys.

A card's item (`token`): ciphertext, bin, last4, brand, network, exp_month, exp_year, token_key_version; `holders`, the
attempts that may still need it; `merchants`, who may charge it again; and, in Unix seconds,

- `expires_at`: from then on the token counts as unknown, and DynamoDB's TTL deletes the item when it gets round to it;
- `released_at`: the last attempt let go of it before it was ever used;
- `used_at`, `kept_until`: set once a charge reached the network. A used token never expires: `kept_until` is the end
  of the year 9999, and `expires_at` takes it over. One unconditional update can therefore serve first and later uses:
  `expires_at = if_not_exists(kept_until, …)`, where DynamoDB has no "set unless".

Every change is one UpdateItem, so each is atomic in its region; between regions the last writer of an item wins.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from functions.vault.cards import Card

FOREVER = 253_402_300_799  # 9999-12-31T23:59:59Z
UNUSED_LIFETIME = 7 * 86_400  # seconds a token lives that no charge has used
RELEASE_GRACE = 86_400  # seconds in which a use elsewhere can still win over a release

_FACTS = ("token", "brand", "network", "bin", "last4")

Item = dict[str, Any]  # in DynamoDB's own typed form


def dynamodb_client() -> Any:
    """A client with explicit time-outs; region, credentials and AWS_ENDPOINT_URL come from the environment."""
    config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3})
    return botocore.session.get_session().create_client("dynamodb", config=config)


def card_facts(item: Item) -> dict[str, Any]:
    """What a card's item says about the card, in the form docs/interfaces.md answers it. Never the number."""
    facts: dict[str, Any] = {name: item[name]["S"] for name in _FACTS}
    return facts | {name: int(item[name]["N"]) for name in ("exp_month", "exp_year")}


class TokenStore:
    """The table, one method per change."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def hold_card(
        self, token: str, card: Card, ciphertext: bytes, key_version: int, attempt: str, merchant_id: str, now: int
    ) -> Item:
        """Stores the card, new or again, held by `attempt` and known to `merchant_id`. Returns the item."""
        values = {
            ":ciphertext": {"B": ciphertext},
            ":bin": {"S": card.bin},
            ":last4": {"S": card.last4},
            ":brand": {"S": card.brand.name},
            ":network": {"S": card.brand.network},
            ":month": _number(card.exp_month),
            ":year": _number(card.exp_year),
            ":version": _number(key_version),
            ":unused": _number(now + UNUSED_LIFETIME),
            ":attempt": {"SS": [attempt]},
            ":merchant": {"SS": [merchant_id]},
        }
        return self._update(
            token,
            "SET #ciphertext = :ciphertext, #bin = :bin, #last4 = :last4, #brand = :brand, #network = :network, "
            "#exp_month = :month, #exp_year = :year, #token_key_version = :version, "
            "#expires_at = if_not_exists(#kept_until, :unused) "
            "ADD #holders :attempt, #merchants :merchant REMOVE #released_at",
            values,
        )

    def hold_token(self, token: str, attempt: str, merchant_id: str, now: int) -> Item | None:
        """Lets `attempt` hold a token that is alive and known to `merchant_id`; None, and no change, otherwise."""
        values = {
            ":attempt": {"SS": [attempt]},
            ":merchant": {"S": merchant_id},
            ":now": _number(now),
            ":unused": _number(now + UNUSED_LIFETIME),
        }
        return self._update_if(
            token,
            "SET #expires_at = if_not_exists(#kept_until, :unused) ADD #holders :attempt REMOVE #released_at",
            values,
            "#expires_at > :now AND contains(#merchants, :merchant)",
        )

    def leave(self, token: str, attempt: str) -> Item | None:
        """Takes `attempt` from the holders, if it is one. Returns the item as it then is; None for an unknown token."""
        values = {":attempt": {"SS": [attempt]}}
        return self._update_if(token, "DELETE #holders :attempt", values, "attribute_exists(#token)")

    def retire(self, token: str, now: int) -> bool:
        """Gives a token nobody holds or has used its grace period; False, and no change, if somebody came first."""
        values = {":now": _number(now), ":grace": _number(now + RELEASE_GRACE)}
        condition = "attribute_exists(#token) AND attribute_not_exists(#holders) AND attribute_not_exists(#used_at)"
        update = "SET #released_at = :now, #expires_at = :grace"
        return self._update_if(token, update, values, condition) is not None

    def mark_used(self, token: str, now: int) -> Item | None:
        """Keeps a living token for good; None, and no change, for an unknown one.

        Nobody needs to hold what is kept, so the holders go: otherwise the set would grow with every charge of a card.
        """
        values = {":now": _number(now), ":forever": _number(FOREVER)}
        return self._update_if(
            token,
            "SET #used_at = if_not_exists(#used_at, :now), #kept_until = :forever, #expires_at = :forever "
            "REMOVE #holders, #released_at",
            values,
            "#expires_at > :now",
        )

    def read_key(self, name: str) -> Item | None:
        """One of the vault's own key items, by its name; None if it is absent. Strongly consistent."""
        answer = self._client.get_item(TableName=self._table, Key={"token": {"S": name}}, ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    def create_key(self, name: str, attributes: Item) -> None:
        """Stores a key item unless there is one of that name already."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item={"token": {"S": name}, **attributes},
                ConditionExpression="attribute_not_exists(#token)",
                ExpressionAttributeNames={"#token": "token"},
            )
        except ClientError as error:
            _reraise_unless_condition(error)

    def _update_if(self, token: str, update: str, values: Mapping[str, Any], condition: str) -> Item | None:
        """The item after the update; None, and no change, where the condition does not hold."""
        try:
            return self._update(token, update, values, ConditionExpression=condition)
        except ClientError as error:
            _reraise_unless_condition(error)
            return None

    def _update(self, token: str, update: str, values: Mapping[str, Any], **condition: str) -> Item:
        """One UpdateItem: the item as it then is. In the expressions, `#name` stands for the attribute `name`."""
        answer = self._client.update_item(
            TableName=self._table,
            Key={"token": {"S": token}},
            UpdateExpression=update,
            ExpressionAttributeNames=_names(update + "".join(condition.values())),
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
            **condition,
        )
        item: Item = answer["Attributes"]
        return item


@cache
def _names(expressions: str) -> dict[str, str]:
    return {f"#{name}": name for name in re.findall(r"#(\w+)", expressions)}


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _reraise_unless_condition(error: ClientError) -> None:
    if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
