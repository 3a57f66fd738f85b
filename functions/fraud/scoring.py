"""Scoring one charge: read its profiles, decide, count it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from functions.fraud import rules
from functions.fraud.charge import Charge, entities
from functions.fraud.decision import PLATFORM, Decision, Limits, blind, decide
from functions.fraud.facts import Facts
from functions.fraud.features import NOTHING, remember, row
from functions.fraud.history import History, counted, merged
from functions.fraud.model import Model
from functions.fraud.observability import logger
from functions.fraud.profiles import ProfilesUnavailable, ProfileTable
from functions.fraud.rules import Lists, Verdict


def score(
    charge: Charge,
    table: ProfileTable,
    model: Model | None,
    lists: Callable[[], Lists],
    limits: Limits = PLATFORM,
) -> Decision:
    """The decision on a charge; counts the charge in its profiles unless the payment is counted already.

    `lists` are being read (lists.RuleTable.ask) and called for when the profiles are there.

    A charge is never refused because a store is away: without profiles the answer is degraded, and an answer whose
    charge could not be counted is given all the same.
    """
    keys = entities(charge)
    try:
        profiles = table.read(keys.values())
    except ProfilesUnavailable as error:
        logger.warning("profiles unavailable", extra={"payment_id": charge.payment_id, "reason": str(error)})
        return blind(*_said(charge, Facts(charge, {}), lists()))
    histories = {kind: merged(profiles[key].values()) for kind, key in keys.items()}
    verdict, complete = _said(charge, Facts(charge, histories), lists())
    decision = decide(row(charge, histories), model, verdict, complete, limits)
    if not counted(histories["card"], charge.payment_id, charge.at):
        _count(charge, keys, profiles, histories, table, decision.blocked)
    return decision


def _said(charge: Charge, facts: Facts, lists: Lists) -> tuple[Verdict | None, bool]:
    """What lists and rules say, and whether that is all they say. What rules in shadow would say is logged."""
    for verdict in rules.shadow(charge, facts, lists):
        logger.info("rule in shadow", extra={"payment_id": charge.payment_id, **asdict(verdict)})
    return rules.check(charge, facts, lists), lists.complete


def _count(
    charge: Charge,
    keys: Mapping[str, str],
    profiles: Mapping[str, Mapping[str, History]],
    histories: Mapping[str, History],
    table: ProfileTable,
    blocked: bool,
) -> None:
    own = {kind: profiles[key].get(table.region, NOTHING) for kind, key in keys.items()}
    changes = remember(charge, own, histories, blocked)
    try:
        table.write({keys[kind]: change for kind, change in changes.items()})
    except ProfilesUnavailable as error:
        logger.warning("charge not counted", extra={"payment_id": charge.payment_id, "reason": str(error)})
