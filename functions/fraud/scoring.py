"""Scoring one charge: read its profiles, decide, count it, keep its score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from functions.fraud import rules
from functions.fraud.charge import Charge, entities
from functions.fraud.decision import PLATFORM, Decision, Limits, blind, decide
from functions.fraud.facts import Facts
from functions.fraud.features import NOTHING, remember, row, unusual
from functions.fraud.history import History, counted, merged
from functions.fraud.model import Model, Opinion, Pointers
from functions.fraud.models import Panel
from functions.fraud.observability import logger
from functions.fraud.profiles import ProfilesUnavailable, ProfileTable
from functions.fraud.rules import Lists, Verdict
from functions.fraud.scores import ScoreLog


def score(
    charge: Charge,
    table: ProfileTable,
    models: Callable[[Pointers | None], Panel],
    lists: Callable[[], Lists],
    limits: Limits = PLATFORM,
    log: ScoreLog | None = None,
) -> Decision:
    """The decision on a charge; counts the charge in its profiles unless the payment is counted already.

    `lists` are being read (lists.RuleTable.ask) and called for when the profiles are there; they say which of the
    `models` are asked (models.Models.asked). `log`, where there is one, keeps the score beside the writes to the
    profiles.

    A charge is never refused because a store is away: without profiles the answer is degraded, and an answer whose
    charge could not be counted, or whose score could not be kept, is given all the same.
    """
    keys = entities(charge)
    try:
        profiles = table.read(keys.values())
    except ProfilesUnavailable as error:
        logger.warning("profiles unavailable", extra={"payment_id": charge.payment_id, "reason": str(error)})
        return blind(*_said(charge, Facts(charge, {}), lists()))
    histories = {kind: merged(profiles[key].values()) for kind, key in keys.items()}
    found = lists()
    panel, features = models(found.models), row(charge, histories)
    decision = decide(features, panel.champion, *_said(charge, Facts(charge, histories), found), limits)
    decision = replace(decision, shadow=_tried(panel.shadow, features, charge))
    kept = log.keep(charge, features, decision, panel.champion, unusual(charge, histories["card"])) if log else None
    if not counted(histories["card"], charge.payment_id, charge.at):
        _count(charge, keys, profiles, histories, table, decision.blocked)
    if kept:
        kept()
    return decision


def _tried(shadow: Model | None, features: Sequence[float], charge: Charge) -> Opinion | None:
    """What a model in shadow says; whatever goes wrong with it is none of the charge's business."""
    if shadow is None:
        return None
    try:
        return shadow.opinion(features)
    except Exception as error:  # noqa: BLE001 - a model on trial must not fail a charge
        logger.warning("no word of the shadow", extra={"payment_id": charge.payment_id, "reason": repr(error)})
        return None


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
