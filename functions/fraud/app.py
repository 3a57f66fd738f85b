"""Lambda function payments-fraud: the score of a charge, asked for by the saga before anything is posted."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from functions.fraud.booster import ModelUnavailable
from functions.fraud.charge import decode
from functions.fraud.model import Model, load_model
from functions.fraud.observability import logger
from functions.fraud.profiles import ProfileTable, dynamodb_client
from functions.fraud.scoring import score
from functions.fraud.settings import Settings, read_settings


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer `{"score", "reasons", "model", "degraded"}` to the saga's request (docs/interfaces.md).

    Raises only for a request that is not as agreed (KeyError, TypeError, ValueError); what is away degrades the answer.
    """
    settings = _settings()
    charge = decode(event)
    decision = score(charge, _table(settings), _model(settings.model_directory), settings.card_attempts_per_hour)
    answer = decision.answer()
    logger.info("charge scored", extra={"payment_id": charge.payment_id, "merchant_id": charge.merchant, **answer})
    return answer


@cache
def _settings() -> Settings:
    return read_settings(os.environ)


@cache
def _table(settings: Settings) -> ProfileTable:
    return ProfileTable(dynamodb_client(settings.region), settings.table, settings.region, settings.regions)


@cache
def _model(directory: Path) -> Model | None:
    try:
        return load_model(directory)
    except ModelUnavailable as error:
        logger.error("model unavailable", extra={"reason": str(error)})
        return None
