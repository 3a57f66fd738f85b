"""The step `learn`: drift, a challenger out of the rows that were collected, and the gate."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import lightgbm

from functions.training import calibration, champion, collecting, gate, model_files, rows, store
from functions.training.calibration import NotCalibrated
from functions.training.champion import NoChampion
from functions.training.drift import SHIFTED, STABLE, drift
from functions.training.learner import SEED, probabilities, train
from functions.training.metrics import figures
from functions.training.model_files import Learned
from functions.training.rows import Rows
from functions.training.settings import Settings
from functions.training.split import Split, lacking, split
from payments.observability import count
from payments.settings import load

OUTCOME = "learn.json"

Outcome = dict[str, Any]


def learn(run: str, asked: str) -> Outcome:
    """Trains on what the run has collected and holds the challenger against `asked`, the champion. Repeated, it makes
    the same model. What it finds is put into the run's folder, the challenger into every region's bucket."""
    if store.read_json(store.of_run(run, collecting.OUTCOME)) is None:
        return {"result": "refused", "champion": asked, "reasons": ["no_such_run: nothing was collected"]}
    champion.keep_shipped()
    try:
        before = champion.learned(asked)
    except NoChampion as missing:
        return _put(run, {"result": "refused", "champion": asked, "reasons": [f"champion_missing: {missing}"]})
    outcome: Outcome = {"champion": asked, "drift": _drift(run, before)}
    outcome |= _challenge(run, before)
    return _put(run, outcome)


def _put(run: str, outcome: Outcome) -> Outcome:
    store.write_json(store.of_run(run, OUTCOME), outcome)
    return outcome


def _drift(run: str, before: Learned) -> Outcome:
    recent = _rows(run, collecting.RECENT)
    found = None
    if before.reference is not None:
        found = drift(before.reference, before.names, recent.features, recent.weight)
    if not found:
        return {"rows": len(recent), "features": None}
    worst = max(found, key=lambda name: found[name])
    count("FraudFeatureDrift", round(found[worst] * 1_000))
    return {
        "rows": len(recent),
        "features": found,
        "worst": worst,
        "index": found[worst],
        "changed": sorted(name for name, index in found.items() if index > STABLE),
        "shifted": sorted(name for name, index in found.items() if index > SHIFTED),
    }


def _challenge(run: str, before: Learned) -> Outcome:
    settings = load(Settings)
    parts = split(_rows(run, collecting.ROWS), settings.held_out_days)
    outcome: Outcome = {"rows": parts.sizes()}
    if missing := lacking(parts, settings.least_frauds, settings.least_good):
        return {**outcome, "result": "refused", "reasons": missing}
    try:
        files, challenger = _trained(run, before, parts)
    except NotCalibrated as error:
        return {**outcome, "result": "refused", "reasons": [f"not_calibrated: {error}"]}
    outcome["challenger"] = challenger.version
    if challenger.version == before.version:
        return {**outcome, "result": "refused", "reasons": ["unchanged: the same rows have made the champion again"]}
    for name in model_files.FILES:  # one that is refused, too: it can be looked at, and made the champion by hand
        store.write_everywhere(store.of_model(challenger.version, name), files[name])
    held_out = parts.held_out
    verdict = gate.judge(held_out, before.names, _judged(before, held_out), _judged(challenger, held_out))
    result = "passed" if verdict.passed else "refused"
    return {**outcome, "result": result, "reasons": verdict.reasons, "gate": verdict.figures}


def _trained(run: str, before: Learned, parts: Split) -> tuple[dict[str, bytes], Learned]:
    """The challenger's files, and itself as they say it: what was written is what is judged. Raises NotCalibrated."""
    of, between, held_out = parts.train, parts.calibrate, parts.held_out
    booster = train(of.features, of.label, before.names, of.weight)
    knots = calibration.knots(between.label, probabilities(booster, between.features), between.weight)
    files = model_files.write(
        booster,
        knots,
        before.names,
        of.features,
        of.weight,
        training={"command": "payments-training-learn", "seed": SEED, "lightgbm": lightgbm.__version__, "run": run},
        charges=parts.sizes(),
        held_out=figures(held_out.label, probabilities(booster, held_out.features), held_out.weight),
    )
    text, about, reference = (files[name] for name in (model_files.TEXT, model_files.ABOUT, model_files.REFERENCE))
    return files, model_files.read(text, about, reference)


def _judged(model: Learned, of: Rows) -> gate.Judged:
    probability = probabilities(model.booster, of.features)
    return gate.Judged(probability, calibration.scores(model.knots, probability))


def _rows(run: str, name: str) -> Rows:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        store.download(store.of_run(run, name), file)
        return rows.load(file)
