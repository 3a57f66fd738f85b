"""The table fraud-rules: lists and rules, global and of merchants, as far as they are about one charge.

A scope (`global` or a merchant's id) is one partition. Its rules, and which kinds of lists it has, are read by one
Query, the global one with which models are to be asked, and remembered for `FRESH_SECONDS`; only lists of these kinds
are asked for the charge's values, by one BatchGetItem for both scopes. Answers are remembered for as long, so that
what every charge asks for (a country, the first digits of a card) does not make one item hot. So a change counts
within `FRESH_SECONDS` of its arrival in the region, and where there are no lists a charge costs nothing but a Query
for each scope every few seconds.

Reading begins with `ask` and goes on beside whatever else the charge needs. It never fails a charge: after
its patience (`LISTS_BUDGET_MS`), or an error, the charge gets what is remembered, however old, marked as not complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.fraud import listed
from functions.fraud.listed import Presented
from functions.fraud.model import Pointers
from functions.fraud.observability import logger
from functions.fraud.rules import GLOBAL, ON, SHADOW, Entry, Lists, Rule, UnknownRule, entry_of, rule_of

if TYPE_CHECKING:
    from botocore.client import BaseClient

FRESH_SECONDS = 5.0
PATIENCE_SECONDS = 0.25

# Scopes and values remembered; when there are more, all are read anew.
SCOPES_REMEMBERED = 1_000
VALUES_REMEMBERED = 10_000

# A read that hangs must not keep the next charge's from beginning.
READERS = 2

# What a scope's Query reads: models (only those of `global` are asked), its rules, and the kinds of lists it has.
# Nothing else has a name in between.
_MODEL, _KIND = "model#", "uses#"
_FIRST, _LAST = "model#", "uses$"

_NEVER = float("-inf")

Name = tuple[str, str]
"""Scope and entry of an item."""

Read = tuple[float, Entry | None, bool]
"""When a value was read, what lists say of it, and whether it was understood."""

_NOTHING: Read = (_NEVER, None, True)


class ReadInPart(Exception):
    """The table left keys out of its answers."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Rules of a scope that are on or in shadow, and the kinds of lists it has; `complete` is False where a rule was
    not understood. `models` is None where it is not known which models are to be asked."""

    rules: tuple[Rule, ...] = ()
    shadow: tuple[Rule, ...] = ()
    kinds: frozenset[str] = frozenset()
    complete: bool = True
    models: Pointers | None = None


@cache
def rules_client(region: str, patience: float = PATIENCE_SECONDS) -> BaseClient:
    """The DynamoDB client for lists and rules, made once: it gives up after twice as many seconds as a charge waits."""
    config = Config(
        connect_timeout=2 * patience,
        read_timeout=2 * patience,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=READERS,
        parameter_validation=False,
    )
    return botocore.session.get_session().create_client("dynamodb", region_name=region, config=config)


class RuleTable:
    """Lists and rules as the region has them. `always` are global rules that need no table; a stored one of the same id
    takes the place of such a rule. `patience` is how many seconds a charge waits for what is read."""

    def __init__(
        self,
        client: BaseClient,
        table: str,
        always: Iterable[Rule],
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._client: Any = client  # botocore makes its methods at run time
        self._table = table
        self._always = tuple(always)
        self._clock = clock
        self.patience = patience
        self._scopes: dict[str, tuple[float, Scope]] = {}
        self._entries: dict[Name, Read] = {}
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="rules")

    def ask(self, merchant: str, shown: Presented) -> Callable[[], Lists]:
        """Begin to read what applies to a merchant's charge that shows this; call the answer when it is needed.

        Calling it waits until `patience` seconds after the beginning, and raises nothing.
        """
        known, all_of_it = self._remembered(merchant, shown, self._clock() - FRESH_SECONDS)
        if all_of_it:
            return lambda: known
        reading = self._readers.submit(self._read, merchant, shown)
        until = time.monotonic() + self.patience
        return lambda: self._awaited(reading, until, merchant, shown)

    def _awaited(self, reading: Future[Lists], until: float, merchant: str, shown: Presented) -> Lists:
        try:
            return reading.result(max(0.0, until - time.monotonic()))
        except (BotoCoreError, ClientError, ReadInPart, TimeoutError) as error:
            reading.cancel()
            logger.warning("lists unavailable", extra={"merchant_id": merchant, "reason": repr(error)})
            return replace(self._remembered(merchant, shown, _NEVER)[0], complete=False)

    def _remembered(self, merchant: str, shown: Presented, since: float) -> tuple[Lists, bool]:
        """What was read after `since`, and whether that is all there is to know."""
        scopes, all_of_it = [], True
        for name in (GLOBAL, merchant):
            at, scope = self._scopes.get(name, (_NEVER, self._unread(name)))
            scopes.append(scope)
            all_of_it = all_of_it and at > since
        everywhere, own = scopes
        found: list[Entry] = []
        complete = everywhere.complete and own.complete
        for key in _names(shown, everywhere, merchant, own):
            read_at, entry, understood = self._entries.get(key, _NOTHING)
            all_of_it = all_of_it and read_at > since
            complete = complete and understood
            if entry:
                found.append(entry)
        rules, shadow = everywhere.rules + own.rules, everywhere.shadow + own.shadow
        return Lists(tuple(found), rules, shadow, complete, everywhere.models), all_of_it

    def _unread(self, scope: str) -> Scope:
        return Scope(self._always if scope == GLOBAL else ())

    def _read(self, merchant: str, shown: Presented) -> Lists:
        """Read what is not fresh, the scopes first, because they tell which lists there are."""
        now = self._clock()
        scopes = []
        for scope_id in (GLOBAL, merchant):
            at, scope = self._scopes.get(scope_id, (_NEVER, Scope()))
            if at <= now - FRESH_SECONDS:
                scope = self._scope(scope_id)
                _remember(self._scopes, SCOPES_REMEMBERED, scope_id, (now, scope))
            scopes.append(scope)
        names = _names(shown, scopes[0], merchant, scopes[1])
        names = [name for name in names if self._entries.get(name, _NOTHING)[0] <= now - FRESH_SECONDS]
        found = {(item["scope"]["S"], item["entry"]["S"]): _entry(item) for item in self._batch(names)}
        for name in names:
            entry, understood = found.get(name, (None, True))
            _remember(self._entries, VALUES_REMEMBERED, name, (now, entry, understood))
        lists, all_of_it = self._remembered(merchant, shown, now - FRESH_SECONDS)
        return lists if all_of_it else replace(lists, complete=False)

    def _scope(self, name: str) -> Scope:
        kinds: set[str] = set()
        rules: list[Rule] = []
        models: dict[str, Mapping[str, Any]] = {}
        complete = True
        for item in self._query(name):
            entry = item["entry"]["S"]
            if entry.startswith(_KIND):
                kinds.add(entry.removeprefix(_KIND))
                continue
            if entry.startswith(_MODEL):
                models[entry.removeprefix(_MODEL)] = item
                continue
            try:
                rules.append(rule_of(name, item["rule"]["S"]))
            except (UnknownRule, KeyError) as error:
                logger.error("rule not understood", extra={"rule": f"{name}/{entry}", "reason": repr(error)})
                complete = False
        ids = {rule.id for rule in rules}
        rules += (rule for rule in self._unread(name).rules if rule.id not in ids)
        live, shadow = (tuple(rule for rule in rules if rule.state == state) for state in (ON, SHADOW))
        return Scope(live, shadow, frozenset(kinds), complete, _pointers(models))

    def _query(self, scope: str) -> Iterator[Mapping[str, Any]]:
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "#scope = :scope AND entry BETWEEN :first AND :last",
            "ProjectionExpression": "entry, #rule, #version",
            "ExpressionAttributeNames": {"#scope": "scope", "#rule": "rule", "#version": "version"},
            "ExpressionAttributeValues": {":scope": {"S": scope}, ":first": {"S": _FIRST}, ":last": {"S": _LAST}},
        }
        while True:
            answer = self._client.query(**query)
            yield from answer.get("Items", ())
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _batch(self, names: Iterable[Name]) -> Iterator[Mapping[str, Any]]:
        """Items of these names, those that are there. Raises ReadInPart."""
        keys = [{"scope": {"S": scope}, "entry": {"S": entry}} for scope, entry in names]
        for _ in range(2):  # what DynamoDB leaves unprocessed is asked for once more
            if not keys:
                return
            answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys}})
            yield from answer.get("Responses", {}).get(self._table, ())
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        if keys:
            raise ReadInPart


def _names(shown: Presented, everywhere: Scope, merchant: str, own: Scope) -> list[Name]:
    """Names of all entries that would be about the charge."""
    if not everywhere.kinds and not own.kinds:
        return []
    found = listed.entries(shown, everywhere.kinds | own.kinds)
    names = [(GLOBAL, entry) for kind, entry in found if kind in everywhere.kinds]
    return names + [(merchant, entry) for kind, entry in found if kind in own.kinds]


def _pointers(models: Mapping[str, Mapping[str, Any]]) -> Pointers | None:
    """Which models are to be asked; None, and a line in the log, where the champion is not understood."""
    champion, shadow = ((models.get(role) or {}).get("version", {}).get("S") for role in ("champion", "shadow"))
    if "champion" in models and not champion:
        logger.error("champion not understood")
        return None
    return Pointers(champion, shadow)


def _entry(item: Mapping[str, Any]) -> tuple[Entry | None, bool]:
    """The entry of an item, and whether it was understood; what is not is in the log."""
    try:
        expires_at = int(item["expires_at"]["N"]) if "expires_at" in item else None
        return entry_of(item["scope"]["S"], item["type"]["S"], item["action"]["S"], expires_at), True
    except (UnknownRule, KeyError) as error:
        logger.error("list entry not understood", extra={"scope": item["scope"]["S"], "reason": repr(error)})
        return None, False


def _remember(held: dict[Any, Any], most: int, name: str | Name, value: tuple[Any, ...]) -> None:
    if len(held) >= most and name not in held:
        held.clear()
    held[name] = value
