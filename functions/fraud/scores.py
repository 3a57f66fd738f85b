"""The table fraud-scores: what was seen of a charge when it was scored, so that a model can learn from it.

Costs a plain write unit ($0.625 per million) for what is kept, so an item stays below 1 KB. Its row of features is
most of it, and half empty: packed by zlib, without loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from zlib import compress

from botocore.exceptions import BotoCoreError, ClientError

from functions.fraud.booster import ModelUnavailable
from functions.fraud.charge import Charge, entities, value_in_cents
from functions.fraud.decision import Decision, packed
from functions.fraud.features import NAMES
from functions.fraud.history import DAY
from functions.fraud.model import Model
from functions.fraud.observability import logger
from functions.fraud.profiles import stored_key

if TYPE_CHECKING:
    from botocore.client import BaseClient

# From this score on every charge is kept: frauds are there, and they are few.
SCORES_KEPT_FROM = 50

# Partitions of a day: 64,000 writes a second.
BUCKETS = 64

LIFETIME = 200 * DAY

# Which catalogue a row belongs to; models are trained on rows of one.
CATALOGUE = sha256(",".join(NAMES).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Scored:
    """A charge with its row of features and what was decided; `probability` is the model's, where one was asked, and
    `unusual` whether the amount was for the card."""

    charge: Charge
    row: Sequence[float]
    decision: Decision
    probability: float | None
    unusual: bool


def partition(payment_id: str, at: int) -> str:
    """The partition (`day`) of a payment that was made at Unix second `at`."""
    bucket = int.from_bytes(sha256(payment_id.encode()).digest()[:8]) % BUCKETS
    return f"{datetime.fromtimestamp(at, UTC).date()}#{bucket}"


def weight(payment_id: str, decision: Decision, rate: float) -> float | None:
    """For how many charges this one is kept; None: it is not.

    Chosen by the payment's id, so a repeated scoring chooses alike, and by other bytes of its hash than `partition`.
    What could not be seen whole teaches nothing, unless it was risky all the same.
    """
    if decision.score >= SCORES_KEPT_FROM:
        return 1.0
    lot = int.from_bytes(sha256(payment_id.encode()).digest()[8:16]) / 2**64
    return None if decision.degraded or lot >= rate else 1 / rate


def entity_keys(charge: Charge, digest_key: bytes) -> dict[str, str]:
    """The charge's entities by kind, with their keys as they are in fraud-profiles."""
    return {kind: stored_key(key, digest_key) for kind, key in entities(charge).items()}


def item(scored: Scored, stands_for: float, digest_key: bytes) -> dict[str, Any]:
    """The table's item (docs/interfaces.md, "Scores, labels and models"). The merchant's key follows from
    `merchant`."""
    charge, decision = scored.charge, scored.decision
    keys = entity_keys(charge, digest_key)
    del keys["merchant"]
    known: dict[str, Any] = {
        "day": {"S": partition(charge.payment_id, charge.at)},
        "payment_id": {"S": charge.payment_id},
        "at": {"N": str(charge.at)},
        "merchant": {"S": charge.merchant},
        "value": {"N": str(value_in_cents(charge))},
        "currency": {"S": charge.currency},
        "features": {"B": compress(packed(scored.row))},
        "features_hash": {"S": decision.features_hash},
        "catalogue": {"S": CATALOGUE},
        "score": {"N": str(decision.score)},
        "model": {"S": decision.model},
        "decision": {"S": decision.decision},
        "weight": {"N": f"{stands_for:.10g}"},
        "keys": {"M": {kind: {"S": key} for kind, key in keys.items()}},
        "unusual": {"BOOL": scored.unusual},
        "expires_at": {"N": str(charge.at + LIFETIME)},
    }
    if scored.probability is not None:
        known["probability"] = {"N": repr(scored.probability)}
    if shadow := decision.shadow:
        known["shadow_model"] = {"S": shadow.model}
        known["shadow_score"] = {"N": str(shadow.score)}
        known["shadow_probability"] = {"N": repr(shadow.probability)}
    return known


class ScoreLog:
    """Keeps what is to be kept, at `rate` (0 to 1) of what is not risky. `client` is the profiles', with its
    time-outs."""

    def __init__(self, client: BaseClient, table: str, rate: float, digest_key: str) -> None:
        self._client: Any = client  # botocore makes its methods at run time
        self._table = table
        self._rate = rate
        self._digest_key = digest_key.encode()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="score")

    def keep(
        self, charge: Charge, row: Sequence[float], decision: Decision, model: Model | None, unusual: bool
    ) -> Callable[[], None]:
        """Begin to write the charge, if it is to be kept; call the answer to wait until that is done. Raises nothing.

        The first scoring stands: a later one of the same payment sees the charge itself among what went before.
        """
        stands_for = weight(charge.payment_id, decision, self._rate)
        if stands_for is None:
            return _nothing
        scored = Scored(charge, row, decision, _probability(row, decision, model), unusual)
        writing = self._writer.submit(self._write, scored, stands_for)
        return lambda: _done(writing, charge.payment_id)

    def _write(self, scored: Scored, stands_for: float) -> None:
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.put_item(
                TableName=self._table,
                Item=item(scored, stands_for, self._digest_key),
                ConditionExpression="attribute_not_exists(payment_id)",
            )


def _probability(row: Sequence[float], decision: Decision, model: Model | None) -> float | None:
    """What the model that was asked said, once more: a prediction costs less than carrying it through every charge."""
    if model is None or decision.model != model.version:
        return None
    try:
        return model.opinion(row).probability
    except ModelUnavailable:
        return None


def _done(writing: Future[None], payment_id: str) -> None:
    error = writing.exception()
    if error is not None:
        told = repr(error) if isinstance(error, BotoCoreError | ClientError) else type(error).__name__
        logger.warning("score not kept", extra={"payment_id": payment_id, "reason": told})


def _nothing() -> None:
    """There is nothing to wait for."""
