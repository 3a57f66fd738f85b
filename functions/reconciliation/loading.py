"""A part's inputs as DuckDB sees them: views over the files, and a table of the few that need the rules in full.

Nearly every movement has one fact and one line, or no line yet: those are joined as they are (`pairs`). The others are
found by one pass over hashes, and are taken out into `odd_lines` and `odd_facts`: with several lines or facts, a split,
another currency, no fact, and all that is disputed.
"""

from datetime import date, timedelta

from duckdb import DuckDBPyConnection

from functions.reconciliation import rows
from functions.reconciliation.database import listed, text, texts
from functions.reconciliation.exchange import Inputs

REMEMBERED_DAYS = 14
"""How long what is closed is kept: its line may come again, and must then be known."""

LINE: dict[str, str] = {
    "line_id": "VARCHAR",
    "line_ref": "VARCHAR",
    "file": "VARCHAR",
    "row": "BIGINT",
    "network": "VARCHAR",
    "type": "VARCHAR",
    "network_ref": "VARCHAR",
    "movement": "VARCHAR",
    "amount": "BIGINT",
    "currency": "VARCHAR",
    "fee": "BIGINT",
    "settled_on": "DATE",
    "sequence": "UTINYINT",
    "count": "UTINYINT",
    "batch_ref": "VARCHAR",
    "case_ref": "VARCHAR",
    "reason": "VARCHAR",
    "shard": "INTEGER",
    "role": "VARCHAR",
}
"""A line in a file of `ingest`. `role`: `line`, or `member_copy` in the part of its batch. A fee's and a batch's
`network_ref` is `fee:<line_ref>` and `batch:<batch_ref>`."""

FACT: dict[str, str] = {
    "network_ref": "VARCHAR",
    "payment_id": "VARCHAR",
    "merchant_id": "VARCHAR",
    "shard": "INTEGER",
    "kind": "VARCHAR",
    "movement": "VARCHAR",
    "network": "VARCHAR",
    "currency": "VARCHAR",
    "amount": "BIGINT",
    "day": "VARCHAR",
}
_NO_DAY = date(1970, 1, 1)
"""Of a fact whose journal has no readable time: it is due at once, so that somebody looks at it."""

_PLAIN_TYPES = "('capture', 'refund')"
KEY = "hash(network_ref, type, movement)"
"""What movements are told apart by at first; texts decide."""


def load(connection: DuckDBPyConnection, inputs: Inputs, as_of: date) -> None:
    """Makes `new_facts`, `new_lines`, `state`, `failed_captures`, `resolved`, `touched`, `live`, `facts_live`,
    `lines_live`, `odd`, `odd_lines` and `odd_facts`."""
    _views(connection, inputs)
    _resolved(connection, inputs)
    _failed_captures(connection)
    _live(connection, as_of - timedelta(days=REMEMBERED_DAYS))
    connection.execute(f"CREATE OR REPLACE TEMP VIEW facts_live AS {_FACTS_LIVE}")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW lines_live AS {_LINES_LIVE}")
    decided = f" UNION ALL {_DECIDED}" if has_state(inputs) or inputs.resolutions else ""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE odd AS {_ODD}{decided}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE odd_lines AS {_ODD_LINES}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE odd_facts AS {_ODD_FACTS}")


def has_state(inputs: Inputs) -> bool:
    """Whether a run before left something."""
    return bool(inputs.state_facts or inputs.state_lines)


def _views(connection: DuckDBPyConnection, inputs: Inputs) -> None:
    day = f"coalesce(TRY_CAST(day AS DATE), DATE '{_NO_DAY}')"
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW new_facts AS SELECT * REPLACE ({day} AS day) FROM ({_read(inputs.facts, FACT)})"
        " WHERE network_ref <> ''"
    )
    connection.execute(f"CREATE OR REPLACE TEMP VIEW new_lines AS {_read(inputs.lines, LINE)}")
    files = [file for file in (inputs.state_facts, inputs.state_lines) if file]
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW state AS SELECT * FROM ({_read(files, rows.ALL)}) WHERE withdrawn IS NOT TRUE"
    )


def _resolved(connection: DuckDBPyConnection, inputs: Inputs) -> None:
    connection.execute("CREATE OR REPLACE TEMP TABLE resolved (network_ref VARCHAR, record VARCHAR, note VARCHAR)")
    decisions = [[each.network_ref, each.record, each.note] for each in inputs.resolutions]
    if decisions:
        columns = [list(column) for column in zip(*decisions, strict=True)]
        connection.execute("INSERT INTO resolved SELECT unnest(?), unnest(?), unnest(?)", columns)


def _read(files: object, columns: dict[str, str]) -> str:
    """The named columns of Parquet files; an empty relation of none."""
    paths = list(files)  # type: ignore[call-overload]
    if not paths:
        return (
            "SELECT "
            + ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in columns.items())
            + " WHERE false"
        )
    chosen = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in columns.items())
    return f"SELECT {chosen} FROM read_parquet({texts(paths)}, hive_partitioning = false)"


def _failed_captures(connection: DuckDBPyConnection) -> None:
    """Captures that the network has refused: no line is expected for them, and one that comes has no movement. What
    somebody has decided before stays decided."""
    failed = """
        SELECT network_ref, movement FROM new_facts WHERE kind = 'failed_capture'
        UNION SELECT network_ref, movement FROM state WHERE role = 'failed_capture'
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE failed_captures AS {failed}")
    if connection.execute("SELECT 1 FROM failed_captures LIMIT 1").fetchall():
        decided = """
            SELECT s.network_ref, s.movement FROM state s SEMI JOIN failed_captures USING (network_ref, movement)
            LEFT JOIN resolved d ON d.network_ref = s.network_ref AND d.record = s.record
            WHERE s.role = 'record' AND s.expected > 0 AND (s.class = 'resolved' OR d.record IS NOT NULL)
        """
        connection.execute(f"DELETE FROM failed_captures WHERE (network_ref, movement) IN ({decided})")


def _live(connection: DuckDBPyConnection, forgotten: date) -> None:
    """What earlier runs left and this one looks at again: what is open, and what is closed of payments that are named
    again. What was closed too long ago is not."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE touched AS
        SELECT * FROM state
        WHERE role = 'record' AND closed_on > {text(str(forgotten))}::DATE AND type <> 'batch'
        AND hash(network_ref) IN (
            SELECT hash(network_ref) FROM new_facts WHERE kind IN {listed((*rows.LINE_TYPES, "failed_capture"))}
            UNION ALL SELECT hash(network_ref) FROM new_lines WHERE role = 'line')
        """
        if connection.execute("SELECT 1 FROM state WHERE closed_on IS NOT NULL LIMIT 1").fetchall()
        else "CREATE OR REPLACE TEMP TABLE touched AS SELECT * FROM state WHERE false"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW live AS SELECT * FROM state WHERE role = 'record' AND type <> 'batch'"
        " AND type <> 'authorization' AND closed_on IS NULL UNION ALL FROM touched"
    )


_FACTS_LIVE = f"""
SELECT network_ref, kind AS type, movement, payment_id, merchant_id, shard, network, currency, amount, day,
    NULL::VARCHAR AS told, 0::BIGINT AS booked_amount, 0::BIGINT AS booked_fees, 0::BIGINT AS booked_written_off
FROM new_facts ANTI JOIN failed_captures USING (network_ref, movement) WHERE kind IN {listed(rows.LINE_TYPES)}
UNION ALL
SELECT network_ref, type, movement, payment_id, merchant_id, shard, network, currency, expected, day,
    CASE WHEN line_ref IS NULL THEN class END, booked_amount, booked_fees, booked_written_off
FROM live ANTI JOIN failed_captures USING (network_ref, movement)
WHERE expected > 0 AND type IN {listed(rows.LINE_TYPES)}
"""
"""Facts of movements, new and open, but for captures that failed; `told` is the class of the record that stands for the
movement itself."""

_LINES_LIVE = """
SELECT line_id, line_ref, file, row, network, type, network_ref,
    CASE WHEN type = 'fee' THEN line_id ELSE movement END AS movement, amount, currency, fee, settled_on, sequence,
    count, batch_ref, case_ref, reason, shard, NULL::VARCHAR AS before, NULL::VARCHAR AS before_note,
    false AS counted
FROM new_lines WHERE role = 'line' AND type <> 'batch'
UNION ALL
SELECT record, line_ref, file, row, network, type, network_ref, movement, settled, currency, fee_settled, settled_on,
    sequence, count, batch_ref, case_ref, reason, shard, class, note, expected > 0 OR difference = 0
FROM live WHERE line_ref IS NOT NULL
"""
"""Lines of movements and fees, new and open; `before` and `before_note` are what an earlier run made of them, `counted`
is whether they counted for the movement then."""

_CURRENCY = "(hash(currency) & 18446744073709551608)"
_ODD = f"""
SELECT k FROM (
    SELECT {KEY} AS k, {_CURRENCY} + 1 AS mark FROM facts_live WHERE type IN {_PLAIN_TYPES}
    UNION ALL
    SELECT {KEY}, {_CURRENCY} + CASE count WHEN 1 THEN 2 ELSE 6 END FROM lines_live WHERE type IN {_PLAIN_TYPES})
GROUP BY k
HAVING NOT CASE count(*) WHEN 1 THEN bit_xor(mark) & 7 = 1 WHEN 2 THEN bit_xor(mark) = 3 ELSE false END
"""
"""Movements but those with one fact, and those with one fact and one line that is no split, in the same currency: then
the marks have the same upper bits, and 1 and 2 below."""

_DECIDED = f"""
SELECT {KEY} FROM (
    SELECT network_ref, type, movement FROM facts_live UNION ALL SELECT network_ref, type, movement FROM lines_live)
SEMI JOIN (SELECT network_ref FROM resolved UNION ALL SELECT network_ref FROM live WHERE class = 'resolved')
    USING (network_ref)
"""
"""Movements of payments of which somebody has decided something."""

_ODD_LINES = f"""
SELECT * REPLACE (max(before) OVER same AS before, max(before_note) OVER same AS before_note),
    count(*) OVER same AS copies
FROM (SELECT *, before IS NULL AS is_new FROM lines_live
    WHERE type IN {listed(rows.DISPUTED)} OR (type IN {_PLAIN_TYPES} AND {KEY} IN (FROM odd)))
WINDOW same AS (PARTITION BY network_ref, type, line_id)
QUALIFY row_number() OVER (same ORDER BY before IS NULL, network, file, row) = 1
"""

_ODD_FACTS = f"""
SELECT * REPLACE (max(told) OVER same AS told, (sum(booked_amount) OVER same)::BIGINT AS booked_amount,
    (sum(booked_fees) OVER same)::BIGINT AS booked_fees,
    (sum(booked_written_off) OVER same)::BIGINT AS booked_written_off),
    count(*) OVER same AS copies
FROM facts_live WHERE type IN {listed(rows.DISPUTED)} OR {KEY} IN (FROM odd)
WINDOW same AS (PARTITION BY network_ref, type, movement)
QUALIFY row_number() OVER (same ORDER BY day, amount, currency, network) = 1
"""
