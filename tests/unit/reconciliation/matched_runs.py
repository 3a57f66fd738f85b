"""Runs of the matching, one after another, each given what the last one left; and what is shown of them.

`told` is what the table `settlements` then says: of a run it hears what has changed, and what was withdrawn.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from duckdb import DuckDBPyConnection

from functions.reconciliation import loading, terms
from functions.reconciliation.database import text
from functions.reconciliation.exchange import (
    OPEN,
    Inputs,
    Known,
    OpenedDispute,
    Outputs,
    Resolution,
    Settled,
    Summary,
    WantedDispute,
)
from functions.reconciliation.matching import Part
from functions.reconciliation.rows import RESULT
from payments.discrepancies import decided_with
from tests.unit.reconciliation.oracle import Decisions

Row = dict[str, Any]
Answer = Callable[[WantedDispute], OpenedDispute | None]

FACT = {**loading.FACT, "journal_id": "VARCHAR", "fee": "BIGINT", "at": "VARCHAR"}
_UNTOLD = ("changed", "withdrawn", "booked")


class Runs:
    """A part's runs in a directory of its own."""

    def __init__(self, connection: DuckDBPyConnection, directory: Path, agreed: dict[str, Any]) -> None:
        self._connection, self._directory = connection, directory
        self._terms = terms.parse(msgspec.json.encode(agreed))
        self._state: tuple[Path, Path] | None = None
        self._number = 0
        self.as_of: date | None = None
        self.told: dict[tuple[str, str], Row] = {}
        self.booked: Counter[tuple[Any, ...]] = Counter()
        self.claims: Counter[tuple[str, str]] = Counter()
        self.decisions = Decisions()
        self.resolutions: list[Resolution] = []
        self.refusals: dict[str, str] = {}
        self.opened: list[Row] = []
        self.wanted: list[WantedDispute] = []
        self.results: list[Row] = []
        self._networks: dict[str, str] = {}

    def run(
        self,
        as_of: date,
        facts: Sequence[Sequence[Row]] = (),
        lines: Sequence[Sequence[Row]] = (),
        answer: Answer | None = None,
        introduced: bool = False,
    ) -> Summary:
        """One run over files of facts and of lines. `answer` is the ledger's; `introduced` looks strangers up in what
        was told."""
        self._number, self.as_of = self._number + 1, as_of
        place = self._directory / str(self._number)
        place.mkdir()
        for row in (*chain(*lines), *chain(*facts)):
            self._networks[row["network_ref"]] = row["network"] or self._networks.get(row["network_ref"])
        inputs = Inputs(
            [self._written(place / f"facts-{n}", FACT, rows) for n, rows in enumerate(facts)],
            [self._written(place / f"lines-{n}", loading.LINE, with_copies(rows)) for n, rows in enumerate(lines)],
            *(self._state or (None, None)),
            self.resolutions,
        )
        outputs = Outputs(*(place / f"{name}.parquet" for name in ("results", "facts", "lines")))
        part = Part(self._connection, inputs, self._terms, as_of)
        if introduced:
            part.introduce(self._known(part.strangers()))
        if answer:
            self._answer(part, answer)
        summary = part.run(outputs)
        self._state = outputs.facts, outputs.lines
        self._tell(outputs.results, summary)
        return summary

    def open(self) -> list[Row]:
        """What somebody must look at."""
        return [row for _, row in sorted(self.told.items()) if row["class"] in OPEN]

    def decide(self, row: Row) -> None:
        """An operator accepts an open record; the lines of a split are decided together."""
        movement = row["network_ref"], row["type"], row["movement"]
        others = [{**other, "line": record} for (ref, record), other in self.told.items() if ref == row["network_ref"]]
        together = decided_with({**row, "line": row["record"]}, others)
        for record in together:
            if (record["network_ref"], record["line"]) not in self.decisions.notes:
                self.resolutions.append(Resolution(record["network_ref"], record["line"], "accept"))
            self.decisions.notes[record["network_ref"], record["line"]] = "accept"
        if row["class"] in ("missing_at_network", "amount_mismatch", "fee_mismatch"):
            self.decisions.closed[movement] = {record["line"] for record in together if record["line_ref"]}
            if row["class"] != "fee_mismatch":
                self.decisions.written_off.add(movement)

    def _answer(self, part: Part, answer: Answer) -> None:
        self.wanted = part.disputes()
        answers = [found for found in map(answer, self.wanted) if found]
        part.told(answers)
        by_line = {wanted.line_id: wanted for wanted in self.wanted}
        for found in answers:
            if found.refusal:
                self.refusals[found.line_id] = found.refusal
            else:
                self.opened.append(self._dispute_fact(by_line[found.line_id], found))

    def _dispute_fact(self, wanted: WantedDispute, opened: OpenedDispute) -> Row:
        """The fact that the projector feeds of a dispute that a run has opened."""
        names = ("network_ref", "payment_id", "merchant_id", "shard")
        return {
            **{name: getattr(wanted, name) for name in names},
            "journal_id": opened.dispute_id,
            "kind": "chargeback",
            "movement": opened.dispute_id,
            "network": self._networks[wanted.network_ref],
            "currency": opened.currency,
            "amount": opened.amount,
            "fee": 0,
            "at": opened.at,
            "day": opened.at[:10],
        }

    def _known(self, strangers: Iterable[str]) -> list[Known]:
        found = []
        for ref in strangers:
            rows = [row for (network_ref, _), row in self.told.items() if network_ref == ref and row["payment_id"]]
            if rows:
                first = {name: next((row[name] for row in rows if row[name]), None) for name in ("network", "currency")}
                settled = [
                    Settled(row["type"], row["movement"], row["record"])
                    for row in rows
                    if (row["class"] in ("matched", "fee_mismatch") and row["line_ref"])
                    or (row["class"] == "resolved" and row["expected"])
                ]
                who = rows[0]["payment_id"], rows[0]["merchant_id"], rows[0]["shard"]
                found.append(Known(ref, *who, first["network"], first["currency"], settled))
        return found

    def _tell(self, results: Path, summary: Summary) -> None:
        self.results = self._rows(results)
        withdrawn = [row for row in self.results if row["withdrawn"]]
        for row in withdrawn:
            self.told.pop((row["network_ref"], row["record"]), None)
        for row in self.results:
            if row["changed"] and not row["withdrawn"]:
                self.told[row["network_ref"], row["record"]] = shown(row)
        for row in self.results:
            if not row["withdrawn"]:
                stands = self.told.get((row["network_ref"], row["record"]))
                assert stands == shown(row), "what is told again, and not as changed, is as the table has it"
        for each in summary.bookings:
            for name in ("captured", "returned", "fees", "written_off"):
                self.booked[each.shard, each.network, each.currency, name] += getattr(each, name)
        self.booked = Counter({name: amount for name, amount in self.booked.items() if amount})
        self.claims = Counter({(each.network, each.currency): each.amount for each in summary.open_claims})
        assert summary.counts["lost"] == 0

    def _written(self, path: Path, schema: dict[str, str], rows: Sequence[Row]) -> Path:
        names = ", ".join(f'"{name}"' for name in schema)
        columns = ", ".join(f'"{name}" {kind}' for name, kind in schema.items())
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE given ({columns})")
        if rows:
            values = [[row[name] for row in rows] for name in schema]
            chosen = ", ".join(["unnest(?)"] * len(schema))
            self._connection.execute(f"INSERT INTO given ({names}) SELECT {chosen}", values)
        self._connection.execute(f"COPY given TO {text(path)} (FORMAT parquet)")
        return path

    def _rows(self, path: Path) -> list[Row]:
        found = self._connection.execute(f"FROM read_parquet({text(path)})")
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def shown(row: Row) -> Row:
    """A result as the table has it."""
    return {name: row[name] for name in RESULT if name not in _UNTOLD}


def with_copies(lines: Iterable[Row]) -> list[Row]:
    """Lines as `ingest` writes them: those of a batch twice, the second time for the batch's part."""
    found = []
    for line in lines:
        found.append({**line, "role": "line"})
        if line["batch_ref"] and line["type"] != "batch":
            found.append({**line, "role": "member_copy"})
    return found
