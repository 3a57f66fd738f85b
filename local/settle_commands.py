"""`payments settle`: the card networks settle what they have accepted, and a region's reconciliation takes it."""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table

from local import planting, settle_check, settlement_export
from local import settle as settling
from local.client import TimedOut
from local.deploy import aws
from local.ledger import Refused, Region
from local.planting_kinds import KINDS
from local.platform import NotRunning, endpoints
from local.settings import ACCOUNT, REGIONS, InvalidSetting, Settings, settings
from local.shown import console

_ALL = "all"
_WHOLE_FILES = (settling.TRUNCATED, settling.REPEATED_FILE)
_PLANTS = f"KIND=N, or {_ALL} for one of each kind: {', '.join((*KINDS, *_WHOLE_FILES))}."


def settle(
    date: Annotated[str | None, typer.Option(help="Of the files, 2026-11-23; today by default.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Reconcile once more as of this day, when more is due.")] = None,
    plant: Annotated[list[str] | None, typer.Option(help=f"Plant errors: {_PLANTS} Repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of where errors are planted; at random by default.")] = None,
    layout: Annotated[str, typer.Option(help=" or ".join(settlement_export.LAYOUTS))] = "1",
    region: Annotated[str, typer.Option(help=" or ".join(REGIONS))] = REGIONS[0],
) -> None:
    """Have the card networks settle, and reconcile; exit code 1 when something is open that was not planted."""
    at = settings()
    try:
        outcome = _settle(at, _wanted(plant or []), date, as_of, seed, layout, region)
    except (Refused, InvalidSetting, NotRunning, TimedOut, planting.NotEnough, BotoCoreError, ClientError) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    wrong = list(findings(outcome))
    for line in wrong:
        console.print(line, markup=False, soft_wrap=True)
    console.print("NOT AS PLANTED, see above." if wrong else _well(outcome))
    raise typer.Exit(int(bool(wrong)))


def findings(outcome: settling.Settled) -> Iterator[str]:
    """What is not as it was planted: files, records, and clearing accounts that do not agree."""
    files = {file["key"]: file for report in outcome.reports for file in report["files"]}
    for sent in outcome.deliveries:
        file = files.get(sent.key, {})
        rejected = file.get("rejected") or 0
        if file.get("result") != sent.result or (sent.result == "accepted" and rejected != sent.rejected):
            yield f"{sent.key}: {file or 'in no report'}; to be {sent.result} with {sent.rejected} rows rejected"
    yield from settle_check.differences(outcome.marks, outcome.records, outcome.last["as_of"])
    for row in outcome.last["clearing"]:
        if row["drift"]:
            yield f"drift: {row['network']} {row['currency']}: the ledger {row['ledger']}, open {row['open']}"


def _settle(
    at: Settings,
    wanted: Mapping[str, int],
    date: str | None,
    as_of: str | None,
    seed: int | None,
    layout: str,
    region: str,
) -> settling.Settled:
    """Does it, and shows it. Raises `Refused`, `NotEnough` or `TimedOut`."""
    if region not in REGIONS or layout not in settlement_export.LAYOUTS:
        raise Refused(f"{region}, layout {layout}: there is no such region, or no such layout")
    network = settling.Network(endpoints(at)["card_network"])
    clients = Region(region, lambda service, name: aws(at, service, name), ACCOUNT)
    reconciliation = settling.Reconciliation(clients, aws(at, "stepfunctions", region), ACCOUNT)
    number = secrets.randbelow(2**32) if seed is None else seed
    kinds = {kind: count for kind, count in wanted.items() if kind in KINDS}
    files = network.cut(date or datetime.now(UTC).date().isoformat())
    planted = planting.plant(files, kinds, number, reconciliation.tolerance())
    console.print(f"{sum(len(file.rows) for file in planted.files)} lines in {len(files)} files; seed {number}")
    outcome = settling.settle(reconciliation, planted, layout, wanted, as_of)
    for table in _tables(outcome):
        console.print(table)
    for report in outcome.reports:
        if page := reconciliation.save_page(report["run"], at.path("reconciliation")):
            console.print(f"{report['run']}: {page}", markup=False, soft_wrap=True)
    return outcome


def _wanted(plants: Iterable[str]) -> dict[str, int]:
    """How much of each kind is planted. Raises `Refused`."""
    wanted: Counter[str] = Counter()
    for text in plants:
        kind, _, number = text.partition("=")
        kinds = (*KINDS, *_WHOLE_FILES) if kind == _ALL else (kind,)
        if not {*kinds} <= {*KINDS, *_WHOLE_FILES} or not (number or "1").isdecimal():
            raise Refused(f"--plant {text}: must be {_PLANTS}")
        wanted.update(dict.fromkeys(kinds, int(number or 1)))
    return wanted


def _tables(outcome: settling.Settled) -> Iterator[Table]:
    runs = Table("run", "as of", "file", "result", "rows", "rejected", "matched", title="Runs")
    for report in outcome.reports:
        for file in report["files"] or [{}]:
            told = [str(file.get(name, "")) for name in ("key", "result", "rows", "rejected")]
            runs.add_row(report["run"], report.get("as_of", ""), *told, _rate(report["match_rate"]))
    yield runs
    classes = Table("class", "currency", "records", "settled", "difference", "at risk", title="Minor units")
    for (class_, currency), sums in sorted(_sums(outcome.records).items()):
        classes.add_row(class_, currency, *(str(sums[name]) for name in _SUMMED))
    yield classes
    clearing = Table("network", "currency", "ledger", "open", "drift", title="Clearing accounts, in minor units")
    for row in outcome.last["clearing"]:
        clearing.add_row(*(str(row[name]) for name in ("network", "currency", "ledger", "open", "drift")))
    yield clearing


_SUMMED = ("records", "settled", "difference", "at_risk")


def _sums(records: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Counter[str]]:
    sums: dict[tuple[str, str], Counter[str]] = {}
    for record in records:
        found = sums.setdefault((record["class"], record["currency"]), Counter())
        found.update({name: int(record.get(name) or 0) for name in _SUMMED[1:]}, records=1)
    return sums


def _rate(per_100_000: int | None) -> str:
    return "" if per_100_000 is None else f"{per_100_000 // 1000}.{per_100_000 % 1000:03} %"


def _well(outcome: settling.Settled) -> str:
    as_of = outcome.last["as_of"]
    waiting = len(list(settle_check.waiting(outcome.marks, outcome.records, as_of)))
    later = f" Not due yet: {waiting} (--as-of a later day)." if waiting else ""
    return f"As planted, and nothing else is open.{later}"
