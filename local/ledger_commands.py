"""`payments ledger …`: the auditor's and the operator's commands on the ledger (docs/ledger_audit.md)."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table

from local import ledger_prove, ledger_reports, platform
from local.deploy import aws
from local.ledger import Refused, Region
from local.ledger_desk import DISPUTE, Desk
from local.ledger_rebuild import Rebuild
from local.ledger_restore import Restoration
from local.ledger_verify import Verification
from local.settings import ACCOUNT, REGIONS, InvalidSetting, settings
from local.shown import console
from payments import accounts, clock
from payments.journal import Balance, Side

app = typer.Typer(help="The ledger: its proof, its balances, its books.", no_args_is_help=True)

Aws = Annotated[bool, typer.Option("--aws", help="In AWS, with this shell's credentials, not in the local cloud.")]
OneRegion = Annotated[str, typer.Option("--region", help=" or ".join(REGIONS))]
Out = Annotated[Path | None, typer.Option("--out", help="Into this file, not on the terminal.", dir_okay=False)]
Noted = Annotated[Path | None, typer.Option("--anchors", help="A file of `anchors --out`.", exists=True)]
Amount = Annotated[int, typer.Option(help="In minor units.")]
Currency = Annotated[str, typer.Option(help="Such as USD.")]
Reference = Annotated[str, typer.Option(help="Names the booking: the same one twice is booked once.")]
Reason = Annotated[str, typer.Option(help="Why, for the books.")]


@app.command()
def verify(
    region: Annotated[list[str] | None, typer.Option(help="Only this region's table and archive; repeatable.")] = None,
    anchors: Noted = None,
    in_aws: Aws = False,
) -> None:
    """Compare every journal with the sealed chains; names what was changed, removed or inserted."""
    with _ledgers(in_aws) as ledgers, tempfile.TemporaryDirectory() as directory:
        chosen = [_chosen(ledgers, name) for name in region or REGIONS]
        verification = Verification(chosen, Path(directory), _anchors(anchors), others=REGIONS)
        found = _tell(verification.run())
        for name, count in sorted(verification.counts.items()):
            console.print(f"{name}: {count}")
    _end("The ledger is what was sealed.", found)


@app.command()
def prove(payment: str, out: Out = None, anchors: Noted = None, in_aws: Aws = False) -> None:
    """Make the proof that a payment's journals are in the chains; `python docs/check_proof.py FILE` checks it."""
    with _ledgers(in_aws) as ledgers:
        journals = ledgers[REGIONS[0]].journals(payment)
        proof = ledger_prove.prove(journals, ledgers, _anchors(anchors))
    _put(ledger_prove.written(proof), out)


@app.command()
def anchors(out: Out = None, in_aws: Aws = False) -> None:
    """Print the newest hash of every chain: what an auditor writes down, and gives to `verify` another time."""
    with _ledgers(in_aws) as ledgers:
        rows = [asdict(anchor) for region in ledgers.values() for anchor in ledger_prove.anchors(region)]
    _put(json.dumps(rows, indent=1) + "\n", out)


@app.command()
def rebuild(
    region: OneRegion = REGIONS[0],
    write: Annotated[bool, typer.Option(help="Put right what differs.")] = False,
    unseen_too: Annotated[
        bool, typer.Option(help="Also while the projector has not seen all of the last day, if it never will.")
    ] = False,
    in_aws: Aws = False,
) -> None:
    """Sum a region's balances anew from its ledger, and compare them with those the projector kept."""
    with _ledgers(in_aws) as ledgers, tempfile.TemporaryDirectory() as directory:
        work = Rebuild(_chosen(ledgers, region), Path(directory))
        outcome = work.compare()
        for line in (*outcome.unreadable, *map(str, outcome.differences)):
            console.print(line, markup=False)
        for difference in outcome.moving:
            console.print(f"still moving, look again when its day is over: {difference}", markup=False)
        console.print(f"{outcome.journals} journals, {outcome.items} items compared, {len(outcome.differences)} differ")
        console.print(f"{outcome.rows} rows of history looked for, {len(outcome.missing)} missing or different")
        if write:
            items, rows = work.write(outcome, unseen_too=unseen_too)
            console.print(f"written: {items} items, {rows} rows of history; run it again to see that all is equal")
    _end("Rebuilt equals incremental.", not outcome.equal)


@app.command("trial-balance")
def trial_balance(
    region: OneRegion = REGIONS[0],
    date: Annotated[str | None, typer.Option(help="At the end of this UTC day, 2026-11-23.")] = None,
    in_aws: Aws = False,
) -> None:
    """The general ledger: every control account with its four counters, and whether they balance."""
    with _ledgers(in_aws) as ledgers:
        found = ledger_reports.trial_balance(_chosen(ledgers, region), date)
    unbalanced = 0
    for currency, balances in found.items():
        table = Table(currency, *_COUNTERS, title=f"Minor units of {currency}")
        sums = ledger_reports.total(balances.values())
        for control, balance in balances.items():
            table.add_row(control, *_counters(balance))
        table.add_section()
        table.add_row("sum", *_counters(sums))
        console.print(table)
        unbalanced += not sums.balanced
    _end("The books balance.", unbalanced)


@app.command()
def statement(
    merchant: str,
    currency: Annotated[str | None, typer.Option(help="Such as USD; all by default.")] = None,
    at: Annotated[str | None, typer.Option(help="At this instant, 2026-11-23T10:00:00Z; now by default.")] = None,
    region: OneRegion = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """A merchant's balances at any instant, with the journals of its day up to it."""
    with _ledgers(in_aws) as ledgers:
        source, instant = _chosen(ledgers, region), _instant(at)
        for account in (accounts.merchant(merchant), accounts.disputes(merchant)):
            for one in [currency] if currency else ledger_reports.currencies(source, account):
                _show(ledger_reports.statement(source, account, one, instant), instant)


@app.command()
def journals(payment: str, region: OneRegion = REGIONS[0], in_aws: Aws = False) -> None:
    """The journals of a payment or transfer as T-accounts."""
    with _ledgers(in_aws) as ledgers:
        found = _chosen(ledgers, region).journals(payment)
        if not found:
            raise Refused(f"there are no journals of {payment}")
    for item in found:
        extra = "".join(f", {name}: {item[name]}" for name in ("reason", "reverses") if name in item)
        console.print(f"{item['created_at']} {item['journal_id']} ({item['kind']}{extra})", markup=False)
    for (account, currency), entries in ledger_reports.t_accounts(found).items():
        table = Table("debit", "credit", "phase", "journal", title=f"{account} {currency}", title_justify="left")
        for journal_id, entry in entries:
            sides = (str(entry.amount), "") if entry.side is Side.DEBIT else ("", str(entry.amount))
            table.add_row(*sides, str(entry.phase), journal_id)
        console.print(table)


@app.command()
def restore(
    origins: Annotated[list[str], typer.Argument(metavar="FROM...", help="Regions whose archives are read.")],
    table: Annotated[str, typer.Option(help="Into this table; it must exist.")],
    region: OneRegion = REGIONS[0],
    anyway: Annotated[bool, typer.Option(help="Also from an archive that is not in order.")] = False,
    in_aws: Aws = False,
) -> None:
    """Put journals from the archives back into a table, each only where there is none."""
    with _ledgers(in_aws) as ledgers:
        work = Restoration([_chosen(ledgers, name) for name in origins], _chosen(ledgers, region), table)
        try:
            if not anyway:
                work.check()
        finally:
            _tell(iter(work.findings))
        wrong = _tell(work.run())
        for name in ("restored", "there", "written twice", "differ", "unreadable"):
            console.print(f"{name}: {work.counts[name]}")
    _end("Everything that is archived is in the table.", wrong)


@app.command()
def dispute(
    turn: Annotated[str, typer.Argument(help=", ".join(DISPUTE))],
    payment: str,
    case: Annotated[str, typer.Option(help="The card network's case: the same one twice is one dispute.")],
    amount: Annotated[int | None, typer.Option(help="Opened for less than is left, in minor units.")] = None,
    reason: str | None = None,
    in_aws: Aws = False,
) -> None:
    """Record what the card network says of a dispute: open, won or lost."""
    if turn not in DISPUTE:
        raise typer.BadParameter(f"must be one of {', '.join(DISPUTE)}")
    with _ledgers(in_aws) as ledgers:
        console.print_json(data=Desk(ledgers).dispute(turn, payment, case, amount, reason))


@app.command()
def payout(
    merchant: str,
    amount: Amount,
    currency: Currency,
    reference: Reference,
    reason: Reason = "payout",
    overdraw: Annotated[bool, typer.Option(help="Pay more than is available.")] = False,
    in_aws: Aws = False,
) -> None:
    """Book a payout to the merchant's bank; refuses to pay more than is available."""
    with _ledgers(in_aws) as ledgers:
        booking = {"reference": reference, "amount": amount, "currency": currency, "reason": reason}
        console.print_json(data=Desk(ledgers).payout(merchant, booking, overdraw=overdraw))


@app.command()
def fee(
    merchant: str, amount: Amount, currency: Currency, reference: Reference, reason: Reason, in_aws: Aws = False
) -> None:
    """Book a fee that belongs to no payment."""
    with _ledgers(in_aws) as ledgers:
        booking = {"reference": reference, "amount": amount, "currency": currency, "reason": reason}
        console.print_json(data=Desk(ledgers).book(merchant, "fee", booking))


@app.command()
def adjust(
    merchant: str, amount: Amount, currency: Currency, reference: Reference, reason: Reason, in_aws: Aws = False
) -> None:
    """Give a merchant an amount, or take it (negative)."""
    with _ledgers(in_aws) as ledgers:
        booking = {"reference": reference, "amount": amount, "currency": currency, "reason": reason}
        console.print_json(data=Desk(ledgers).book(merchant, "adjustment", booking))


@app.command()
def reverse(payment: str, journal: str, reason: Reason, in_aws: Aws = False) -> None:
    """Take a journal back by another one; PAYMENT is the payment or transfer, JOURNAL the journal's id."""
    with _ledgers(in_aws) as ledgers:
        console.print_json(data=Desk(ledgers).reverse(payment, journal, reason))


_COUNTERS = ("debits pending", "debits posted", "credits pending", "credits posted")


def _counters(balance: Balance) -> tuple[str, str, str, str]:
    return (
        str(balance.debits_pending),
        str(balance.debits_posted),
        str(balance.credits_pending),
        str(balance.credits_posted),
    )


def _show(shown: ledger_reports.Statement, instant: str) -> None:
    table = Table("time", "payment", "journal", *_COUNTERS, "available", title=f"{shown.account} {shown.currency}")
    table.add_row(instant[:10], "", "opening", *_counters(shown.opening), str(shown.opening.available))
    for line in shown.lines:
        journal, balance = line.journal, line.balance
        name = (journal.created_at[11:], journal.payment_id, journal.journal_id)
        table.add_row(*name, *_counters(balance), str(balance.available))
    console.print(table)
    console.print(f"at {instant}: available {shown.closing.available}, minor units of {shown.currency}")


def _tell(findings: Iterator[Any]) -> int:
    """Prints what was found; how much it was."""
    count = 0
    for finding in findings:
        count += 1
        console.print(str(finding), markup=False, soft_wrap=True)
    return count


def _end(well: str, wrong: int) -> None:
    """The last line; exit code 1 when something is wrong."""
    console.print("NOT IN ORDER, see above." if wrong else well)
    raise typer.Exit(int(bool(wrong)))


def _put(text: str, file: Path | None) -> None:
    if file is None:
        typer.echo(text, nl=False)
        return
    file.write_text(text)
    console.print(f"written: {file}", markup=False)


def _anchors(file: Path | None) -> dict[tuple[str, int], dict[int, str]]:
    if file is None:
        return {}
    try:
        return ledger_prove.noted(json.loads(file.read_text()))
    except ValueError:
        raise Refused(f"{file} is no JSON") from None


def _instant(text: str | None) -> str:
    """As the ledger writes times. Raises `Refused`."""
    if text is None:
        return clock.now()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text} is no time such as 2026-11-23T10:00:00Z") from None
    if moment.tzinfo is None:
        raise Refused(f"{text} has no time zone; Z is UTC")
    return clock.timestamp(moment)


def _chosen(ledgers: dict[str, Region], name: str) -> Region:
    if name not in ledgers:
        raise Refused(f"{name}: must be {' or '.join(ledgers)}")
    return ledgers[name]


@contextmanager
def _ledgers(in_aws: bool) -> Iterator[dict[str, Region]]:
    """What can go wrong is told in a sentence, not in a traceback."""
    told = (Refused, InvalidSetting, platform.NotRunning, BotoCoreError, ClientError, OSError)
    try:
        yield _in_aws() if in_aws else _local()
    except told as error:
        console.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _in_aws() -> dict[str, Region]:
    account = boto3.client("sts", region_name=REGIONS[0]).get_caller_identity()["Account"]
    return {name: Region(name, _client, account) for name in REGIONS}


def _client(service: str, region: str) -> Any:
    return boto3.client(service, region_name=region)  # type: ignore[call-overload]


def _local() -> dict[str, Region]:
    at = settings()
    platform.running(at)
    return {name: Region(name, lambda service, region: aws(at, service, region), ACCOUNT) for name in REGIONS}
