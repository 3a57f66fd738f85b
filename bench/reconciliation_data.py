"""Facts and lines of so many captures and refunds for `bench.reconciliation`, made by DuckDB.

Of a thousand movements 20 have no line (half of them are due), 5 lines are of another amount, 3 are split, 4 have a
second line, and 3 lines are of payments that nobody knows; every twentieth movement is a refund.
"""

import shutil
from datetime import date
from pathlib import Path

from functions.reconciliation import database

AS_OF = date(2026, 11, 25)
NETWORKS = ("visa", "mastercard", "amex")

_FILE = "0123456789abcdef" * 2
_FEE = (
    "CASE WHEN kind = 'capture' THEN"
    " (amount * CASE network WHEN 'amex' THEN 230 ELSE 180 END + 5000) // 10000 + 10 ELSE 0 END"
)


def _id(prefix: str, seed: str) -> str:
    """The SQL of an id of this form; without digits, because sixteen in a row might be a card number."""
    return f"'{prefix}_' || translate(md5({seed})[:26], '0123456789', 'ghijklmnop')"


_REFUND, _UNKNOWN = "'r' || i", "'u' || i"
_KIND = "CASE WHEN i % 20 = 3 THEN 'refund' ELSE 'capture' END"
_MOVEMENT = f"CASE WHEN i % 20 = 3 THEN {_id('ref', _REFUND)} ELSE '' END"


def make(directory: Path, rows: int) -> None:
    """Writes `facts.parquet` and `lines.parquet`, as compaction and ingest do, into the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with database.opened(directory / "made", "2GB", 2) as connection:
        connection.execute(f"CREATE TEMP VIEW movements AS {_movements(rows)}")
        for name, query in (("facts", _FACTS), ("lines", _LINES)):
            connection.execute(f"COPY ({query}) TO '{directory}/{name}.parquet' (FORMAT parquet, COMPRESSION zstd)")


def write_files(directory: Path) -> list[Path]:
    """The lines as settlement files of layout 1, one of each network."""
    with database.opened(directory / "made", "2GB", 2) as connection:
        return [_write(connection, directory, network) for network in NETWORKS]


def _movements(rows: int) -> str:
    networks = ", ".join(f"'{name}'" for name in NETWORKS)
    return f"""
        SELECT i, {_id("net", "i::VARCHAR")} AS network_ref, {_id("pay", "'p' || i")} AS payment_id,
            {_id("mer", "(i % 5000)::VARCHAR")} AS merchant_id, (hash(i % 5000) % 128)::INTEGER AS shard,
            {_KIND} AS kind, {_MOVEMENT} AS movement, [{networks}][1 + i % 3] AS network,
            ['USD', 'EUR', 'JPY'][1 + i // 3 % 3] AS currency, 100 + (hash(i) % 100000)::BIGINT AS amount,
            '2026-11-2' || (i % 4) AS day
        FROM (SELECT range AS i FROM range({rows}))
    """


_FACTS = """
SELECT network_ref, payment_id, merchant_id, shard, kind AS journal_id, kind, movement, network, currency, amount,
    30::BIGINT AS fee, day || 'T12:00:00.000Z' AS at, day
FROM movements
"""

_EACH = f"""
SELECT 'L' || i AS line_ref, network_ref, movement, network, kind AS type,
    amount + CASE WHEN i % 1000 IN (11, 12, 13, 14, 15) THEN 100 ELSE 0 END AS amount,
    currency, {_FEE} AS fee, 1 AS sequence, 1 AS count, shard
FROM movements WHERE i % 50 <> 7 AND i % 1000 NOT IN (21, 22, 23)
UNION ALL
SELECT 'S' || i || '.' || s, network_ref, movement, network, kind, CASE s WHEN 1 THEN 50 ELSE amount - 50 END, currency,
    CASE s WHEN 1 THEN {_FEE} ELSE 0 END, s, 2, shard
FROM movements, (SELECT unnest([1, 2]) AS s) WHERE i % 1000 IN (21, 22, 23)
UNION ALL
SELECT 'D' || i, network_ref, movement, network, kind, amount, currency, {_FEE}, 1, 1, shard
FROM movements WHERE i % 1000 IN (31, 32, 33, 34)
UNION ALL
SELECT 'U' || i, {_id("net", _UNKNOWN)}, '', network, 'capture', amount, currency, {_FEE}, 1, 1, shard
FROM movements WHERE i % 1000 IN (41, 42, 43)
"""

_LINES = f"""
SELECT line_ref || '~' || md5(line_ref)[:8] AS line_id, line_ref, '{_FILE}' AS file,
    (hash(line_ref) % 100000000)::BIGINT AS row, network, type, network_ref, movement, amount, currency, fee,
    DATE '2026-11-24' AS settled_on,
    sequence::UTINYINT AS sequence, count::UTINYINT AS count, '' AS batch_ref, '' AS case_ref, '' AS reason, shard,
    'line' AS role
FROM ({_EACH})
"""


def _write(connection: database.DuckDBPyConnection, directory: Path, network: str) -> Path:
    file, rows = directory / f"{network}.csv", directory / "rows.csv"
    lines = f"FROM '{directory}/lines.parquet' WHERE network = '{network}'"
    connection.execute(
        f"""COPY (SELECT concat_ws(',', 'L', line_ref, type, network_ref, movement, amount, currency, fee, settled_on,
            sequence, count, '', '', '') {lines}) TO '{rows}' (FORMAT csv, HEADER false, QUOTE '', DELIMITER '\x01')"""
    )
    ((count, amounts, fees),) = connection.execute(f"SELECT count(*), sum(amount), sum(fee) {lines}").fetchall()
    with file.open("wb") as target, rows.open("rb") as source:
        target.write(f"H,1,{network},2026-11-24,{network}-1\n".encode())
        shutil.copyfileobj(source, target, 2**20)
        target.write(f"T,{count},{amounts},{fees}\n".encode())
    rows.unlink()
    return file
