"""`payments discrepancies …`: what reconciliation could not match, and what operators do about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import boto3
import httpx
import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table

from local.client import new_key
from local.deploy import OPERATIONS_STACK
from local.ledger import Refused
from local.operations import Item, Operations
from local.platform import NotRunning, endpoints
from local.settings import REGIONS, InvalidSetting, settings
from local.shown import console

app = typer.Typer(help="What reconciliation could not match: list, assign, decide.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]
Reason = Annotated[str, typer.Option(help="Why, for the books and the trail.")]
Key = Annotated[str | None, typer.Option(help="Idempotency key, to repeat a request that was cut off.")]
Where = Annotated[str, typer.Option("--region", help=" or ".join(REGIONS))]
Aws = Annotated[bool, typer.Option("--aws", help="In AWS, with this shell's credentials, not in the local cloud.")]

_SHOWN = ("class", "type", "network", "currency", "expected", "settled", "at_risk", "age_days", "assignee")


@app.command("list")
def listed(
    class_: Annotated[str | None, typer.Option("--class")] = None,
    network: str | None = None,
    currency: str | None = None,
    merchant: str | None = None,
    assignee: str | None = None,
    min_age_days: int | None = None,
    min_at_risk: Annotated[int | None, typer.Option(help="In minor units.")] = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """What is open, the oldest first."""
    filters = {"class": class_, "network": network, "currency": currency, "merchant": merchant, "assignee": assignee}
    table = Table("id", *_SHOWN, title="Amounts in minor units")
    table.columns[0].overflow = "fold"
    with api_of(region, in_aws) as api:
        for found in api.discrepancies(**filters, min_age_days=min_age_days, min_at_risk=min_at_risk):
            table.add_row(found["id"], *("" if found[name] is None else str(found[name]) for name in _SHOWN))
    console.print(table)


@app.command()
def show(discrepancy: Id, region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """One, with everything that was done about it."""
    with api_of(region, in_aws) as api:
        console.print_json(data=api.discrepancy(discrepancy))


@app.command()
def assign(
    discrepancy: Id,
    assignee: Annotated[str | None, typer.Argument(help="Nobody, when left out.")] = None,
    key: Key = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """Say who sees to it."""
    _do(region, in_aws, discrepancy, "assign", {"assignee": assignee}, key)


@app.command()
def comment(discrepancy: Id, text: str, key: Key = None, region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """Note something in its trail."""
    _do(region, in_aws, discrepancy, "comments", {"text": text}, key)


@app.command()
def accept(discrepancy: Id, reason: Reason, key: Key = None, region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """The network is right: book what it settled, and close it."""
    _resolve(region, in_aws, discrepancy, key, action="accept", reason=reason)


@app.command()
def adjust(
    discrepancy: Id,
    amount: Annotated[int, typer.Option(help="To the merchant, in minor units; negative: from the merchant.")],
    reason: Reason,
    key: Key = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """Accept it, and give the merchant an amount, or take it."""
    _resolve(region, in_aws, discrepancy, key, action="adjust", amount=amount, reason=reason)


@app.command()
def wait(
    discrepancy: Id,
    until: Annotated[str, typer.Option(help="A day to come, such as 2026-12-24.")],
    reason: Reason,
    key: Key = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """Leave it off the list until a day."""
    _resolve(region, in_aws, discrepancy, key, action="wait", until=until, reason=reason)


@app.command()
def dispute(discrepancy: Id, reason: Reason, key: Key = None, region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """Note that the network is told that it is wrong."""
    _resolve(region, in_aws, discrepancy, key, action="dispute", reason=reason)


def _resolve(region: str, in_aws: bool, discrepancy: str, key: str | None, **body: Any) -> None:
    _do(region, in_aws, discrepancy, "resolve", body, key)


def _do(region: str, in_aws: bool, discrepancy: str, name: str, body: Item, key: str | None) -> None:
    key = key or new_key()
    with api_of(region, in_aws) as api:
        try:
            console.print_json(data=api.command(discrepancy, name, body, key))
        except (Refused, httpx.HTTPError) as error:
            raise Refused(f"{error}\nThe same request again: --key {key}") from None


@contextmanager
def api_of(region: str, in_aws: bool) -> Iterator[Operations]:
    """The operators' API. What can go wrong is told in a sentence, not in a traceback."""
    told = (Refused, InvalidSetting, NotRunning, BotoCoreError, ClientError, httpx.HTTPError)
    try:
        if region not in REGIONS:
            raise Refused(f"{region}: must be {' or '.join(REGIONS)}")
        yield _in_aws(region) if in_aws else Operations(endpoints(settings())["regions"][region]["operations"], region)
    except told as error:
        console.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _in_aws(region: str) -> Operations:
    """The API that this shell's account has, by the output of its stack. Raises `Refused`."""
    session = boto3.Session(region_name=region)
    (stack,) = session.client("cloudformation").describe_stacks(StackName=OPERATIONS_STACK)["Stacks"]
    outputs = {found["OutputKey"]: found["OutputValue"] for found in stack.get("Outputs", ())}
    credentials = session.get_credentials()
    if credentials is None:
        raise Refused("there are no AWS credentials in this shell")
    return Operations(outputs["OperationsApiUrl"], region, credentials.get_frozen_credentials())  # type: ignore[arg-type]
