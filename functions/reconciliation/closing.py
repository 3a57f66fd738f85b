"""The end of a run: the report, for operators and for every merchant, figures for alarms, and room for the next run.

What the report says is written once, as `report.json`; all else is made of it again when the step is repeated.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from functions.reconciliation import asking, clearing, comparison, intake, runs, store, table
from functions.reconciliation.intake import REFUSED, REPEATED, Manifest
from functions.reconciliation.report import render
from functions.reconciliation.runs import Run
from functions.reconciliation.totals import Totals
from payments import clock, proofs
from payments.observability import count, logger

_MOST_BYTES = 300_000
"""Of a report in the table, where an item has at most 400 KB."""

_REPORT = "report.json"

Report = dict[str, Any]


def report(run: Run) -> dict[str, Any]:
    """Reports what the run came to, and ends it: `run`, `match_rate`, `at_risk` by currency, `drift` by
    `<network>/<currency>`.

    A run whose file was refused, or repeated, has matched nothing and just ends. One that is not matched yet does not:
    `{"result": "refused", "code": "not_matched"}`.
    """
    file = intake.file_of(run.run)
    if file and file["result"] in (REFUSED, REPEATED):
        return _ended_early(run, file)
    manifest = intake.manifest(run.run)
    totals = _totals(run, manifest) if manifest else None
    if manifest is None or totals is None:
        return {"result": "refused", "code": "not_matched", "run": run.run}
    told = store.read_json(store.of_run(run.run, _REPORT))
    if told is None:
        told = store.put_once(store.of_run(run.run, _REPORT), _report(run, manifest, totals, file))
    if not run.over:
        _publish(run, told, totals)
    return _answer(told)


def _ended_early(run: Run, file: Mapping[str, Any]) -> dict[str, Any]:
    if not run.over:
        runs.close(run, {"result": file["result"], "file": file["file"], "reason": file.get("reason")}, matched=False)
    return {"run": run.run, "match_rate": None, "at_risk": {}, "drift": {}}


def _totals(run: Run, manifest: Manifest) -> Totals | None:
    """None when a part is not booked yet."""
    totals = Totals()
    for part in manifest.parts:
        summary = comparison.summary(run.run, part)
        if summary is None:
            return None
        totals.add(summary)
    return totals


def _report(run: Run, manifest: Manifest, totals: Totals, file: Mapping[str, Any] | None) -> Report:
    disputes = [dispute for part in manifest.parts for dispute in asking.opened(run.run, part)]
    compared = clearing.Clearing(totals.open_claims, manifest.feed, disputes).agree()
    named = {"run": run.run, "as_of": run.as_of, "created_at": clock.now()}
    return named | totals.report(file if file and file["file"] else None, compared)


def _publish(run: Run, told: Report, totals: Totals) -> None:
    """Files, items, figures; then the run is over."""
    for name, content in render(told).items():
        if name != _REPORT:
            store.write(store.of_run(run.run, name), content)
    table.put_reports(_items(told, totals))
    answer = _answer(told)
    if answer["match_rate"] is not None:
        count("ReconciliationMatchRate", answer["match_rate"])
    count("ReconciliationAtRisk", sum(answer["at_risk"].values()))
    count("ReconciliationDrift", sum(map(abs, answer["drift"].values())))
    count("ReconciliationDriftLasting", _lasting(run, answer["drift"]))
    if any(answer["drift"].values()):
        logger.critical("clearing accounts and reconciliation differ", extra={"run": run.run, "drift": answer["drift"]})
    runs.close(run, {**answer, **{name: totals.counts[name] for name in sorted(totals.counts)}}, matched=True)


def _lasting(run: Run, drift: Mapping[str, int]) -> int:
    """What of the drift the last run that matched has told of the same clearing accounts, too.

    Drift of a single run may be the journals of a moment.
    """
    told = store.read_json(store.of_run(run.before, _REPORT)) if run.before else None
    before = _answer(told)["drift"] if told else {}
    return sum(min(abs(amount), abs(before.get(place, 0))) for place, amount in drift.items())


def _items(told: Report, totals: Totals) -> Iterator[dict[str, Any]]:
    """The reports as items: the operators', and each merchant's own."""
    shown = {name: value for name, value in told.items() if name not in ("run", "as_of", "created_at")}
    if len(proofs.canonical(shown)) > _MOST_BYTES:
        shown |= {"totals": []}  # they are in the files
    yield _item(told, "all", shown)
    for merchant_id, own in totals.merchants():
        yield _item(told, merchant_id, {"totals": own})


def _item(told: Report, owner: str, shown: Report) -> dict[str, Any]:
    named = {name: told[name] for name in ("run", "as_of", "created_at")}
    place = {"network_ref": f"report#{owner}", "line": f"{told['as_of']}#{told['run']}"}
    return {**place, **named, "report": msgspec.json.encode(shown, order="sorted").decode()}


def _answer(told: Report) -> dict[str, Any]:
    drift = {f"{row['network']}/{row['currency']}": row["drift"] for row in told["clearing"]}
    return {"run": told["run"], "match_rate": told["match_rate"], "at_risk": told["at_risk"], "drift": drift}
