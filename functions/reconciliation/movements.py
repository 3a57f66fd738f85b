"""The rules in full (docs/reconciliation.md, "Classes"), for the few movements that are no plain pair."""

from datetime import date

from functions.reconciliation import classes, rows

_MOVEMENT = "network_ref, type, movement"

_WHICH = ("network_ref", "record", "class", "type", "movement", "network", "currency")
_SUMS = ("expected", "settled", "difference", "fee_expected", "at_risk", "tolerated", "booked", "changed")
_PAYMENT = ("merchant_id", "payment_id", "shard")
_LINE = ("line_ref", "file", "row", "day", "due", "note", "settled_on", "sequence", "count", "reason")
"""Columns that are as they are named."""

NAMED = """
SELECT l.* REPLACE (
        CASE WHEN l.type IN ('chargeback', 'representment') THEN coalesce(n.movement, '')
            ELSE l.movement END AS movement,
        coalesce(p.shard, l.shard) AS shard),
    p.payment_id, p.merchant_id, p.currency AS payment_currency, p.network AS payment_network
FROM odd_lines l LEFT JOIN payments p USING (network_ref)
LEFT JOIN names n ON n.merchant_id = p.merchant_id AND n.case_ref = l.case_ref
ANTI JOIN settled_before b
    ON b.network_ref = l.network_ref AND b.type = l.type AND b.record = l.line_id AND l.before IS NULL
"""
"""Odd lines with what is known of their payment, and the movement of a chargeback or representment, if it can be told.
The line that settled a movement long ago is left out: it is told already."""


_FACTS = """
SELECT f.* EXCLUDE (amount, copies), f.amount AS expected,
    d.record IS NOT NULL OR coalesce(f.told = 'resolved', false) AS decided
FROM odd_facts f LEFT JOIN resolved d ON d.network_ref = f.network_ref AND d.record = f.type || '#' || f.movement
"""
"""Facts of odd movements; `decided`: somebody has decided the movement itself, when it had no line."""


def told(as_of: date) -> str:
    """The results of odd movements: all records of a movement of which one is new, has changed or is open."""
    records = " UNION ALL BY NAME ".join((_with_fact(), _without_fact(), _alone(as_of)))
    decided = f"""
        SELECT r.*, s.record IS NULL OR ({_compared("r")}) IS DISTINCT FROM ({_compared("s")}) AS changed
        FROM ({classes.decided(records)}) r
        LEFT JOIN live s ON s.network_ref = r.network_ref AND s.type = r.type AND s.record = r.record
    """
    whole = f"""
        SELECT *, bool_or({classes.IS_OPEN}) OVER same AS any_open,
            bool_or(changed OR {classes.IS_OPEN}) OVER same AS any_told,
            bool_and(coalesce(base, '') <> 'unsettled') OVER same AS all_closed
        FROM ({decided}) WINDOW same AS (PARTITION BY {_MOVEMENT})
    """
    return f"SELECT {rows.projected(_columns(as_of))} FROM ({whole}) WHERE any_told"


def weighed(as_of: date) -> str:
    """Lines of movements with a fact, which of them count, and the class of what they come to. A table of its own,
    `weighed`, because three relations are made of it."""
    joined = f"""
        SELECT l.line_id, l.line_ref, l.file, l.row, l.network_ref, l.type, l.movement, l.amount, l.currency, l.fee,
            l.settled_on, l.sequence, l.count, l.batch_ref, l.case_ref, l.reason, l.before, l.before_note,
            f.payment_id, f.merchant_id, f.shard, f.network, f.day, f.due, f.expected, f.tolerance, f.fee_tolerance,
            f.fee_expected, f.told, f.booked_amount AS had_amount, f.booked_fees AS had_fees,
            f.booked_written_off AS had_written_off,
            l.currency = f.currency AS same, l.count = 1 AS whole, abs(l.amount - f.expected) <= f.tolerance AS fits,
            f.decided AS movement_decided, d.record IS NOT NULL OR coalesce(l.before = 'resolved', false) AS decided,
            l.counted
        FROM named l JOIN ({classes.agreed(_FACTS)}) f USING ({_MOVEMENT})
        LEFT JOIN resolved d ON d.network_ref = l.network_ref AND d.record = l.line_id
    """
    usable = f"""
        SELECT * EXCLUDE (counted), CASE WHEN final THEN decided AND counted ELSE same AND NOT decided END AS usable
        FROM (SELECT *, movement_decided OR bool_or(decided AND counted) OVER (PARTITION BY {_MOVEMENT}) AS final
            FROM ({joined}))
    """
    ranked = f"""
        SELECT *, bool_or(usable AND whole) OVER (PARTITION BY {_MOVEMENT}) AS single,
            row_number() OVER (PARTITION BY {_MOVEMENT}, usable, whole ORDER BY fits DESC, settled_on, line_id)
                AS place,
            first_value(count) OVER (PARTITION BY {_MOVEMENT}, usable ORDER BY settled_on, line_id) AS parts,
            row_number() OVER (PARTITION BY {_MOVEMENT}, usable, count, sequence ORDER BY settled_on, line_id) AS turn
        FROM ({usable})
    """
    counted = f"""
        SELECT *, usable AND CASE WHEN single THEN whole AND place = 1 ELSE count = parts AND turn = 1 END AS counts
        FROM ({ranked})
    """
    summed = f"""
        SELECT *, (sum(amount) FILTER (counts) OVER movement)::BIGINT AS total,
            (sum(fee) FILTER (counts) OVER movement)::BIGINT AS fees,
            single OR count(*) FILTER (counts) OVER movement = parts AS complete,
            counts AND row_number() OVER (PARTITION BY {_MOVEMENT}, counts ORDER BY settled_on, line_id) = 1 AS least
        FROM ({counted}) WINDOW movement AS (PARTITION BY {_MOVEMENT})
    """
    late = f"CASE WHEN {classes.day(as_of)} > due THEN 'missing_at_network' ELSE 'partially_settled' END"
    return f"""
        SELECT *, CASE WHEN final AND had_amount = 0 THEN 'resolved' WHEN complete THEN {classes.SETTLED}
            ELSE {late} END AS sum_class
        FROM ({summed})
    """


def withdrawn() -> str:
    """What earlier runs told of odd movements themselves that now have a line that counts."""
    return f"""
        SELECT {rows.projected(rows.WITHDRAWN)} FROM live s SEMI JOIN (FROM weighed WHERE least) USING ({_MOVEMENT})
        WHERE s.line_ref IS NULL AND s.expected > 0
    """


def failed() -> str:
    """What earlier runs told of captures that the network has refused since."""
    return f"""
        SELECT {rows.projected(rows.WITHDRAWN)} FROM live SEMI JOIN failed_captures USING (network_ref, movement)
        WHERE line_ref IS NULL AND expected > 0
    """


def _with_fact() -> str:
    """Lines whose movement the ledger has."""
    least = "least AND sum_class = "
    settled = "sum_class IN ('matched', 'fee_mismatch')"
    return f"""
        SELECT * REPLACE (CASE WHEN least THEN expected ELSE 0 END AS expected,
                CASE WHEN least THEN fee_expected ELSE 0 END AS fee_expected),
            line_id AS record, amount AS settled,
            CASE WHEN least THEN total - expected WHEN counts THEN 0 ELSE amount END AS difference,
            CASE WHEN counts THEN sum_class WHEN same THEN 'duplicate_at_network' ELSE 'currency_mismatch' END AS class,
            CASE WHEN NOT counts THEN amount WHEN {least} 'missing_at_network' THEN abs(expected - total)
                WHEN {least} 'amount_mismatch' THEN abs(total - expected)
                WHEN {least} 'fee_mismatch' THEN abs(fees - fee_expected) ELSE 0 END AS at_risk,
            counts AND {settled} AND total <> expected AS tolerated,
            CASE WHEN before = 'resolved' THEN before_note
                WHEN final AND same AND NOT counts THEN 'decided' END AS note,
            CASE WHEN NOT counts OR sum_class = 'resolved' THEN 'none' WHEN {settled} THEN 'settled'
                ELSE 'unsettled' END AS base,
            CASE WHEN least AND {settled} THEN expected ELSE 0 END AS now_amount,
            CASE WHEN least AND {settled} THEN fees ELSE 0 END AS now_fees,
            CASE WHEN least AND {settled} THEN {classes.WRITTEN_OFF} ELSE 0 END AS now_written_off,
            counts AND {settled} AND (had_amount <> expected OR had_fees <> fees
                OR had_written_off <> {classes.WRITTEN_OFF}) AS booked
        FROM weighed
    """


def _without_fact() -> str:
    """Lines whose movement the ledger does not have, or had settled so long ago that its fact is no longer here."""
    return f"""
        SELECT l.*, l.line_id AS record, 0 AS expected, l.amount AS settled, l.amount AS difference, 0 AS fee_expected,
            CASE WHEN is_old THEN 'duplicate_at_network' ELSE 'missing_in_ledger' END AS class, l.amount AS at_risk,
            l.settled_on AS day, 'none' AS base, 0 AS now_amount, 0 AS now_fees, 0 AS now_written_off, false AS booked,
            false AS tolerated, NULL::DATE AS due,
            CASE WHEN is_failed THEN 'capture_failed' WHEN is_old THEN 'settled_before'
                WHEN r.code IS NOT NULL THEN r.code
                WHEN l.before_note NOT IN ('payment_known', 'payment_unknown', 'withdrawn') THEN l.before_note
                WHEN l.type = 'chargeback' AND l.payment_currency <> l.currency THEN 'currency_differs'
                WHEN l.payment_id IS NOT NULL THEN 'payment_known' ELSE 'payment_unknown' END AS note
        FROM (SELECT n.*, f.movement IS NOT NULL AS is_failed, f.movement IS NULL
                AND (b.record IS NOT NULL OR n.before_note IS NOT DISTINCT FROM 'settled_before') AS is_old
            FROM named n LEFT JOIN (SELECT {_MOVEMENT}, min(record) AS record FROM settled_before GROUP BY ALL) b
                USING ({_MOVEMENT})
            LEFT JOIN failed_captures f ON f.network_ref = n.network_ref AND f.movement = n.movement) l
        LEFT JOIN refusals r ON r.line_id = l.line_id
        ANTI JOIN odd_facts USING ({_MOVEMENT})
    """


def _alone(as_of: date) -> str:
    """Movements without a line that counts."""
    return f"""
        SELECT *, type || '#' || movement AS record, 0 AS settled, -expected AS difference,
            CASE WHEN decided THEN 'resolved' ELSE {classes.unsettled(as_of)} END AS class,
            CASE WHEN {classes.day(as_of)} > due AND NOT decided THEN expected ELSE 0 END AS at_risk,
            NULL::VARCHAR AS note, told AS before, CASE WHEN decided THEN 'none' ELSE 'unsettled' END AS base,
            0 AS now_amount, 0 AS now_fees, 0 AS now_written_off,
            false AS booked, false AS tolerated
        FROM ({classes.agreed(_FACTS)}) ANTI JOIN (FROM weighed WHERE counts) USING ({_MOVEMENT})
    """


def _compared(relation: str) -> str:
    """What may be another than it was told."""
    names = (*_WHICH, *_PAYMENT, "expected", "difference", "fee_expected", "at_risk", "tolerated", "day", "due", "note")
    return ", ".join(f"{relation}.{name}" for name in names)


def _columns(as_of: date) -> dict[str, str]:
    return {
        **{name: name for name in (*_WHICH, *_PAYMENT, *_SUMS, *_LINE)},
        "batch_ref": "nullif(batch_ref, '')",
        "case_ref": "nullif(case_ref, '')",
        "fee_settled": "coalesce(fee, 0)",
        "split": "coalesce(count > 1, false)",
        "withdrawn": "false",
        "role": "'record'",
        "closed_on": f"CASE WHEN all_closed AND NOT any_open THEN {classes.day(as_of)} END",
        "booked_amount": "now_amount",
        "booked_fees": "now_fees",
        "booked_written_off": "now_written_off",
    }
