"""Scoring one charge: read its profiles, decide, count it."""

from __future__ import annotations

from collections.abc import Mapping

from functions.fraud.charge import Charge, entities
from functions.fraud.decision import Decision, blind, decide
from functions.fraud.features import NOTHING, remember, row
from functions.fraud.history import History, counted, merged
from functions.fraud.model import Model
from functions.fraud.observability import logger
from functions.fraud.profiles import ProfilesUnavailable, ProfileTable


def score(charge: Charge, table: ProfileTable, model: Model | None, card_attempts_per_hour: int) -> Decision:
    """The decision on a charge; counts the charge in its profiles unless the payment is counted already.

    A charge is never refused because a store is away: without profiles the answer is degraded, and an answer whose
    charge could not be counted is given all the same.
    """
    keys = entities(charge)
    try:
        profiles = table.read(keys.values())
    except ProfilesUnavailable as error:
        logger.warning("profiles unavailable", extra={"payment_id": charge.payment_id, "reason": str(error)})
        return blind()
    histories = {kind: merged(profiles[key].values()) for kind, key in keys.items()}
    decision = decide(row(charge, histories), model, card_attempts_per_hour)
    if not counted(histories["card"], charge.payment_id, charge.at):
        _count(charge, keys, profiles, table, decision.blocked)
    return decision


def _count(
    charge: Charge,
    keys: Mapping[str, str],
    profiles: Mapping[str, Mapping[str, History]],
    table: ProfileTable,
    blocked: bool,
) -> None:
    own = {key: profiles[key].get(table.region, NOTHING) for key in keys.values()}
    try:
        table.write({key: remember(kind, own[key], charge, blocked) for kind, key in keys.items()})
    except ProfilesUnavailable as error:
        logger.warning("charge not counted", extra={"payment_id": charge.payment_id, "reason": str(error)})
