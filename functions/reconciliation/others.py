"""What is no movement: fees of their own, batches with their members, and authorizations that nothing came of."""

from datetime import date
from pathlib import Path

from functions.reconciliation import classes, rows
from functions.reconciliation.database import listed, text

ORPHAN_DAYS = 8
"""After so many days an authorization is neither captured nor released because an event was lost."""

_ZERO = ("expected", "settled", "difference", "fee_expected", "fee_settled", "at_risk", "booked_amount", "booked_fees")
_NOTHING = dict.fromkeys((*_ZERO, "booked_written_off"), "0") | dict.fromkeys(
    ("split", "tolerated", "booked", "withdrawn"), "false"
)
_AS_IT_IS = ("network_ref", "type", "movement", "network", "currency", "shard", "line_ref", "file", "row")
_LINE = {name: name for name in (*_AS_IT_IS, "settled_on", "sequence", "count", "reason")} | {
    "record": "line_id",
    "settled": "amount",
    "fee_settled": "fee",
    "day": "settled_on",
    "batch_ref": "nullif(batch_ref, '')",
    "case_ref": "nullif(case_ref, '')",
    "role": "'record'",
}

_FEE_LINES = """
SELECT *, count(*) OVER same AS copies FROM lines_live WHERE type = 'fee'
WINDOW same AS (PARTITION BY line_id) QUALIFY row_number() OVER (same ORDER BY before IS NULL, network, file, row) = 1
"""

_BATCH_LINES = """
SELECT record AS line_id, line_ref, file, row, network, type, network_ref, movement, settled AS amount, currency,
    fee_settled AS fee, settled_on, sequence, count, batch_ref, case_ref, reason, shard, class AS before, note,
    expected AS expected_before
FROM state WHERE type = 'batch' AND role = 'record'
UNION ALL
SELECT line_id, line_ref, file, row, network, type, network_ref, line_id, amount, currency, fee, settled_on, sequence,
    count, batch_ref, case_ref, reason, shard, NULL, NULL, NULL
FROM new_lines WHERE type = 'batch' AND role = 'line'
"""

_MEMBERS = """
SELECT record AS line_id, network, type, batch_ref, settled AS amount, currency, closed_on
FROM state WHERE role = 'member'
UNION ALL
SELECT line_id, network, type, batch_ref, amount, currency, (FROM today) FROM new_lines WHERE role = 'member_copy'
"""

_AUTHORIZATIONS = """
SELECT network_ref, payment_id, merchant_id, shard, currency, amount, day, NULL::VARCHAR AS told, NULL::VARCHAR AS note
FROM new_facts WHERE kind = 'authorization'
UNION ALL
SELECT network_ref, payment_id, merchant_id, shard, currency, expected, day, class, note
FROM state WHERE role = 'authorization'
"""

_ENDED = f"""
SELECT network_ref FROM new_facts ANTI JOIN failed_captures USING (network_ref, movement)
WHERE kind = 'release' OR kind IN {listed(rows.LINE_TYPES)}
UNION ALL
SELECT network_ref FROM state ANTI JOIN failed_captures USING (network_ref, movement)
WHERE role = 'release' OR (role = 'record' AND expected > 0 AND type IN {listed(rows.LINE_TYPES)})
"""

TABLES = {
    "fee_lines": _FEE_LINES,
    "batch_lines": f"""
        SELECT * FROM ({_BATCH_LINES})
        QUALIFY row_number() OVER (PARTITION BY line_id ORDER BY before IS NULL, network, file, row) = 1
    """,
    "members": f"""
        SELECT line_id, network, type, batch_ref, amount, currency, min(closed_on) AS closed_on
        FROM ({_MEMBERS}) GROUP BY ALL
    """,
    "authorizations": f"""
        SELECT * REPLACE (max(told) OVER same AS told, max(note) OVER same AS note)
        FROM (SELECT *, false AS ended FROM ({_AUTHORIZATIONS}) ANTI JOIN ({_ENDED}) e USING (network_ref)
            UNION ALL
            SELECT *, true FROM (SELECT * FROM ({_AUTHORIZATIONS}) WHERE told IS NOT NULL)
            SEMI JOIN ({_ENDED}) e USING (network_ref))
        WINDOW same AS (PARTITION BY network_ref)
        QUALIFY row_number() OVER (same ORDER BY day, amount DESC, currency) = 1
    """,
    "pending": "SELECT * EXCLUDE (ended) FROM authorizations WHERE NOT ended",
}
"""Tables of the relations above, each line, member and authorization once. Nearly all authorizations were captured or
released, and are left out: `pending` has those that were not, `authorizations` also those `ended` that were told as
orphans."""


def fees(as_of: date) -> str:
    """Fee lines that are new: there is nothing to compare them with, they are booked."""
    columns = {**_NOTHING, **_LINE, "class": "'network_fee'", "booked": "true", "changed": "true"}
    columns |= {"booked_fees": "amount + fee", "closed_on": classes.day(as_of)}
    return f"SELECT {rows.projected(columns)} FROM fee_lines WHERE before IS NULL"


def batches(as_of: date) -> str:
    """Batch lines, and the sum of their members: of what the network paid less what it took, before its fees."""
    sums = """
        SELECT network, batch_ref, currency,
            sum(CASE WHEN type IN ('capture', 'representment') THEN amount ELSE -amount END)::BIGINT AS expected
        FROM members GROUP BY ALL
    """
    compared = f"""
        SELECT b.*, line_id AS record, coalesce(s.expected, 0) AS expected,
            abs(amount - coalesce(s.expected, 0)) AS at_risk,
            CASE WHEN before = 'resolved' OR d.record IS NOT NULL THEN 'resolved'
                WHEN amount = coalesce(s.expected, 0) THEN 'batch' ELSE 'batch_mismatch' END AS class
        FROM batch_lines b LEFT JOIN ({sums}) s USING (network, batch_ref, currency)
        LEFT JOIN resolved d ON d.network_ref = b.network_ref AND d.record = b.line_id
    """
    columns = {**_NOTHING, **_LINE, "class": "class", "expected": "expected", "difference": "amount - expected"}
    columns |= {"at_risk": "at_risk", "note": "note"}
    columns |= {"changed": "before IS DISTINCT FROM class OR expected_before <> expected"}
    columns |= {"closed_on": f"CASE WHEN NOT {classes.IS_OPEN} THEN {classes.day(as_of)} END"}
    told = f"SELECT {rows.projected(columns)} FROM ({classes.decided(compared)})"
    return f"SELECT * FROM ({told}) WHERE changed OR {classes.IS_OPEN}"


def orphans(as_of: date) -> str:
    """Authorizations that were neither captured nor released in time, and those that were after all."""
    name = "network_ref, 'authorization' AS type, '' AS movement, 'authorization#' AS record, NULL::VARCHAR AS network"
    lost = f"""
        SELECT {name}, payment_id, merchant_id, shard, currency, day, amount AS at_risk, told AS before, note,
            'orphan' AS class
        FROM pending WHERE {classes.day(as_of)} > day + {ORPHAN_DAYS}
    """
    columns = {name: name for name in ("network_ref", "record", "class", "type", "movement", "currency", "merchant_id")}
    columns |= {name: name for name in ("payment_id", "shard", "day", "note")}
    columns |= {"due": f"day + {ORPHAN_DAYS}", "changed": "before IS DISTINCT FROM class", "role": "'record'"}
    found = f"SELECT {rows.projected({**_NOTHING, **columns, 'at_risk': 'at_risk'})} FROM ({classes.decided(lost)})"
    ended = f"SELECT *, {name} FROM authorizations WHERE ended"
    return f"""
        SELECT * FROM ({found}) WHERE changed OR {classes.IS_OPEN}
        UNION ALL SELECT {rows.projected(rows.WITHDRAWN)} FROM ({ended})
    """


def pending_told(results: Path) -> str:
    """The table `pending` with the class that each has by the results; those that nobody was told of have none."""
    told = f"""
        SELECT network_ref, class, note FROM read_parquet({text(results)})
        WHERE type = 'authorization' AND NOT withdrawn
    """
    return f"""
        SELECT p.* EXCLUDE (told, note), coalesce(r.class, p.told) AS class, coalesce(r.note, p.note) AS note
        FROM pending p LEFT JOIN ({told}) r USING (network_ref)
    """
