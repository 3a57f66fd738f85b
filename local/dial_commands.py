"""`payments dial`, `lag` and `region cut | mend | start`: what lies between the regions, and one that was killed."""

from typing import Annotated

import typer

from local import dials, platform
from local.client import TimedOut
from local.dials import DialFile, InvalidDial
from local.settings import REGIONS, settings
from local.shown import console

RegionName = Annotated[str, typer.Argument(metavar="NAME", help=" or ".join(REGIONS))]


def dial(
    name: Annotated[str | None, typer.Argument(help="lag-ms, link-latency-ms, link-drop-rate, card-network-…")] = None,
    value: Annotated[str | None, typer.Argument(help="Milliseconds, LOW-HIGH, or a rate from 0 to 1.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Everything as at the start, also cuts.")] = False,
) -> None:
    """Show the dials of the running local cloud, or turn one."""
    file = _dials()
    if reset:
        file.reset()
    if name and value:
        _turn(file, name, value)
    elif name:
        raise typer.BadParameter(f"{name}: to what?")
    for shown, stands in dials.shown(file()).items():
        console.print(f"{shown:24} {stands}")


def lag(milliseconds: Annotated[str, typer.Argument(metavar="MS")]) -> None:
    """Let replication between the regions take so long, at most."""
    _turn(_dials(), "lag-ms", milliseconds)


def cut(name: RegionName) -> None:
    """Cut a region off from the other: no replication, no calls; merchants reach both."""
    _dials().cut(_region(name))


def mend(name: RegionName) -> None:
    """Undo `cut`; what was written meanwhile is then delivered, in any order."""
    _dials().mend(_region(name))


def start(name: RegionName) -> None:
    """Start a region that was killed, and fill it with what the other region has."""
    try:
        platform.start_region(settings(), _region(name), console.print)
    except (platform.NotRunning, platform.AlreadyRunning, platform.StartFailed, TimedOut) as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None


def _turn(file: DialFile, name: str, value: str) -> None:
    try:
        file.turn(**dials.parsed(name, value))
    except InvalidDial as error:
        raise typer.BadParameter(str(error)) from None


def _dials() -> DialFile:
    try:
        platform.running(settings())
    except platform.NotRunning as error:
        console.print(str(error))
        raise typer.Exit(1) from None
    return DialFile(settings())


def _region(name: str) -> str:
    if name not in REGIONS:
        raise typer.BadParameter(f"{name}: must be {' or '.join(REGIONS)}")
    return name
