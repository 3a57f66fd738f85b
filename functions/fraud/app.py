"""Lambda functions payments-fraud: the score of a charge, asked for by the saga before anything is posted; and
payments-fraud-labels: what payments say later about whether it was fraud."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from functions.fraud.booster import ModelUnavailable
from functions.fraud.charge import CountryOf, decode, nowhere
from functions.fraud.country import Countries, CountryUnavailable, packaged
from functions.fraud.decision import Limits
from functions.fraud.labels import Labels
from functions.fraud.listed import presented
from functions.fraud.lists import RuleTable, rules_client
from functions.fraud.model import Model, load_model
from functions.fraud.models import Bucket, Models
from functions.fraud.observability import logger
from functions.fraud.profiles import ProfileTable, dynamodb_client
from functions.fraud.rules import card_attempts
from functions.fraud.scores import ScoreLog
from functions.fraud.scoring import score
from functions.fraud.settings import LabelSettings, Settings, read_label_settings, read_settings

# What the labels' function waits for the profiles; nobody waits for it.
LABELS_BUDGET_MS = 4000


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer score and decision to the saga's request (docs/interfaces.md).

    Raises only for a request that is not as agreed (KeyError, TypeError, ValueError); what is away degrades the answer.
    """
    settings = _settings()
    charge, limits = decode(event, _countries(settings.country_database)), Limits.of(event.get("fraud_limits"))
    lists = _rules(settings).ask(charge.merchant, presented(event, settings.digest_key))
    decision = score(charge, _table(settings), _models(settings).asked, lists, limits, _scores(settings))
    told = {"payment_id": charge.payment_id, "merchant_id": charge.merchant, **decision.logged()}
    logger.info("charge scored", extra=told)
    return decision.answer()


def label(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Write what a batch of the stream of `payments` says of charges; ends with the first record that fails.

    Lambda repeats everything from the first failed record on, so going on after it would only be done again.
    """
    labels = _labels(read_label_settings(os.environ))
    for record in event["Records"]:
        try:
            labels.follow(record)
        except Exception as error:  # noqa: BLE001 - whatever it is: the record is repeated, then a dead letter
            change = record.get("dynamodb", {})
            logger.error("label not written", extra={"keys": change.get("Keys"), "reason": repr(error)})
            return {"batchItemFailures": [{"itemIdentifier": change.get("SequenceNumber")}]}
    logger.info("payments followed", extra={"records": len(event["Records"])})
    return {"batchItemFailures": []}


@cache
def _settings() -> Settings:
    return read_settings(os.environ)


@cache
def _table(settings: Settings) -> ProfileTable:
    client = dynamodb_client(settings.region, settings.profiles_budget_ms)
    return ProfileTable(client, settings.table, settings.region, settings.regions, settings.digest_key)


@cache
def _scores(settings: Settings) -> ScoreLog:
    client = dynamodb_client(settings.region, settings.profiles_budget_ms)
    return ScoreLog(client, settings.scores_table, settings.scores_rate, settings.digest_key)


@cache
def _labels(settings: LabelSettings) -> Labels:
    client = dynamodb_client(settings.region, LABELS_BUDGET_MS)
    profiles = ProfileTable(client, settings.table, settings.region, settings.regions, digest_key=None)
    return Labels(client, settings.scores_table, profiles, settings.digest_key)


@cache
def _rules(settings: Settings) -> RuleTable:
    always = (card_attempts(settings.card_attempts_per_hour),)
    patience = settings.lists_budget_ms / 1000
    return RuleTable(rules_client(settings.region, patience), settings.rules_table, always, patience=patience)


@cache
def _countries(file: Path | None) -> CountryOf:
    try:
        return Countries(file or packaged())
    except CountryUnavailable as error:
        logger.error("countries unavailable", extra={"reason": str(error)})
        return nowhere


@cache
def _models(settings: Settings) -> Models:
    return Models(_model(settings.model_directory), Bucket(settings.region, settings.models_bucket).fetch)


@cache
def _model(directory: Path) -> Model | None:
    try:
        return load_model(directory)
    except ModelUnavailable as error:
        logger.error("model unavailable", extra={"reason": str(error)})
        return None
