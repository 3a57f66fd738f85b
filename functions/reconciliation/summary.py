"""What a part came to: sums over the results that it has written, while its tables are still there."""

from duckdb import DuckDBPyConnection

from functions.reconciliation.database import listed, text
from functions.reconciliation.exchange import Booking, OpenClaim, Outputs, Summary, Total
from functions.reconciliation.rows import LINE_TYPES

_SUMMED = ("expected", "settled", "difference", "fee_settled", "at_risk")
_IS_FACT = f"expected > 0 AND type IN {listed(LINE_TYPES)}"
_IS_UNSETTLED = "booked_amount = 0 AND class <> 'resolved'"
"""Neither a run has booked it nor an operator."""

_BOOKED = ("booked_amount", "booked_fees", "booked_written_off")


def of(connection: DuckDBPyConnection, outputs: Outputs) -> Summary:
    """The summary of the part that was matched into these files."""
    for name, file in (("results", outputs.results), ("kept", outputs.lines)):
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {name} AS"
            f" FROM read_parquet({text(file)}, hive_partitioning = false) WHERE NOT withdrawn"
        )
    sums = ", ".join(f"sum({name}) AS {name}" for name in (*_SUMMED, *_BOOKED))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE sums AS SELECT merchant_id, class, type, network, currency, shard, role,"
        f" count(*) AS lines, {sums}, count(*) FILTER ({_IS_FACT}) AS facts, count(line_ref) AS with_line,"
        f" sum(expected) FILTER ({_IS_UNSETTLED}) AS unsettled FROM results GROUP BY ALL"
    )
    return Summary(
        totals=_totals(connection, "NULL"),
        by_merchant=[total for total in _totals(connection, "merchant_id") if total.merchant_id is not None],
        bookings=_bookings(connection),
        open_claims=_open_claims(connection),
        counts=_counts(connection),
    )


def _totals(connection: DuckDBPyConnection, merchant: str) -> list[Total]:
    sums = ", ".join(f"sum({name})::HUGEINT" for name in ("lines", *_SUMMED))
    query = f"SELECT {merchant} AS merchant, class, type, network, currency, {sums} FROM sums GROUP BY ALL ORDER BY ALL"
    return [Total(*row) for row in connection.execute(query).fetchall()]


def _bookings(connection: DuckDBPyConnection) -> list[Booking]:
    """What stands in the books now, less what stood there before, of the movements that are told."""
    before = f"""
        SELECT shard, network, currency, type, {", ".join(f"-{name} AS {name}" for name in _BOOKED)} FROM live
        SEMI JOIN results USING (network_ref, type, movement)
        WHERE booked_amount <> 0 OR booked_fees <> 0 OR booked_written_off <> 0
    """
    query = f"""
        SELECT shard, network, currency,
            coalesce(sum(booked_amount) FILTER (type IN ('capture', 'representment')), 0)::HUGEINT AS captured,
            coalesce(sum(booked_amount) FILTER (type IN ('refund', 'chargeback')), 0)::HUGEINT AS returned,
            sum(booked_fees)::HUGEINT AS fees, sum(booked_written_off)::HUGEINT AS written_off
        FROM (SELECT shard, network, currency, type, {", ".join(_BOOKED)} FROM sums UNION ALL BY NAME {before})
        GROUP BY ALL HAVING captured <> 0 OR returned <> 0 OR fees <> 0 OR written_off <> 0 ORDER BY ALL
    """
    return [Booking(*row) for row in connection.execute(query).fetchall()]


def _open_claims(connection: DuckDBPyConnection) -> list[OpenClaim]:
    query = f"""
        SELECT network, currency,
            sum(CASE WHEN type IN ('capture', 'representment') THEN amount ELSE -amount END)::HUGEINT AS claim
        FROM (SELECT network, currency, type, unsettled AS amount FROM sums WHERE facts > 0
            UNION ALL SELECT network, currency, type, expected FROM kept
            WHERE role = 'record' AND {_IS_UNSETTLED} AND {_IS_FACT})
        GROUP BY ALL HAVING claim <> 0 ORDER BY ALL
    """
    return [OpenClaim(*row) for row in connection.execute(query).fetchall()]


def _counts(connection: DuckDBPyConnection) -> dict[str, int]:
    """What came in, and what became of it: each fact and line that was looked at is one row, told or kept."""

    def count(query: str) -> int:
        return int(connection.execute(f"SELECT coalesce(({query}), 0)::BIGINT").fetchall()[0][0])

    facts_in = count("SELECT count(*) FROM facts_live")
    lines_in = count("SELECT count(*) FROM lines_live")
    facts = facts_in + count("SELECT count(*) - sum(copies) FROM odd_facts")
    lines = lines_in - count("SELECT sum(copies) FROM odd_lines") + count("SELECT count(*) FROM named")
    lines += count("SELECT count(*) - sum(copies) FROM fee_lines")
    kept = "FROM kept WHERE role = 'record' AND (closed_on IS NULL OR (network_ref, record) IN ("
    kept += "SELECT network_ref, record FROM touched))"
    told_facts = count("SELECT sum(facts) FROM sums")
    told_lines = count("SELECT sum(with_line) FROM sums WHERE type <> 'batch'")
    kept_facts = count(f"SELECT count(*) FILTER ({_IS_FACT}) {kept}")
    kept_lines = count(f"SELECT count(line_ref) {kept} AND type <> 'batch'")
    return {
        "facts": facts,
        "facts_repeated": facts_in - facts,
        "lines": lines,
        "lines_repeated": lines_in - lines,
        "told": count("SELECT sum(lines) FROM sums"),
        "lost": (facts - told_facts - kept_facts) + (lines - told_lines - kept_lines),
    }
