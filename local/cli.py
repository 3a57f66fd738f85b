"""The `payments` command."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import httpx
import typer
from botocore.exceptions import BotoCoreError, ClientError

from local import (
    chaos_commands,
    conflict_commands,
    dial_commands,
    discrepancy_commands,
    fraud_commands,
    ledger_commands,
    platform,
    ports,
    processes,
    reconcile_commands,
    region_commands,
    review_commands,
    settle_commands,
    shown,
    vault_commands,
)
from local.client import Client, TimedOut
from local.settings import REGIONS, InvalidSetting, Settings, settings
from local.shown import console

app = typer.Typer(help="The payment platform on one machine.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(region_commands.app, name="region")
app.add_typer(vault_commands.app, name="vault")
app.add_typer(ledger_commands.app, name="ledger")
app.add_typer(discrepancy_commands.app, name="discrepancies")
app.add_typer(fraud_commands.app, name="fraud")
app.add_typer(review_commands.app, name="reviews")
app.add_typer(conflict_commands.app, name="conflicts")
app.command()(dial_commands.dial)
app.command()(dial_commands.lag)
app.command()(chaos_commands.chaos)
app.command()(settle_commands.settle)
app.command()(reconcile_commands.reconcile)

for command in (dial_commands.cut, dial_commands.mend, dial_commands.start):
    region_commands.app.command()(command)


@app.command()
def up(detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when everything runs.")] = False) -> None:
    """Start both regions; in the foreground charge a card, show it, and stay until Ctrl-C."""
    at = _settings()
    with _interrupts(), _failures():
        run = shown.start(at, detach)
        if detach:
            shown.running(at, run)
            return
        try:
            shown.running(at, run)
            shown.first_charge(platform.endpoints(at))
            console.print("Running until Ctrl-C.")
            threading.Event().wait()
        except KeyboardInterrupt:
            console.print("Stopping.")
        finally:
            platform.stop(at, run)


@app.command()
def down() -> None:
    """Stop everything and remove its state, also after a crash."""
    console.print("Stopped." if platform.down(_settings()) else "It was not running.")


@app.command()
def status() -> None:
    """What runs where."""
    at = _settings()
    with _failures():
        shown.running(at, platform.running(at))


@app.command()
def charge(
    amount: Annotated[int, typer.Option(help="In minor units; ...05, 51, 91, 68 do not succeed.")] = 4200,
    currency: str = "USD",
    card: Annotated[str, typer.Option(help="Card number of a test card, or a token.")] = "4242424242424242",
    region: Annotated[str | None, typer.Option(help="Through this region instead of the edge.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key; a new one by default.")] = None,
    customer: str | None = None,
    wait: Annotated[bool, typer.Option(help="Wait for the final state.")] = True,
) -> None:
    """Charge a card and print the answer and the final state."""
    with _failures():
        endpoints = platform.endpoints(_settings())
        url = endpoints["regions"][_region(region)]["api"] if region else endpoints["edge"]
        client = Client(url, endpoints["merchant"]["api_key"])
        fields: dict[str, Any] = {"customer": {"id": customer}} if customer else {}
        fields |= {"token": card} if card.startswith("tok_") else {"card": _card(card)}
        answer = client.charge(amount, currency, key, **fields)
        replayed = ", Idempotent-Replayed" if answer.replayed else ""
        console.print(f"{answer.status} from {answer.served_by} in {answer.milliseconds} ms{replayed}")
        console.print_json(data=answer.body)
        if answer.status != 201:
            raise typer.Exit(1)
        if wait:
            payment = client.settled(answer.body["id"])
            console.print(f"{payment['id']}: {payment['status']}")


@app.command()
def invoke(
    function: Annotated[str, typer.Argument(help="Name of a Lambda function, with or without payments-.")],
    event: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    region: Annotated[str, typer.Option()] = REGIONS[0],
) -> None:
    """Invoke a function of the running platform with a sample event; prints result, duration and log."""
    from local import invoke as invoking  # cryptography is slow to import

    at = _settings()
    with _failures():
        sample = invoking.read_event(event)
        outcome = invoking.invoke(at, platform.endpoints(at), function, sample, _region(region))
        console.print_json(data=outcome.result)
        console.print(f"{'failed' if outcome.failed else 'succeeded'} in {outcome.milliseconds} ms")
        console.print(outcome.log, markup=False)
    raise typer.Exit(int(outcome.failed))


@app.command()
def demo() -> None:
    """Play the platform's main scenes and check them; starts the platform for it when it is not up."""
    from local.demo import Demo

    at = _settings()
    with _interrupts(), _failures():
        started = None
        if not _is_up(at):
            started = shown.start(at, False)
        try:
            Demo(at, platform.endpoints(at), console).play()
        finally:
            if started:
                platform.stop(at, started)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="A name `status` shows, cdk-deploy-REGION..., or a Lambda function.")],
    lines: int = 50,
) -> None:
    """The last lines of a log."""
    at = _settings()
    file = at.path("logs", f"{service}.log")
    if file.exists():
        console.print(processes.tail(file, lines), markup=False)
        return
    from local.functions_log import recent

    with _failures():
        platform.running(at)
        for region in REGIONS:
            console.print("\n".join(recent(at, region, service, lines)), markup=False)


def _card(number: str) -> dict[str, Any]:
    return {"number": number, "exp_month": 12, "exp_year": 2031, "cvc": "123"}


def _region(name: str) -> str:
    if name not in REGIONS:
        raise typer.BadParameter(f"{name}: must be {' or '.join(REGIONS)}")
    return name


def _is_up(at: Settings) -> bool:
    try:
        platform.running(at)
    except platform.NotRunning:
        return False
    return True


def _settings() -> Settings:
    try:
        return settings()
    except InvalidSetting as error:
        console.print(str(error), markup=False)
        raise typer.Exit(2) from None


@contextmanager
def _failures() -> Iterator[None]:
    """What can go wrong is told in a sentence, not in a traceback."""
    from local.demo import NotAsPromised
    from local.invoke import InvalidEvent

    told = (
        platform.StartFailed,
        platform.AlreadyRunning,
        platform.NotRunning,
        ports.PortTaken,
        TimedOut,
        NotAsPromised,
        InvalidEvent,
    )
    try:
        yield
    except told as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    except (httpx.HTTPError, BotoCoreError, ClientError) as error:
        console.print(f"failed: {error}", markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@contextmanager
def _interrupts() -> Iterator[None]:
    """SIGTERM and a closed terminal end a start as Ctrl-C does: everything is stopped first."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    yield


if __name__ == "__main__":
    sys.exit(app())
