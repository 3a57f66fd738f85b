"""What only other tables can tell: the merchant of a chargeback, whether its dispute is open, what was settled before.

The network names its case, not our dispute; the dispute's id follows from the merchant and the case.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from duckdb import DuckDBPyConnection

from functions.reconciliation.exchange import Known, OpenedDispute, WantedDispute
from functions.reconciliation.movements import NAMED
from payments import identifiers

_TABLES = {
    "names": "merchant_id VARCHAR, case_ref VARCHAR, movement VARCHAR",
    "settled_before": "network_ref VARCHAR, type VARCHAR, movement VARCHAR, record VARCHAR",
    "refusals": "line_id VARCHAR, code VARCHAR",
}

_PAYMENTS = """
SELECT network_ref, min(payment_id) AS payment_id, min(merchant_id) AS merchant_id, min(shard) AS shard,
    min(network) AS network, min(currency) AS currency
FROM (
    SELECT network_ref, payment_id, merchant_id, shard, network, currency FROM new_facts
    UNION ALL
    SELECT network_ref, payment_id, merchant_id, shard, network,
        CASE WHEN line_ref IS NULL OR expected > 0 THEN currency END
    FROM state WHERE payment_id IS NOT NULL)
WHERE network_ref IN (SELECT network_ref FROM odd_lines)
GROUP BY network_ref
"""
"""What the facts here know of the payments of odd lines."""

_ACQUAINT = """
CREATE OR REPLACE TEMP TABLE payments AS
SELECT network_ref, coalesce(p.payment_id, i.payment_id) AS payment_id,
    coalesce(p.merchant_id, i.merchant_id) AS merchant_id, coalesce(p.shard, i.shard) AS shard,
    coalesce(p.network, i.network) AS network, coalesce(p.currency, i.currency) AS currency
FROM payments p FULL JOIN introduced i USING (network_ref)
"""

_OPENED = "line_id VARCHAR, dispute_id VARCHAR, amount BIGINT, currency VARCHAR, day VARCHAR"
_TELL = """
INSERT INTO odd_facts BY NAME
SELECT l.network_ref, 'chargeback' AS type, o.dispute_id AS movement, p.payment_id, p.merchant_id, p.shard,
    coalesce(p.network, l.network) AS network, o.currency, o.amount,
    coalesce(TRY_CAST(o.day AS DATE), DATE '1970-01-01') AS day, NULL AS told, 0 AS booked_amount, 0 AS booked_fees,
    0 AS booked_written_off, 0 AS copies
FROM opened o JOIN odd_lines l USING (line_id) JOIN payments p ON p.network_ref = l.network_ref
ANTI JOIN odd_facts f ON f.network_ref = l.network_ref AND f.type = 'chargeback' AND f.movement = o.dispute_id
"""
"""An opened dispute is a fact; its network is that of the payment."""

_CASES = """
SELECT DISTINCT p.merchant_id, l.case_ref FROM odd_lines l JOIN payments p USING (network_ref)
ANTI JOIN names n ON n.merchant_id = p.merchant_id AND n.case_ref = l.case_ref
WHERE l.type IN ('chargeback', 'representment') AND p.merchant_id IS NOT NULL
"""

_WANTED = f"""
SELECT line_id, network_ref, payment_id, merchant_id, shard, case_ref, amount, currency, coalesce(reason, ''),
    settled_on
FROM ({NAMED}) l ANTI JOIN odd_facts USING (network_ref, type, movement)
ANTI JOIN settled_before USING (network_ref, type, movement)
ANTI JOIN resolved d ON d.network_ref = l.network_ref AND d.record = l.line_id
WHERE type = 'chargeback' AND movement <> '' AND count = 1 AND coalesce(payment_currency, currency) = currency
    AND coalesce(before, '') NOT IN ('resolved', 'duplicate_at_network')
    AND coalesce(before_note, '') <> 'currency_differs'
QUALIFY row_number() OVER (PARTITION BY network_ref, movement ORDER BY settled_on, line_id) = 1
ORDER BY line_id
"""


class Disputes:
    """Asks and is told about the odd lines of a part."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection
        for name, columns in _TABLES.items():
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({columns})")
        connection.execute(f"CREATE OR REPLACE TEMP TABLE payments AS {_PAYMENTS}")

    def strangers(self) -> list[str]:
        """See `Part.strangers`."""
        self.name()
        query = (
            f"SELECT DISTINCT network_ref FROM ({NAMED}) l ANTI JOIN odd_facts USING (network_ref, type, movement)"
            " WHERE is_new ORDER BY ALL"
        )
        return [ref for (ref,) in self._connection.execute(query).fetchall()]

    def introduce(self, known: Iterable[Known]) -> None:
        """See `Part.introduce`."""
        known = list(known)
        payments = [(k.network_ref, k.payment_id, k.merchant_id, k.shard, k.network, k.currency) for k in known]
        self._connection.execute("CREATE OR REPLACE TEMP TABLE introduced AS FROM payments WHERE false")
        self._insert("introduced", payments)
        self._connection.execute(_ACQUAINT)
        self._insert(
            "settled_before", [(k.network_ref, m.type, m.movement, m.record) for k in known for m in k.movements]
        )

    def wanted(self) -> list[WantedDispute]:
        """See `Part.disputes`."""
        self.name()
        return [WantedDispute(*row) for row in self._connection.execute(_WANTED).fetchall()]

    def told(self, opened: Iterable[OpenedDispute]) -> None:
        """See `Part.told`."""
        answers = list(opened)
        self._insert("refusals", [(each.line_id, each.refusal) for each in answers if each.refusal is not None])
        disputes = [
            (each.line_id, each.dispute_id, each.amount, each.currency, each.at[:10])
            for each in answers
            if each.dispute_id is not None
        ]
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE opened ({_OPENED})")
        self._insert("opened", disputes)
        self._connection.execute(_TELL)

    def name(self) -> None:
        """Works out the disputes of chargebacks and representments whose merchant is known by now."""
        cases: list[tuple[str, str]] = self._connection.execute(_CASES).fetchall()
        self._insert("names", [(merchant, case, dispute_of(merchant, case)) for merchant, case in cases])

    def _insert(self, table: str, values: Sequence[tuple[Any, ...]]) -> None:
        if values:
            columns = [list(column) for column in zip(*values, strict=True)]
            self._connection.execute(f"INSERT INTO {table} SELECT {', '.join(['unnest(?)'] * len(columns))}", columns)


def dispute_of(merchant_id: str, case_ref: str) -> str:
    """The dispute (`dsp_…`) that a network's case is to us."""
    return identifiers.operation_id("dsp", identifiers.command_id(merchant_id, f"{case_ref}#open"))
