"""`payments conflicts …`: two requests under one idempotency key that were both accepted, and which of them stands."""

from typing import Annotated

import httpx
import typer
from rich.table import Table

from local.client import new_key
from local.discrepancy_commands import Aws, Key, Reason, Where, api_of
from local.ledger import Refused
from local.settings import REGIONS
from local.shown import console

app = typer.Typer(help="Two requests under one key, both accepted: list, show, acknowledge.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="PAYMENT", help="As `list` shows it.")]


@app.command("list")
def listed(
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Those that are decided, not those that are open.")
    ] = False,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """The open ones, or the resolved ones, the oldest first."""
    table = Table("payment", "found", "merchant", "request", "amount", "region", "stands", "acknowledged")
    table.columns[0].overflow = "fold"
    with api_of(region, in_aws) as operations:
        for conflict in operations.conflicts(state="resolved" if resolved else "open"):
            seen = (conflict["acknowledged"] or {}).get("by", "")
            for side in conflict["sides"]:
                payment, stands = side["payment"], {True: "yes", False: "no", None: "?"}[side["stands"]]
                amount = f"{payment['amount']} {payment['currency']}"
                row = (conflict["id"], conflict["found_at"], conflict["merchant_id"], side["request"][:16], amount)
                table.add_row(*row, side["region"], stands, seen)
    console.print(table)


@app.command()
def show(payment: Id, region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """Both sides, which of them stands, and why."""
    with api_of(region, in_aws) as operations:
        console.print_json(data=operations.conflict(payment))


@app.command()
def acknowledge(payment: Id, reason: Reason, key: Key = None, region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """Say that it was seen to, and how."""
    key = key or new_key()
    with api_of(region, in_aws) as operations:
        try:
            console.print_json(data=operations.acknowledge(payment, reason, key))
        except (Refused, httpx.HTTPError) as error:
            raise Refused(f"{error}\nThe same request again: --key {key}") from None
