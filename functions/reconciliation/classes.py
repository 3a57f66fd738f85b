"""The rules that all movements share, as expressions of SQL over columns of these names."""

from datetime import date

from functions.reconciliation.database import listed
from functions.reconciliation.exchange import OPEN

IS_OPEN = f"class IN {listed(OPEN)}"

IS_SETTLED = "base IN ('matched', 'fee_mismatch')"
"""Whether the books take it for settled; `base` is the class before anybody decided."""

FEE_EXPECTED = (
    "CASE WHEN type = 'capture' THEN (expected // 10000) * basis_points"
    " + ((expected % 10000) * basis_points + 5000) // 10000 + fixed ELSE 0 END"
)
"""The plan of the merchant at the network: basis points half up, exact for any amount, and what is fixed."""

WRITTEN_OFF = "CASE WHEN type IN ('capture', 'representment') THEN expected - total ELSE total - expected END"
"""What we got less than we were owed, or gave more than we owed."""

SETTLED = (
    "CASE WHEN abs(total - expected) > tolerance THEN 'amount_mismatch'"
    " WHEN abs(fees - fee_expected) > fee_tolerance THEN 'fee_mismatch' ELSE 'matched' END"
)
"""The class of a movement whose lines come to `total`, with `fees`."""


def unsettled(as_of: date) -> str:
    """The class of a movement without a line. `due` is the last day on which a line is in time."""
    return f"CASE WHEN {day(as_of)} > due THEN 'missing_at_network' ELSE 'expected' END"


def agreed(facts: str) -> str:
    """The relation of facts, with what was agreed about each: `due`, `fee_expected`, and the columns of `agreed`."""
    return f"""
        SELECT *, {FEE_EXPECTED} AS fee_expected FROM (
            SELECT f.*, a.* EXCLUDE (network, currency, merchant), f.day + a.due_days AS due FROM ({facts}) f
            LEFT JOIN special s ON s.merchant_id = f.merchant_id
            LEFT JOIN agreed a
            ON a.network = f.network AND a.currency = f.currency AND a.merchant = coalesce(s.merchant_id, ''))
    """


def decided(relation: str) -> str:
    """The relation, with the class `resolved` and nothing at risk where an operator has decided what is open.

    It needs `network_ref`, `record`, `class`, `at_risk`, `note`, and `before`: the class the record had before.
    """
    is_decided = f"({IS_OPEN} OR class = 'resolved') AND (d.record IS NOT NULL OR before = 'resolved')"
    return f"""
        SELECT r.* REPLACE (
            CASE WHEN {is_decided} THEN 'resolved' ELSE class END AS class,
            CASE WHEN {is_decided} THEN 0 ELSE at_risk END AS at_risk,
            CASE WHEN {is_decided} THEN coalesce(d.note, r.note) ELSE r.note END AS note)
        FROM ({relation}) r LEFT JOIN resolved d ON d.network_ref = r.network_ref AND d.record = r.record
    """


def day(value: date) -> str:
    """A date as a literal."""
    return f"DATE '{value}'"
