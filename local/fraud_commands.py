"""`payments fraud …`: lists and rules of fraud scoring, what a rule would have done, and models."""

import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.table import Table

from local import fraud_model_commands
from local.client import new_key
from local.discrepancy_commands import Aws, Key, Where, api_of
from local.ledger import Refused
from local.operations import Item
from local.settings import REGIONS
from local.shown import console

app = typer.Typer(help="Fraud scoring: lists, rules, back-tests, models.", no_args_is_help=True)
lists = typer.Typer(help="What is blocked, reviewed or allowed by its name.", no_args_is_help=True)
rules = typer.Typer(help="Limits, and the guard against card testing.", no_args_is_help=True)
app.add_typer(lists, name="lists")
app.add_typer(rules, name="rules")
app.add_typer(fraud_model_commands.models, name="models")
app.command()(fraud_model_commands.drift)
app.command()(fraud_model_commands.retrain)

Scope = Annotated[str, typer.Option(help="`global`, or a merchant's id.")]
Type = Annotated[str, typer.Argument(help="bin, card, country, customer, device, email or ip.")]
Value = Annotated[str, typer.Argument(help="Of a card its token, of an IP range 203.0.113.0/24.")]
Reason = Annotated[str, typer.Option(help="Why, for the trail.")]
RuleFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="kind, when, action, state, as JSON.")]

_ENTRY = ("type", "value", "action", "expires_at", "changed_by", "reason")
_RULE = ("id", "kind", "when", "action", "state", "changed_by", "reason")


@lists.command("list")
def listed(
    scope: Scope = "global",
    type_: Annotated[str | None, typer.Option("--type")] = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """What is listed."""
    _table(_ENTRY, "lists", region, in_aws, scope=scope, type=type_)


@lists.command("show")
def show_entry(
    type_: Type, value: Value, scope: Scope = "global", region: Where = REGIONS[0], in_aws: Aws = False
) -> None:
    """One value, with everything that was done about it."""
    with api_of(region, in_aws) as api:
        console.print_json(data=api.fraud_one(_entry(type_, value), scope))


@lists.command("put")
def put_entry(
    type_: Type,
    value: Value,
    action: Annotated[str, typer.Argument(help="block, review or allow.")],
    reason: Reason,
    scope: Annotated[str, typer.Option(help="`global`, or a merchant's id.")],
    until: Annotated[str | None, typer.Option(help="When it is over, such as 2026-12-24T00:00:00Z.")] = None,
    key: Key = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """Put a value on a list."""
    body: Item = {"action": action, "reason": reason, **({"expires_at": until} if until else {})}
    _change(region, in_aws, "PUT", _entry(type_, value), scope, body, key)


@lists.command("remove")
def remove_entry(
    type_: Type,
    value: Value,
    reason: Reason,
    scope: Annotated[str, typer.Option(help="`global`, or a merchant's id.")],
    key: Key = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """Take a value off a list."""
    _change(region, in_aws, "DELETE", _entry(type_, value), scope, {"reason": reason}, key)


@rules.command("list")
def listed_rules(scope: Scope = "global", region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """The rules of a scope."""
    _table(_RULE, "rules", region, in_aws, scope=scope)


@rules.command("show")
def show_rule(name: str, scope: Scope = "global", region: Where = REGIONS[0], in_aws: Aws = False) -> None:
    """One rule, with everything that was done about it."""
    with api_of(region, in_aws) as api:
        console.print_json(data=api.fraud_one(f"rules/{name}", scope))


@rules.command("put")
def put_rule(
    name: str,
    rule: RuleFile,
    reason: Reason,
    scope: Annotated[str, typer.Option(help="`global`, or a merchant's id.")],
    state: Annotated[str | None, typer.Option(help="off, shadow or on, whatever the file says.")] = None,
    key: Key = None,
    region: Where = REGIONS[0],
    in_aws: Aws = False,
) -> None:
    """Make a rule, or change it."""
    body = {**_read(rule), "reason": reason, **({"state": state} if state else {})}
    _change(region, in_aws, "PUT", f"rules/{name}", scope, body, key)


@app.command()
def backtest(
    rule: RuleFile,
    history: Annotated[Path | None, typer.Option(help="Past charges, .jsonl or .parquet; else generated.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Measure the last days of it only.")] = None,
    scope: Scope = "global",
) -> None:
    """What a rule would have done to past charges."""
    from functions.fraud.rules import UnknownRule
    from models.fraud import backtest as testing  # numpy is slow to import

    try:
        past = testing.from_file(history) if history else testing.generated()
        found = testing.backtest(testing.read_rule(rule, scope), past, days)
    except (UnknownRule, testing.InvalidHistory, OSError) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    console.print(testing.report(found), markup=False, soft_wrap=True, highlight=False)


def _table(columns: tuple[str, ...], kind: str, region: str, in_aws: bool, **filters: Any) -> None:
    table = Table(*columns)
    with api_of(region, in_aws) as api:
        for found in api.fraud(kind, **filters):
            table.add_row(*("" if found[name] is None else str(found[name]) for name in columns))
    console.print(table)


def _change(region: str, in_aws: bool, method: str, path: str, scope: str, body: Item, key: str | None) -> None:
    key = key or new_key()
    with api_of(region, in_aws) as api:
        try:
            console.print_json(data=api.fraud_change(method, path, scope, body, key))
        except (Refused, httpx.HTTPError) as error:
            raise Refused(f"{error}\nThe same request again: --key {key}") from None


def _entry(kind: str, value: str) -> str:
    """A value as it stands in paths: what is not a letter, digit, `.`, `_`, `~` or `-` is `=` and two hex digits."""
    plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-"
    escaped = (letter if letter in plain else "".join(f"={byte:02X}" for byte in letter.encode()) for letter in value)
    return f"lists/{kind}/{''.join(escaped)}"


def _read(path: Path) -> Item:
    try:
        found = json.loads(path.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        console.print(f"{path} is not a JSON object", markup=False)
        raise typer.Exit(1)
    return {name: value for name, value in found.items() if name != "id"}
