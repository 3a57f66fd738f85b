"""The rules of docs/reconciliation.md once more, over lists and dicts: what the SQL of the matching must come to.

Written from the document. Slow, in memory, and without any memory of earlier runs: it is given all that ever came.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from payments import identifiers

Row = dict[str, Any]
Movement = tuple[str, str, str]
"""Network reference, type, and the operation's id."""

MOVEMENTS = ("capture", "refund", "chargeback", "representment")
PAID = ("capture", "representment")
"""What the network pays; it takes the other two."""

NO_DAY = date(1970, 1, 1)


@dataclass
class Decisions:
    """What operators have decided so far.

    `notes`: by record. `closed`: the lines that counted for a movement when it was decided, perhaps none.
    `written_off`: of these movements, those that the decision booked, which is all but those of a fee that differs.
    """

    notes: dict[tuple[str, str], str] = field(default_factory=dict)
    closed: dict[Movement, set[str]] = field(default_factory=dict)
    written_off: set[Movement] = field(default_factory=set)


@dataclass
class Comes:
    """What a comparison comes to: results by (`network_ref`, `record`), and sums of money."""

    results: dict[tuple[str, str], Row]
    booked: Counter[tuple[Any, ...]]
    claims: Counter[tuple[str, str]]


def compare(
    facts: Iterable[Row],
    lines: Iterable[Row],
    terms: Mapping[str, Any],
    as_of: date,
    refusals: Mapping[str, str] | None = None,
    decisions: Decisions | None = None,
) -> Comes:
    """All that is known by a day, compared. `refusals` are the ledger's codes by line."""
    world = _World(list(facts), list(lines), terms, as_of, refusals or {}, decisions or Decisions())
    world.movements()
    world.fees()
    world.batches()
    world.orphans()
    return Comes(world.results, _without_zeros(world.booked), _without_zeros(world.claims))


def agreed(terms: Mapping[str, Any], network: str, currency: str, merchant: str | None) -> Row:
    """Of the layers default, network, merchant, merchant at the network, the last that says something."""
    own = terms.get("merchants", {}).get(merchant, {})
    layers = [terms["default"], terms.get("networks", {}).get(network, {}), own.get("*", {}), own.get(network, {})]
    found: Row = {"due_days": 0, "basis_points": 0, "tolerance": 0, "fee_tolerance": 0, "fixed": 0}
    for layer in layers:
        for name, value in layer.items():
            if isinstance(value, int):
                found[name] = value
            elif currency in value or "*" in value:
                found[name] = value[currency] if currency in value else value["*"]
    return found


def fee_of(plan: Row, kind: str, amount: int) -> int:
    """Of a capture, the basis points half up, and what is fixed."""
    if kind != "capture":
        return 0
    whole, rest = divmod(amount * plan["basis_points"], 10_000)
    return whole + (1 if rest * 2 >= 10_000 else 0) + plan["fixed"]


def distinct_lines(lines: Iterable[Row]) -> list[Row]:
    """Each line once, wherever it was read first by the name of its file."""
    found: dict[tuple[str, str, str], Row] = {}
    for line in sorted(lines, key=lambda line: (line["network"], line["file"], line["row"])):
        found.setdefault((line["network_ref"], line["type"], line["line_id"]), line)
    return list(found.values())


def distinct_facts(facts: Iterable[Row], decided: Container[Movement] = ()) -> dict[Movement, Row]:
    """The facts of movements, each once, without the captures that failed before anybody had decided about them."""
    found: dict[Movement, Row] = {}
    for fact in facts:
        if fact["kind"] in MOVEMENTS and fact["network_ref"]:
            found.setdefault((fact["network_ref"], fact["kind"], fact["movement"]), fact)
    for movement in failed_captures(facts):
        if movement not in decided:
            found.pop(movement, None)
    return found


def failed_captures(facts: Iterable[Row]) -> set[Movement]:
    """The captures that the network has refused."""
    return {(fact["network_ref"], "capture", fact["movement"]) for fact in facts if fact["kind"] == "failed_capture"}


def day_of(fact: Row) -> date:
    """A journal's day, or one that is long due, where nobody can read it."""
    try:
        return date.fromisoformat(fact["day"])
    except (TypeError, ValueError):
        return NO_DAY


def _without_zeros(counted: Counter[Any]) -> Counter[Any]:
    return Counter({name: amount for name, amount in counted.items() if any(_parts(amount))})


def _parts(amount: Any) -> tuple[int, ...]:
    return amount if isinstance(amount, tuple) else (amount,)


def _order(line: Row) -> tuple[date, str]:
    return line["settled_on"], line["line_id"]


class _World:
    def __init__(
        self,
        facts: list[Row],
        lines: list[Row],
        terms: Mapping[str, Any],
        as_of: date,
        refusals: Mapping[str, str],
        decisions: Decisions,
    ) -> None:
        self.all_facts, self.lines = facts, distinct_lines(lines)
        self.terms, self.as_of, self.refusals, self.decisions = terms, as_of, refusals, decisions
        self.facts, self.failed = distinct_facts(facts, self.decisions.closed), failed_captures(facts)
        self.payments = self._payments()
        self.results: dict[tuple[str, str], Row] = {}
        self.booked: Counter[tuple[Any, ...]] = Counter()
        self.claims: Counter[tuple[str, str]] = Counter()

    def _payments(self) -> dict[str, Row]:
        return {fact["network_ref"]: fact for fact in self.all_facts if fact["network_ref"]}

    def _movement(self, line: Row) -> Movement:
        payment, movement = self.payments.get(line["network_ref"]), line["movement"]
        if line["type"] in ("chargeback", "representment"):
            movement = ""
            if payment and payment["merchant_id"] and line["case_ref"]:
                command = identifiers.command_id(payment["merchant_id"], line["case_ref"] + "#open")
                movement = identifiers.operation_id("dsp", command)
        return line["network_ref"], line["type"], movement

    def movements(self) -> None:
        by_movement: dict[Movement, list[Row]] = defaultdict(list)
        for line in self.lines:
            if line["type"] in MOVEMENTS:
                by_movement[self._movement(line)].append(line)
        for movement in {*by_movement, *self.facts}:
            if movement in self.facts:
                self._compare(movement, self.facts[movement], by_movement[movement])
            else:
                for line in by_movement[movement]:
                    self._unknown(movement, line)

    def _compare(self, movement: Movement, fact: Row, lines: list[Row]) -> None:
        plan = agreed(self.terms, fact["network"], fact["currency"], fact["merchant_id"])
        expected, due = fact["amount"], day_of(fact) + timedelta(days=plan["due_days"])
        others = [line for line in lines if line["currency"] != fact["currency"]]
        same = sorted((line for line in lines if line["currency"] == fact["currency"]), key=_order)
        counting, complete = self._counting(movement, same, expected, plan)
        total, fees = sum(line["amount"] for line in counting), sum(line["fee"] for line in counting)
        fee_expected = fee_of(plan, movement[1], expected)
        off = total - expected
        if movement in self.decisions.written_off:
            found, at_risk = "resolved", 0
        elif not counting:
            late = self.as_of > due
            found, at_risk = ("missing_at_network", expected) if late else ("expected", 0)
        elif not complete:
            late = self.as_of > due
            found, at_risk = ("missing_at_network", abs(off)) if late else ("partially_settled", 0)
        elif abs(off) > plan["tolerance"]:
            found, at_risk = "amount_mismatch", abs(off)
        elif abs(fees - fee_expected) > plan["fee_tolerance"]:
            found, at_risk = "fee_mismatch", abs(fees - fee_expected)
        else:
            found, at_risk = "matched", 0
        settled = found in ("matched", "fee_mismatch")
        common = {"day": day_of(fact), "due": due, "network": fact["network"], **_who(fact)}
        whole = {"expected": expected, "fee_expected": fee_expected, "difference": off, "at_risk": at_risk}
        if not counting:
            record = f"{movement[1]}#{movement[2]}"
            self._tell(movement, record, found, {**common, **whole, "currency": fact["currency"]})
        for line in counting:
            mine = whole if line is counting[0] else {}
            more = {**common, **mine, "tolerated": settled and off != 0}
            self._tell(movement, line["line_id"], found, _of_line(line) | more)
        for line in [*same, *others]:
            if not any(line is other for other in counting):
                name = "currency_mismatch" if line in others else "duplicate_at_network"
                money = {"difference": line["amount"], "at_risk": line["amount"]}
                note = "decided" if movement in self.decisions.closed and line in same else None
                self._tell(movement, line["line_id"], name, _of_line(line) | common | money | {"note": note})
        sign = 1 if movement[1] in PAID else -1
        place = fact["network"], fact["currency"]
        if settled:
            self.booked[(fact["shard"], *place, "captured" if sign > 0 else "returned")] += expected
            self.booked[(fact["shard"], *place, "fees")] += fees
            self.booked[(fact["shard"], *place, "written_off")] -= sign * off
        elif found != "resolved":
            self.claims[place] += sign * expected

    def _counting(self, movement: Movement, same: list[Row], expected: int, plan: Row) -> tuple[list[Row], bool]:
        """Rules 2 and 3: the lines that count, the least first, and whether they are all that there should be."""
        if movement in self.decisions.closed:
            usable = [line for line in same if line["line_id"] in self.decisions.closed[movement]]
        else:
            usable = [line for line in same if (line["network_ref"], line["line_id"]) not in self.decisions.notes]
        whole = [line for line in usable if line["count"] == 1]
        if whole:
            fitting = [line for line in whole if abs(line["amount"] - expected) <= plan["tolerance"]]
            return (fitting or whole)[:1], True
        if not usable:
            return [], False
        count, split = usable[0]["count"], {}
        for line in usable:
            if line["count"] == count:
                split.setdefault(line["sequence"], line)
        return list(split.values()), len(split) == count

    def _unknown(self, movement: Movement, line: Row) -> None:
        payment = self.payments.get(line["network_ref"])
        who = {"merchant_id": None, "payment_id": None, "shard": line["shard"], **(_who(payment) if payment else {})}
        note = "payment_known" if payment else "payment_unknown"
        if payment and line["type"] == "chargeback" and payment["currency"] != line["currency"]:
            note = "currency_differs"
        note = self.refusals.get(line["line_id"], "capture_failed" if movement in self.failed else note)
        money = {"difference": line["amount"], "at_risk": line["amount"]}
        more = {"day": line["settled_on"], "network": line["network"], "note": note}
        self._tell(movement, line["line_id"], "missing_in_ledger", _of_line(line) | who | money | more)

    def fees(self) -> None:
        for line in self.lines:
            if line["type"] == "fee":
                movement = line["network_ref"], "fee", line["line_id"]
                more = {"network": line["network"], "shard": line["shard"], "day": line["settled_on"]}
                self._tell(movement, line["line_id"], "network_fee", _of_line(line) | more)
                place = line["shard"], line["network"], line["currency"], "fees"
                self.booked[place] += line["amount"] + line["fee"]

    def batches(self) -> None:
        for line in self.lines:
            if line["type"] == "batch":
                members = sum(
                    member["amount"] * (1 if member["type"] in PAID else -1)
                    for member in self.lines
                    if member["type"] != "batch"
                    and all(member[name] == line[name] for name in ("network", "batch_ref", "currency"))
                )
                off = line["amount"] - members
                more = {"network": line["network"], "shard": line["shard"], "day": line["settled_on"]}
                more |= {"expected": members, "difference": off, "at_risk": abs(off)}
                name = "batch_mismatch" if off else "batch"
                if (line["network_ref"], line["line_id"]) in self.decisions.notes:
                    name, more = "resolved", more | {"at_risk": 0}
                movement = line["network_ref"], "batch", line["line_id"]
                self._tell(movement, line["line_id"], name, _of_line(line) | more)

    def orphans(self) -> None:
        ended = {reference for reference, _, _ in self.facts}
        ended |= {fact["network_ref"] for fact in self.all_facts if fact["kind"] == "release"}
        for fact in self.all_facts:
            due = day_of(fact) + timedelta(days=8)
            if fact["kind"] == "authorization" and fact["network_ref"] not in ended and self.as_of > due:
                more = {"day": day_of(fact), "due": due, "currency": fact["currency"], "at_risk": fact["amount"]}
                movement = fact["network_ref"], "authorization", ""
                self._tell(movement, "authorization#", "orphan", {**more, **_who(fact)})

    def _tell(self, movement: Movement, record: str, name: str, found: Row) -> None:
        names = ("network_ref", "type", "movement")
        row = {**_EMPTY, **found, **dict(zip(names, movement, strict=True)), "record": record, "class": name}
        decided = self.decisions.notes.get((movement[0], record))
        if decided is not None and name in (*OPEN, "resolved"):
            row |= {"class": "resolved", "at_risk": 0, "note": decided}
        self.results[movement[0], record] = row


def _who(fact: Row) -> Row:
    return {name: fact[name] for name in ("merchant_id", "payment_id", "shard")}


def _of_line(line: Row) -> Row:
    return {
        **{name: line[name] for name in ("currency", "line_ref", "file", "row")},
        "settled": line["amount"],
        "fee_settled": line["fee"],
        "split": line["count"] > 1,
        "batch_ref": line["batch_ref"] or None,
        "case_ref": line["case_ref"] or None,
    }


OPEN = (
    "missing_at_network",
    "missing_in_ledger",
    "amount_mismatch",
    "currency_mismatch",
    "duplicate_at_network",
    "fee_mismatch",
    "batch_mismatch",
    "orphan",
)
_SUMS = ("expected", "settled", "difference", "fee_expected", "fee_settled", "at_risk")
_EMPTY: Row = {
    **dict.fromkeys(_SUMS, 0),
    **dict.fromkeys(("network", "merchant_id", "payment_id", "shard", "line_ref", "file", "row", "due", "note")),
    **dict.fromkeys(("batch_ref", "case_ref")),
    "split": False,
    "tolerated": False,
}
