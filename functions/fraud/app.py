"""Lambda function payments-fraud: the score of a charge, asked for by the saga before anything is posted."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from functions.fraud.booster import ModelUnavailable
from functions.fraud.charge import CountryOf, decode, nowhere
from functions.fraud.country import Countries, CountryUnavailable, packaged
from functions.fraud.decision import Limits
from functions.fraud.listed import presented
from functions.fraud.lists import RuleTable, rules_client
from functions.fraud.model import Model, load_model
from functions.fraud.observability import logger
from functions.fraud.profiles import ProfileTable, dynamodb_client
from functions.fraud.rules import card_attempts
from functions.fraud.scoring import score
from functions.fraud.settings import Settings, read_settings


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer score and decision to the saga's request (docs/interfaces.md).

    Raises only for a request that is not as agreed (KeyError, TypeError, ValueError); what is away degrades the answer.
    """
    settings = _settings()
    charge, limits = decode(event, _countries()), Limits.of(event.get("fraud_limits"))
    lists = _rules(settings).ask(charge.merchant, presented(event, settings.digest_key))
    decision = score(charge, _table(settings), _model(settings.model_directory), lists, limits)
    answer = decision.answer()
    logger.info("charge scored", extra={"payment_id": charge.payment_id, "merchant_id": charge.merchant, **answer})
    return answer


@cache
def _settings() -> Settings:
    return read_settings(os.environ)


@cache
def _table(settings: Settings) -> ProfileTable:
    client = dynamodb_client(settings.region, settings.profiles_budget_ms)
    return ProfileTable(client, settings.table, settings.region, settings.regions, settings.digest_key)


@cache
def _rules(settings: Settings) -> RuleTable:
    always = (card_attempts(settings.card_attempts_per_hour),)
    return RuleTable(rules_client(settings.region), settings.rules_table, always)


@cache
def _countries() -> CountryOf:
    try:
        return Countries(packaged())
    except CountryUnavailable as error:
        logger.error("countries unavailable", extra={"reason": str(error)})
        return nowhere


@cache
def _model(directory: Path) -> Model | None:
    try:
        return load_model(directory)
    except ModelUnavailable as error:
        logger.error("model unavailable", extra={"reason": str(error)})
        return None
