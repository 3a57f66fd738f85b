"""`payments chaos`: load with random faults on the running local cloud, then an audit of the seven promises."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from local import platform
from local.chaos_audit import Verdict
from local.client import TimedOut
from local.settings import settings
from local.shown import console

_SHOWN = 5
"""Findings of a promise that are printed."""


def chaos(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long load and faults go on.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Which run; a new one by default.")] = None,
) -> None:
    """Drive load through the edge while things go wrong; heal everything, and audit the seven promises."""
    from local.chaos import play  # what it needs is slow to import

    at, chosen = settings(), random.randrange(10**6) if seed is None else seed
    console.print(f"seed {chosen}, {minutes:g} minutes")
    try:
        platform.running(at)
        verdicts = play(
            at, platform.endpoints(at), chosen, minutes * 60, lambda text: console.print(text, markup=False)
        )
    except (platform.NotRunning, TimedOut) as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    show(verdicts)
    console.print(f"payments chaos --minutes {minutes:g} --seed {chosen}")
    raise typer.Exit(int(not all(verdict.kept for verdict in verdicts)))


def show(verdicts: Sequence[Verdict]) -> None:
    """A table of the promises, and under it what is wrong."""
    table = Table("promise", "looked at", "kept")
    for verdict in verdicts:
        table.add_row(verdict.promise, verdict.looked_at, "[green]yes" if verdict.kept else "[bold red]NO")
    console.print(table)
    for verdict in verdicts:
        for finding, times in Counter(verdict.findings[:_SHOWN]).items():
            console.print(
                f"{verdict.promise.split()[0]}: {finding}{f' ({times} times)' if times > 1 else ''}", markup=False
            )
        if len(verdict.findings) > _SHOWN:
            console.print(f"{verdict.promise.split()[0]}: and {len(verdict.findings) - _SHOWN} more")
