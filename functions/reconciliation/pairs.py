"""Movements with one fact and at most one line, in the same currency and no split: nearly all of them, in one join."""

from datetime import date

from functions.reconciliation import classes, rows
from functions.reconciliation.loading import KEY

_PLAIN = "type IN ('capture', 'refund')"

_WHICH = ("network_ref", "record", "class", "type", "movement", "network", "currency")
_MORE = ("merchant_id", "payment_id", "shard", "at_risk", "line_ref", "file", "row", "day", "due", "settled_on")
"""Columns that are as they are named."""


def told(as_of: date, *, state: bool) -> str:
    """The results of pairs; without `state` nothing was told before."""
    results = f"SELECT {rows.projected(_columns(as_of, state=state))} FROM ({_classed(as_of, state=state)})"
    return f"SELECT * FROM ({results}) WHERE changed OR {classes.IS_OPEN}" if state else results


def withdrawn() -> str:
    """What earlier runs told of movements themselves that have a line now."""
    return f"""
        SELECT {rows.projected(rows.WITHDRAWN)}
        FROM (SELECT *, {KEY} AS k FROM live WHERE line_ref IS NULL AND expected > 0 AND {_PLAIN})
        ANTI JOIN odd USING (k)
        SEMI JOIN (SELECT * FROM lines_live WHERE {_PLAIN}) USING (network_ref, type, movement, currency)
    """


def _joined(*, state: bool) -> str:
    """Facts are the side that DuckDB keeps in memory, so they bring as little as a result needs."""
    facts = f"SELECT *, {KEY} AS k FROM facts_live WHERE {_PLAIN}"
    lines = f"SELECT *, {KEY} AS k FROM lines_live WHERE {_PLAIN}"
    before = ", f.told, f.booked_amount, f.booked_fees, f.booked_written_off, l.before AS line_before" if state else ""
    return f"""
        SELECT coalesce(f.network_ref, l.network_ref) AS network_ref, coalesce(f.type, l.type) AS type,
            coalesce(f.movement, l.movement) AS movement, coalesce(f.currency, l.currency) AS currency,
            coalesce(f.network, l.network) AS network, coalesce(f.shard, l.shard) AS shard,
            coalesce(f.day, l.settled_on) AS day, f.payment_id, f.merchant_id, f.amount AS expected,
            l.line_id, l.line_ref, l.file, l.row, l.amount AS total, l.fee AS fees, l.settled_on, l.batch_ref{before}
        FROM (SELECT * FROM ({lines}) ANTI JOIN odd USING (k)) l
        FULL JOIN (SELECT * FROM ({facts}) ANTI JOIN odd USING (k)) f
        ON f.network_ref = l.network_ref AND f.type = l.type AND f.movement = l.movement AND f.currency = l.currency
    """


def _classed(as_of: date, *, state: bool) -> str:
    """With a class; a line alone is one that only its hash took for a fact's."""
    before = ", CASE WHEN line_id IS NULL THEN told ELSE line_before END AS before" if state else ""
    return f"""
        SELECT *, base AS class{before}, coalesce(line_id, type || '#' || movement) AS record,
            CASE base WHEN 'missing_at_network' THEN expected WHEN 'missing_in_ledger' THEN total
                WHEN 'amount_mismatch' THEN abs(total - expected) WHEN 'fee_mismatch' THEN abs(fees - fee_expected)
                ELSE 0 END AS at_risk
        FROM (SELECT *, CASE WHEN expected IS NULL THEN 'missing_in_ledger'
                WHEN line_id IS NULL THEN {classes.unsettled(as_of)} ELSE {classes.SETTLED} END AS base
            FROM ({classes.agreed(_joined(state=state))}))
    """


def _columns(as_of: date, *, state: bool) -> dict[str, str]:
    books = {
        "booked_amount": f"CASE WHEN {classes.IS_SETTLED} THEN expected ELSE 0 END",
        "booked_fees": f"CASE WHEN {classes.IS_SETTLED} THEN fees ELSE 0 END",
        "booked_written_off": f"CASE WHEN {classes.IS_SETTLED} THEN {classes.WRITTEN_OFF} ELSE 0 END",
    }
    anew = " OR ".join(f"{name} <> {value}" for name, value in books.items())
    return {
        **{name: name for name in (*_WHICH, *_MORE)},
        **books,
        "batch_ref": "nullif(batch_ref, '')",
        "expected": "coalesce(expected, 0)",
        "settled": "coalesce(total, 0)",
        "difference": "coalesce(total, 0) - coalesce(expected, 0)",
        "fee_expected": "coalesce(fee_expected, 0)",
        "fee_settled": "coalesce(fees, 0)",
        "split": "false",
        "tolerated": f"{classes.IS_SETTLED} AND total <> expected",
        "note": "CASE base WHEN 'missing_in_ledger' THEN 'payment_unknown' END",
        "booked": f"{classes.IS_SETTLED}" + (f" AND ({anew})" if state else ""),
        "changed": "before IS DISTINCT FROM class" if state else "true",
        "withdrawn": "false",
        "sequence": "CASE WHEN line_id IS NOT NULL THEN 1 END",
        "count": "CASE WHEN line_id IS NOT NULL THEN 1 END",
        "role": "'record'",
        "closed_on": f"CASE WHEN {classes.IS_SETTLED} AND NOT {classes.IS_OPEN} THEN {classes.day(as_of)} END",
    }
