"""The clearing accounts, as the projector counts them, against what reconciliation holds open.

Per network and currency, `ledger` is the posted balance of the clearing account over all shards and accounting
periods. `open` is what the run has left open, plus what the ledger has booked since it took the feed: captures (less
those that failed), refunds, chargebacks and representments in objects of the feed that are not the run's, but for the
disputes that the run has opened itself. What the run has settled it holds open no longer, so the two agree once the
projector has counted the run's journals, and not before. `drift` is `ledger` less `open`.
"""

import gzip
import time
import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from functions.reconciliation import store
from functions.reconciliation.crowd import each
from functions.reconciliation.settings import Settings
from payments import identifiers, projection
from payments.clients import client
from payments.records import plain
from payments.settings import load
from payments.settlement import FactKind

Place = tuple[str, str]
"""Network and currency."""

Amounts = Mapping[Place, int]

_PAUSE_SECONDS = 1
_MOVEMENTS = frozenset(FactKind) - {FactKind.SETTLEMENT, FactKind.UNSETTLEMENT}
_CLEARING = "network:"


class FeedFact(msgspec.Struct, frozen=True):
    """What is read of a fact in the feed."""

    payment_id: str
    journal_id: str
    kind: str
    network: str | None
    currency: str
    amount: int


class Clearing:
    """Compares with what a run holds open; `taken` are the keys of the feed that are the run's, `disputes` the journals
    that it has opened itself."""

    def __init__(self, held: Amounts, taken: Collection[str], disputes: Collection[str]) -> None:
        self._held, self._taken, self._disputes = held, frozenset(taken), frozenset(disputes)
        self._read: set[str] = set()
        self._seen: set[int] = set()
        self._later: Counter[Place] = Counter()

    def agree(self) -> list[dict[str, Any]]:
        """The comparison once it agrees, or as it is when `DRIFT_SECONDS` are over: a list of `network`, `currency`,
        `ledger`, `open` and `drift`."""
        until = time.monotonic() + load(Settings).drift_seconds
        while True:
            found = self._compared()
            if not any(row["drift"] for row in found) or time.monotonic() >= until:
                return found
            time.sleep(_PAUSE_SECONDS)

    def _compared(self) -> list[dict[str, Any]]:
        booked = ledger()
        self._read_on()
        held = Counter(self._held)
        held.update(self._later)
        return [
            {
                "network": network,
                "currency": currency,
                "ledger": booked[network, currency],
                "open": held[network, currency],
                "drift": booked[network, currency] - held[network, currency],
            }
            for network, currency in sorted({*booked, *held})
        ]

    def _read_on(self) -> None:
        """Adds what objects of the feed say that are not the run's and were not read yet; a fact counts once."""
        for key in store.find(store.FEED):
            if key in self._taken or key in self._read:
                continue
            packed = store.read(key)
            if packed is not None:
                self._read.add(key)
                self._add(packed)

    def _add(self, packed: bytes) -> None:
        try:
            facts = msgspec.json.Decoder(FeedFact).decode_lines(gzip.decompress(packed))
        except (OSError, EOFError, zlib.error, msgspec.MsgspecError):
            return  # damaged, which compaction reports; what it held is drift
        for fact in facts:
            if not fact.network or fact.kind not in _MOVEMENTS or fact.journal_id in self._disputes:
                continue
            name = hash((fact.payment_id, fact.journal_id, fact.kind, fact.network, fact.currency))
            if name not in self._seen:
                self._seen.add(name)
                self._later[fact.network, fact.currency] += FactKind(fact.kind).sign * fact.amount


def ledger() -> Counter[Place]:
    """The posted balance of every clearing account, in minor units, as of now."""
    client("dynamodb")  # made once, before the threads ask for it
    found: Counter[Place] = Counter()
    for sums in each(_of_shard, range(identifiers.SHARDS)):
        found.update(sums)
    return found


def _of_shard(shard: int) -> Counter[Place]:
    pages = (
        client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=load(Settings).balances_table,
            KeyConditionExpression="#account = :shard",  # a reserved word
            ExpressionAttributeNames={"#account": "account"},
            ExpressionAttributeValues={":shard": {"S": projection.shard_account(shard)}},
            ConsistentRead=True,
        )
    )
    found: Counter[Place] = Counter()
    for page in pages:
        for item in map(plain, page["Items"]):
            currency = item["period"].partition("#")[0]
            for control, balance in projection.trial_balance(item).items():
                if control.startswith(_CLEARING):
                    found[control.removeprefix(_CLEARING), currency] += balance.debit
    return found
