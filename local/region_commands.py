"""`payments region …`: which region writes for what, failing and restoring one, and breaking one of the local cloud."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import httpx
import typer
from rich.table import Table

from local import platform
from local.client import new_key
from local.discrepancy_commands import Aws, Key, api_of
from local.ledger import Refused
from local.operations import Item
from local.settings import REGIONS, settings
from local.shown import console

app = typer.Typer(
    help="Look at the regions, fail and restore one; locally: freeze, thaw or kill.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help=" or ".join(REGIONS))]
Reason = Annotated[str, typer.Option(help="Why, for the trail.")]
Via = Annotated[str | None, typer.Option("--region", help="Whose API is asked; by default another region's than NAME.")]
Where = Annotated[str | None, typer.Option("--region", help="Whose API is asked; by default the first that answers.")]

_MOVE = ("number", "at", "action", "region", "state", "moved", "by", "reason")
_TRIES = 5
"""A move that its request has no time for goes on with the next one."""


@app.command("map")
def shown(region: Where = None, in_aws: Aws = False) -> None:
    """Every region with its state and its shards, and the newest moves."""
    found = _looked_at(region, in_aws)
    table = Table("region", "state", "since", "shards", "of others", "epoch", "sign of life")
    for one in found["data"]:
        own = (one["shards"], one["shards_of_others"], one["highest_epoch"])
        cells = (one["name"], one["state"], one["changed_at"], *own, _sign(one["sign_of_life"]))
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    console.print(table)
    moves = Table(*_MOVE, title="Moves")
    running = [found["move"]] if found["move"] and found["move"]["state"] == "running" else []
    for move in running + found["trail"]:
        moves.add_row(*(str(move[name]) for name in _MOVE))
    console.print(moves)


@app.command()
def fail(name: Name, reason: Reason, key: Key = None, region: Via = None, in_aws: Aws = False) -> None:
    """Send a region no more traffic, and give its shards to the others."""
    _move(name, "fail", reason, key, region, in_aws)


@app.command()
def restore(name: Name, reason: Reason, key: Key = None, region: Via = None, in_aws: Aws = False) -> None:
    """Send a region traffic again, and give it back the shards that are its own."""
    _move(name, "restore", reason, key, region, in_aws)


@app.command()
def freeze(name: Name) -> None:
    """Stop a region's emulator in its tracks (SIGSTOP)."""
    with _of(name) as region:
        platform.signal_region(settings(), region, signal.SIGSTOP)


@app.command()
def thaw(name: Name) -> None:
    """Let a frozen region go on (SIGCONT)."""
    with _of(name) as region:
        platform.thaw(settings(), region)


@app.command()
def kill(name: Name) -> None:
    """Kill a region's emulator and functions (SIGKILL); its state is lost, `start` makes it anew."""
    with _of(name) as region:
        platform.kill(settings(), region)


def _move(name: str, action: str, reason: str, key: str | None, region: str | None, in_aws: bool) -> None:
    key = key or new_key()
    with api_of(region or _other(name), in_aws) as api:
        try:
            for _ in range(_TRIES):
                move = api.move(name, action, reason, key)
                if move["state"] != "running":
                    break
        except (Refused, httpx.HTTPError) as error:
            raise Refused(f"{error}\nThe same request again: --reason {reason!r} --key {key}") from None
    console.print_json(data=move)


def _looked_at(region: str | None, in_aws: bool) -> Item:
    """The map by this region's API, or by the first that answers."""
    *others, last = [region] if region else REGIONS
    for candidate in others:
        with api_of(candidate, in_aws) as api, suppress(httpx.TransportError):
            return api.regions()
    with api_of(last, in_aws) as api:
        return api.regions()


def _other(name: str) -> str:
    """Another region than this one, which may be gone."""
    return next((region for region in REGIONS if region != name), REGIONS[0])


def _sign(sign: dict[str, Any] | None) -> str:
    if sign is None:
        return "never"
    return f"{sign['age_seconds']} s ago" + ("" if sign["well"] else ", not well")


@contextmanager
def _of(name: str) -> Iterator[str]:
    """A region of the local cloud. What can go wrong with it is told in a sentence."""
    if name not in REGIONS:
        raise typer.BadParameter(f"{name}: must be {' or '.join(REGIONS)}")
    try:
        yield name
    except platform.NotRunning as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
