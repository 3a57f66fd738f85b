"""`payments vault …`: the operator's commands on the vault."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import boto3
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local import platform
from local.deploy import aws
from local.settings import InvalidSetting, settings
from local.shown import console
from local.vault import LEAD_SECONDS, Refused, Vault

app = typer.Typer(help="The vault's keys, and the shredding of cards.", no_args_is_help=True)
rotate = typer.Typer(help="New keys, while the vault works.", no_args_is_help=True)
app.add_typer(rotate, name="rotate")

Aws = Annotated[bool, typer.Option("--aws", help="In AWS, with this shell's credentials, not in the local cloud.")]
Lead = Annotated[int, typer.Option(help="Seconds until the new key is current; at least 30.")]

_SECONDS = 310
"""A page of a walk takes minutes at most (the function's own time-out)."""


@app.command()
def provision(in_aws: Aws = False) -> None:
    """Make the vault's keys where they are absent; changes none."""
    with _vault(in_aws) as vault:
        console.print_json(data=vault.provision())


@app.command()
def status(in_aws: Aws = False) -> None:
    """Which versions of which keys there are, and the check values of the key-encryption keys."""
    with _vault(in_aws) as vault:
        console.print_json(data=vault.status())


@app.command()
def census(in_aws: Aws = False) -> None:
    """Count the cards of every region by use and by key version (reads the whole table)."""
    with _vault(in_aws) as vault:
        for progress in vault.census(f"census-{int(time.time())}").values():
            console.print(str(progress))


@app.command()
def repair(in_aws: Aws = False) -> None:
    """Mend what crashes leave behind: shreddings half done, holdings without a key, keys without a holding."""
    with _vault(in_aws) as vault:
        vault.repair(str(int(time.time())))


@rotate.command()
def token_key(lead: Lead = LEAD_SECONDS, in_aws: Aws = False) -> None:
    """New cards get tokens under a new key; cards that have a token keep it."""
    with _vault(in_aws) as vault:
        console.print_json(data=vault.rotate("token", lead))


@rotate.command()
def sealing_key(lead: Lead = LEAD_SECONDS, in_aws: Aws = False) -> None:
    """Merchants are given a new public key; the old one opens envelopes for another day."""
    with _vault(in_aws) as vault:
        console.print_json(data=vault.rotate("sealing", lead))


@rotate.command()
def kek(
    to: Annotated[int | None, typer.Option(help="Go on with the rotation to this version.")] = None,
    lead: Lead = LEAD_SECONDS,
    in_aws: Aws = False,
) -> None:
    """A new key-encryption key in the HSM; every card is encrypted anew. May be stopped and started again."""
    with _vault(in_aws) as vault:
        vault.rotate_kek(to, lead)


@app.command()
def shred(
    merchant: Annotated[str, typer.Option(help="Whose card, or cards.")],
    token: Annotated[str | None, typer.Option(help="One card; without it, all cards of the merchant.")] = None,
    job: Annotated[str | None, typer.Option(help="Go on with this job.")] = None,
    in_aws: Aws = False,
) -> None:
    """Destroy a merchant's card, or all of a merchant's cards, in every region, for good."""
    with _vault(in_aws) as vault:
        if token:
            console.print_json(data=vault.shred(token, merchant))
            return
        job = job or f"shred-{merchant.lower()}-{int(time.time())}"
        console.print(f"to go on after a stop: --job {job}")
        vault.shred_merchant(merchant, job)


@contextmanager
def _vault(in_aws: bool) -> Iterator[Vault]:
    """What can go wrong is told in a sentence, not in a traceback."""
    told = (Refused, InvalidSetting, platform.NotRunning, BotoCoreError, ClientError)
    try:
        yield Vault(_in_aws if in_aws else _local(), lambda line: console.print(line, markup=False))
    except told as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None


def _in_aws(region: str) -> Any:
    return boto3.client("lambda", region_name=region, config=Config(read_timeout=_SECONDS))


def _local() -> Any:
    at = settings()
    platform.running(at)
    return lambda region: aws(at, "lambda", region, read_timeout=_SECONDS)
