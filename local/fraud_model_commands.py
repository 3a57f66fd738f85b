"""`payments fraud models|drift|retrain`: which model scores charges, going back to the one before, and training."""

from collections.abc import Mapping
from typing import Annotated, Any

import boto3
import httpx
import typer
from rich.table import Table

from local.client import new_key
from local.deploy import aws
from local.discrepancy_commands import Aws, Key, Where, api_of
from local.ledger import Refused
from local.operations import Item, Operations
from local.retrain import Training
from local.settings import REGIONS, settings
from local.shown import console

models = typer.Typer(help="Which model scores charges: list, show, promote, roll back.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="As `list` shows it.")]
Reason = Annotated[str, typer.Option(help="Why, for the trail.")]
Champion = Annotated[
    str | None, typer.Option(help="Only if this version scores charges; by default the one that does now.")
]

SHIFTED, CHANGED = 0.25, 0.1
"""PSI above which a feature's distribution counts as another one, and as on its way there (training's own limits)."""

_REPORT = ("id", "champion", "challenger", "result", "reasons")


@models.command("list")
def listed(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many reports, the newest first.")] = 10,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """The models that are asked, and what training did lately."""
    with api_of(region, in_aws) as api:
        found = api.models(limit)
    champion, shadow = found["champion"], found["shadow"]
    since = f" since {champion['since']} by {champion['by']}" if champion["since"] else ""
    _say(f"champion  {champion['version']}{since}")
    _say(f"previous  {champion['previous'] or 'none'}")
    _say(f"shadow    {shadow['version'] + ' since ' + str(shadow['since']) if shadow else 'none'}")
    _say(f"shipped   {found['shipped']}")
    table = Table(*_REPORT, title="Training")
    for report in found["data"]:
        shown = {**report, "reasons": "; ".join(map(str, report.get("reasons") or ()))}
        shown |= {} if report["readable"] else {"result": "cannot be read"}
        table.add_row(*("" if shown.get(name) is None else str(shown[name]) for name in _REPORT))
    console.print(table)


@models.command()
def show(version: Version, region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """One version: what its training left in writing, and what was done about it."""
    with api_of(region, in_aws) as api:
        console.print_json(data=api.model(version))


@models.command()
def promote(
    version: Version,
    reason: Reason,
    champion: Champion = None,
    key: Key = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """Have a version score charges from now on."""
    _switch(f"{version}/promote", champion, reason, key, region, in_aws)


@models.command()
def rollback(
    reason: Reason = "rolled back",
    champion: Champion = None,
    key: Key = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """Have the version before score charges again."""
    _switch("rollback", champion, reason, key, region, in_aws)


def drift(region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """How far charges are from those that the champion learned from: PSI per feature, by the newest report."""
    with api_of(region, in_aws) as api:
        report, found = _newest_drift(api)
    table = Table("feature", "PSI", "", title=f"{report['id']}, against {report.get('champion')}")
    for feature, psi in sorted(found.items(), key=lambda one: (-one[1], one[0])):
        table.add_row(feature, f"{psi:.3f}", "shifted" if psi > SHIFTED else "changed" if psi > CHANGED else "")
    console.print(table)


def retrain(
    wait: Annotated[bool, typer.Option(help="Wait for the end, and show the report.")] = True,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """Train a challenger now. Exit code 1 when the run failed; a challenger that is refused is no failure."""
    with api_of(region, in_aws) as api:
        training = Training(_states(region, in_aws))
        execution = training.start()
        _say(execution)
        if wait:
            answer = training.finished(execution, _say)
            console.print_json(data=_report(api, answer.get("run")) or answer)


def _switch(path: str, champion: str | None, reason: str, key: str | None, region: str, in_aws: bool) -> None:
    """Under a key that was used before, only what was asked then is the same request: with the same champion."""
    if key and not champion:
        console.print("--key repeats a request: say its --champion, too", markup=False)
        raise typer.Exit(2)
    key = key or new_key()
    with api_of(region, in_aws) as api:
        seen = champion or str(api.models(1)["champion"]["version"])
        try:
            console.print_json(data=api.switch_model(path, seen, reason, key))
        except (Refused, httpx.HTTPError) as error:
            raise Refused(f"{error}\nThe same request again: --champion {seen} --key {key}") from None


def _newest_drift(api: Operations) -> tuple[Item, dict[str, float]]:
    """The newest report that has any, and its PSI by feature. Raises `Refused`."""
    for report in api.fraud("models"):
        features: Any = report
        for name in ("steps", "learn", "drift", "features"):
            features = features.get(name) if isinstance(features, Mapping) else None
        if isinstance(features, Mapping) and features:
            return report, {name: psi for name, psi in features.items() if isinstance(psi, int | float)}
    raise Refused("no report of training in this region says anything of drift")


def _report(api: Operations, run: Any) -> Item | None:
    return next((report for report in api.fraud("models") if report["id"] == run), None)


def _states(region: str, in_aws: bool) -> Any:
    if in_aws:
        return boto3.Session(region_name=region).client("stepfunctions")
    return aws(settings(), "stepfunctions", region)


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)
