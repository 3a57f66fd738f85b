"""The fraud-profiles table: one item per entity and region. Each region adds to its own items only; readers sum.

Costs per charge: one BatchGetItem of entities x regions items (half a read unit each, eventually consistent), and one
UpdateItem per entity that counts the charge (features.remember), each below 1 KB: one replicated write unit per region.

Keys of people (customers' names may be e-mail addresses) are keyed digests in the table: who reads it without the key
can neither read nor enumerate them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.fraud.history import Change, History

if TYPE_CHECKING:
    from botocore.client import BaseClient

# Card, merchant, customer, device, IP and e-mail address.
MOST_ENTITIES = 6

# Each entity's write, and beside them the score's (scores.py).
_CONNECTIONS = MOST_ENTITIES + 1

PERSONAL = ("customer", "ip", "email")

# How often the table is asked before a charge goes on without it. At once one after the other: botocore's own retries
# would wait up to a second in between.
TRIES = 2


class ProfilesUnavailable(Exception):
    """The table did not answer, refused, or answered in part."""


@cache
def dynamodb_client(region: str, budget_ms: int) -> BaseClient:
    """The DynamoDB client of a region, made once. Both tries together wait no longer than the budget for an answer.

    A new connection may take as long again: the very worst is twice the budget.
    """
    patience = budget_ms / 1000 / TRIES
    config = Config(
        connect_timeout=patience,
        read_timeout=patience,
        retries={"total_max_attempts": 1},
        max_pool_connections=_CONNECTIONS,
        parameter_validation=False,
    )
    return botocore.session.get_session().create_client("dynamodb", region_name=region, config=config)


class ProfileTable:
    """Histories of entities, read over all `regions` and written to `region`; keys are those of charge.entities.

    `digest_key`, at most 64 bytes and the same in every region, is what personal keys are digested with; None: keys are
    given as they are stored.
    """

    def __init__(
        self, client: BaseClient, table: str, region: str, regions: tuple[str, ...], digest_key: str | None = ""
    ) -> None:
        self._client: Any = client  # botocore makes its methods at run time
        self._table = table
        self._region = region
        self._regions = regions
        self._digest_key = None if digest_key is None else digest_key.encode()
        self._writers = ThreadPoolExecutor(MOST_ENTITIES, thread_name_prefix="profile")

    @property
    def region(self) -> str:
        """The region this table writes to."""
        return self._region

    def read(self, keys: Iterable[str]) -> dict[str, dict[str, History]]:
        """Histories by entity key and region, in one round trip; absent where there is none.

        Raises ProfilesUnavailable.
        """
        found: dict[str, dict[str, History]] = {key: {} for key in keys}
        stored = {self._stored(key): key for key in found}
        wanted = [{"entity": {"S": key}, "region": {"S": region}} for key in stored for region in self._regions]
        request: dict[str, Any] = {self._table: {"Keys": wanted}}
        failed: Exception | None = None
        for _ in range(TRIES):
            try:
                answer = self._client.batch_get_item(RequestItems=request)
            except (BotoCoreError, ClientError) as error:
                failed = error
                continue
            for item in answer["Responses"].get(self._table, ()):
                found[stored[item["entity"]["S"]]][item["region"]["S"]] = _history(item)
            request = answer.get("UnprocessedKeys")  # what DynamoDB left out, and the next try asks for
            if not request:
                return found
        raise ProfilesUnavailable(str(failed or "keys left unprocessed")) from failed

    def write(self, changes: Mapping[str, Change]) -> None:
        """Apply changes by entity key to this region's items, in parallel; a payment already counted changes nothing.

        Raises ProfilesUnavailable if one failed; the others are applied all the same.
        """
        writes = [self._writers.submit(self._update, key, change) for key, change in changes.items()]
        errors = [error for write in writes if (error := write.exception()) is not None]
        for error in errors:
            if not isinstance(error, BotoCoreError | ClientError):
                raise error
        if errors:
            raise ProfilesUnavailable(str(errors[0])) from errors[0]

    def _update(self, key: str, change: Change) -> None:
        # A failed condition means that the payment is counted already.
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._table,
                Key={"entity": {"S": self._stored(key)}, "region": {"S": self._region}},
                **_update_expression(change),
            )

    def _stored(self, key: str) -> str:
        return key if self._digest_key is None else stored_key(key, self._digest_key)


def stored_key(key: str, digest_key: bytes) -> str:
    """The key as it is in the table: that of a person as a digest of 160 bits."""
    kind = key.partition("#")[0]
    if kind not in PERSONAL:
        return key
    return f"{kind}#{blake2b(key.encode(), digest_size=20, key=digest_key).hexdigest()}"


def _history(item: Mapping[str, Mapping[str, Any]]) -> History:
    numbers: dict[str, int] = {}
    sets: dict[str, frozenset[str]] = {}
    for name, value in item.items():
        if "N" in value:
            numbers[name] = int(value["N"])
        elif "SS" in value:
            sets[name] = frozenset(value["SS"])
    numbers.pop("expires_at", None)
    return History(numbers, sets)


def _update_expression(change: Change) -> dict[str, Any]:
    """The change as UpdateItem's arguments. No attribute name in use is a reserved word of DynamoDB."""
    values: dict[str, dict[str, Any]] = {":payment": {"S": change.payment}}

    def number(value: int) -> str:
        values[placeholder := f":{len(values)}"] = {"N": str(value)}
        return placeholder

    def member(value: str) -> str:
        values[placeholder := f":{len(values)}"] = {"SS": [value]}
        return placeholder

    puts = {**change.put, "expires_at": change.expires_at}
    adds = [f"{name} {number(value)}" for name, value in change.add.items()]
    adds += [f"{name} {member(value)}" for name, value in change.join.items()]
    sets = [f"{name} = {number(value)}" for name, value in puts.items()]
    sets += [f"{name} = if_not_exists({name}, {number(value)})" for name, value in change.first.items()]
    expression = f"ADD {', '.join(adds)} SET {', '.join(sets)}"
    if change.drop:
        expression += f" REMOVE {', '.join(change.drop)}"
    return {
        "UpdateExpression": expression,
        "ConditionExpression": " AND ".join(f"NOT contains({name}, :payment)" for name in change.remembered_in),
        "ExpressionAttributeValues": values,
    }
