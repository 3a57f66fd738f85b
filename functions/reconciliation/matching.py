"""One part of a run: facts and lines in, results and what the next run must know out (docs/reconciliation.md).

Pure: files and a DuckDB connection; no AWS, no clock. A part is used once, in the order of its methods; `strangers` to
`told` may be left out.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

from duckdb import DuckDBPyConnection

from functions.reconciliation import keeping, loading, movements, others, pairs, summary, terms
from functions.reconciliation.database import text
from functions.reconciliation.disputes import Disputes
from functions.reconciliation.exchange import (
    Inputs,
    Known,
    OpenedDispute,
    Outputs,
    Summary,
    WantedDispute,
)
from functions.reconciliation.terms import Terms

PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
"""Half the size of DuckDB's default, for no more work."""


class Part:
    """The matching of one part, as of a day."""

    def __init__(self, connection: DuckDBPyConnection, inputs: Inputs, agreed: Terms, as_of: date) -> None:
        self._connection, self._inputs, self._terms, self._as_of = connection, inputs, agreed, as_of
        connection.execute(f"CREATE OR REPLACE TEMP TABLE today AS SELECT DATE '{as_of}' AS as_of")
        loading.load(connection, inputs, as_of)
        self._disputes = Disputes(connection)

    def strangers(self) -> list[str]:
        """Payments (`net_…`) that new lines name, and of whose movements here is no fact."""
        return self._disputes.strangers()

    def introduce(self, known: Iterable[Known]) -> None:
        """What is known elsewhere about such payments: lines for movements that were settled before are duplicates
        then, the line that settled one is not told again, and chargebacks have a merchant."""
        self._disputes.introduce(known)

    def disputes(self) -> list[WantedDispute]:
        """The chargebacks of known payments whose dispute no fact here tells of, each movement's least line."""
        return self._disputes.wanted()

    def told(self, opened: Iterable[OpenedDispute]) -> None:
        """What the ledger answered to them. A dispute counts like any other fact, and once when the fact comes, too."""
        self._disputes.told(opened)

    def run(self, outputs: Outputs) -> Summary:
        """Writes the three files and says what they come to."""
        self._prepare()
        for name, query in others.TABLES.items():
            self._table(name, query)
        self._connection.execute(f"COPY ({self._results()}) TO {text(outputs.results)} ({PARQUET})")
        self._table("pending_told", others.pending_told(outputs.results))
        keeping.keep(self._connection, outputs.results, outputs.facts, outputs.lines, self._as_of)
        return summary.of(self._connection, outputs)

    def _prepare(self) -> None:
        self._disputes.name()
        places = self._fetch(
            "SELECT DISTINCT network, currency FROM (FROM facts_live UNION ALL BY NAME FROM odd_facts)"
        )
        terms.put(self._connection, self._terms, [(network, currency) for network, currency in places])
        self._table("named", movements.NAMED)
        self._table("weighed", movements.weighed(self._as_of))

    def _results(self) -> str:
        state = loading.has_state(self._inputs)
        told = [pairs.told(self._as_of, state=state), movements.told(self._as_of), movements.withdrawn()]
        told += [movements.failed()]
        told += [others.fees(self._as_of), others.batches(self._as_of), others.orphans(self._as_of)]
        if state:
            told.append(pairs.withdrawn())
        return " UNION ALL ".join(f"({query})" for query in told)

    def _table(self, name: str, query: str) -> None:
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")

    def _fetch(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()
