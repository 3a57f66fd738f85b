"""`payments reviews …`: charges that fraud scoring wants looked at, and what operators decide about them."""

from typing import Annotated

import httpx
import typer
from rich.table import Table

from local.client import new_key
from local.discrepancy_commands import Aws, Key, Reason, Where, api_of
from local.ledger import Refused
from local.settings import REGIONS
from local.shown import console

app = typer.Typer(help="Charges that fraud scoring wants looked at: list, approve, decline.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="PAYMENT", help="As `list` shows it.")]


@app.command("list")
def listed(
    merchant: str | None = None,
    min_score: int | None = None,
    degraded: Annotated[
        bool | None, typer.Option(help="Only what could not be scored in full, or only what was.")
    ] = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """What waits for a decision, the oldest first."""
    wanted = None if degraded is None else str(degraded).lower()
    table = Table("payment", "created", "merchant", "amount", "status", "score", "reasons", title="Minor units")
    table.columns[0].overflow = "fold"
    with api_of(region, in_aws) as operations:
        for review in operations.reviews(merchant=merchant, min_score=min_score, degraded=wanted):
            payment = review["payment"]
            amount = f"{payment['amount']} {payment['currency']}"
            reasons = ", ".join(reason["code"] for reason in review["reasons"])
            row = (review["id"], review["created_at"], review["merchant_id"], amount, payment["status"])
            table.add_row(*row, str(review["score"]), reasons)
    console.print(table)


@app.command()
def show(payment: Id, region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """What was found of a charge, whatever became of it, and what was decided."""
    with api_of(region, in_aws) as operations:
        console.print_json(data=operations.review(payment))


@app.command()
def approve(payment: Id, reason: Reason, key: Key = None, region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """Let it be."""
    _decide(payment, "approve", reason, key, region, in_aws)


@app.command()
def decline(payment: Id, reason: Reason, key: Key = None, region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """Return the money: void what is authorized, refund what was captured."""
    _decide(payment, "decline", reason, key, region, in_aws)


def _decide(payment: str, decision: str, reason: str, key: str | None, region: str, in_aws: bool) -> None:
    key = key or new_key()
    with api_of(region, in_aws) as operations:
        try:
            console.print_json(data=operations.decide(payment, decision, reason, key))
        except (Refused, httpx.HTTPError) as error:
            raise Refused(f"{error}\nThe same request again: --key {key}") from None
