"""What a rule would have done to past charges: `python -m models.fraud.backtest RULE.json [--history FILE] [--days N]`.

RULE.json is a rule as `PUT fraud/rules/{id}` takes it (docs/operators_api.md). The history is generated traffic, or a
file: `.jsonl`, a line for each charge, the saga's request to the fraud function (docs/interfaces.md) with `fraud`, and
`blocked` where it is known; or `.parquet`, the same with columns `payment_id`, `merchant_id`, `amount`, `currency`,
`created_at`, `card_token` and `fraud`, and where there are `bin`, `customer_id`, `email`, `country`, `device`, `ip` and
`blocked`. Charges are taken in order of time, each with what went before it, as in serving.

What is measured is the rule alone, on history as it was: what lists, other rules and the model stop besides is not
taken off, and a charge that the rule would have blocked is still followed by those that followed it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from functions.fraud.charge import Charge, decode
from functions.fraud.facts import Facts
from functions.fraud.rules import GLOBAL, Rule, UnknownRule, rule_of
from models.fraud.dataset import Memory

DAY = 86_400
SEED = 7  # of the generated history; neither training's nor the held-out period's

_COLUMNS = ("payment_id", "merchant_id", "amount", "currency", "created_at", "card_token")
_OPTIONAL = ("bin", "customer_id", "email", "country", "device", "ip", "blocked")


class InvalidHistory(ValueError):
    """The file with past charges cannot be read, or a charge in it is none; the message says which."""


class Past(NamedTuple):
    """A past charge, whether it was fraud, and whether it was blocked."""

    charge: Charge
    fraud: bool
    blocked: bool


@dataclass(slots=True)
class Tally:
    """Charges of one currency, and their amounts in its minor unit: all, and those that the rule would have hit."""

    fraud: int = 0
    good: int = 0
    fraud_amount: int = 0
    good_amount: int = 0
    fraud_hit: int = 0
    good_hit: int = 0
    fraud_amount_hit: int = 0
    good_amount_hit: int = 0

    def add(self, past: Past, hit: bool) -> None:
        """Count a charge."""
        amount = past.charge.amount
        if past.fraud:
            self.fraud += 1
            self.fraud_amount += amount
            self.fraud_hit += hit
            self.fraud_amount_hit += amount * hit
        else:
            self.good += 1
            self.good_amount += amount
            self.good_hit += hit
            self.good_amount_hit += amount * hit


def backtest(rule: Rule, history: Iterable[Past], days: int | None = None) -> dict[str, Tally]:
    """What the rule would have hit, by currency, whatever its state; only in the last `days` of the history, if said.

    A merchant's rule is held against that merchant's charges only.
    """
    charges = sorted(history, key=lambda past: past.charge.at)
    since = charges[-1].charge.at - days * DAY if charges and days is not None else None
    memory, tallies = Memory(), dict[str, Tally]()
    for past in charges:
        charge = past.charge
        if (since is None or charge.at > since) and rule.scope in (GLOBAL, charge.merchant):
            hit = rule.when.holds(charge, Facts(charge, memory.known(charge)))
            tallies.setdefault(charge.currency, Tally()).add(past, hit)
        memory.count(charge, past.blocked)
    return tallies


def read_rule(path: Path, scope: str) -> Rule:
    """The rule in a file. Raises UnknownRule or OSError."""
    try:
        asked = {"id": "rule", "state": "shadow", **json.loads(path.read_text())}
    except (ValueError, TypeError) as error:
        raise UnknownRule(f"{path} is not a JSON object") from error
    return rule_of(scope, json.dumps(asked))


def generated() -> Iterator[Past]:
    """Six weeks of generated traffic."""
    from models.fraud.generate import generate

    return (Past(found.charge, found.fraud, found.stopped) for found in generate(SEED))


def from_file(path: Path) -> Iterator[Past]:
    """Past charges of a `.jsonl` or `.parquet` file. Raises InvalidHistory."""
    events = _parquet(path) if path.suffix == ".parquet" else _lines(path)
    for number, event in enumerate(events, 1):
        try:
            fraud = event["fraud"]
            if not isinstance(fraud, bool):
                raise TypeError("fraud must be true or false")
            yield Past(decode(event), fraud, bool(event.get("blocked")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidHistory(f"{path}, charge {number}: {error!r}") from error


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise InvalidHistory(f"{path}, line {number} is not JSON") from error


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import duckdb

    try:
        table = duckdb.read_parquet(str(path))
        missing = {*_COLUMNS, "fraud"} - set(table.columns)
        if missing:
            raise InvalidHistory(f"{path} has no column {', '.join(sorted(missing))}")
        names = [name for name in (*_COLUMNS, *_OPTIONAL, "fraud") if name in table.columns]
        rows = table.select(*names).fetchall()
    except duckdb.Error as error:
        raise InvalidHistory(f"{path}: {error}") from error
    for values in rows:
        yield _event(dict(zip(names, values, strict=True)))


def _event(found: dict[str, Any]) -> dict[str, Any]:
    at = found["created_at"]
    if isinstance(at, datetime):
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
    address = {"country": found.get("country")}
    return {
        **{name: found[name] for name in ("payment_id", "merchant_id", "amount", "currency")},
        "created_at": at,
        "card": {"token": found["card_token"], "bin": found.get("bin")},
        "customer": {"id": found.get("customer_id"), "email": found.get("email"), "billing_address": address},
        "device": {"fingerprint": found.get("device"), "ip": found.get("ip")},
        "fraud": found["fraud"],
        "blocked": found.get("blocked"),
    }


def report(tallies: dict[str, Tally]) -> str:
    """The figures in words, by currency; amounts in minor units."""
    lines = []
    for currency, tally in sorted(tallies.items()):
        hits = tally.fraud_hit + tally.good_hit
        lines += [
            f"{currency}: {tally.fraud + tally.good:,} charges, {hits:,} hit",
            f"  fraud caught   {_share(tally.fraud_hit, tally.fraud)}",
            f"  its amount     {_share(tally.fraud_amount_hit, tally.fraud_amount)}",
            f"  good blocked   {_share(tally.good_hit, tally.good)}",
            f"  its amount     {_share(tally.good_amount_hit, tally.good_amount)}",
            f"  of the hits    {tally.fraud_hit / hits:.1%} are fraud" if hits else "  nothing was hit",
        ]
    return "\n".join(lines) or "no charges"


def _share(part: int, whole: int) -> str:
    return f"{part:>15,} of {whole:>15,}  {part / whole if whole else 0:8.3%}"


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; 1 when rule or history cannot be read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("rule", type=Path)
    parser.add_argument("--history", type=Path, help="past charges, .jsonl or .parquet; by default generated traffic")
    parser.add_argument("--days", type=int, help="only the last days of the history are measured")
    parser.add_argument("--scope", default=GLOBAL, help="whose rule it is: global, or a merchant's id")
    asked = parser.parse_args(arguments)
    try:
        rule = read_rule(asked.rule, asked.scope)
        print(report(backtest(rule, from_file(asked.history) if asked.history else generated(), asked.days)))
    except (UnknownRule, InvalidHistory, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
