"""The rows of a settlement file, piece by piece: sound ones become lines by part, bad ones are told, all counted."""

import shutil
from pathlib import Path

from duckdb import DuckDBPyConnection
from iso4217 import Currency

from functions.reconciliation import card_data, row_checks
from functions.reconciliation.database import text
from functions.reconciliation.layouts import Layout
from functions.reconciliation.loading import LINE
from functions.reconciliation.parts import part_sql
from functions.reconciliation.tally import Tally
from payments import identifiers

LONGEST_TOLD = 200
"""Characters of a bad row that are told."""

_SHARD_OF = "net_[0-7][0-9a-f][a-z2-7]{24}"
"""A payment's reference, which carries its shard (`payments.identifiers`)."""

_UNUSED = "\x01"
"""A character that no clean line has."""

_COMPARED = "CASE type WHEN 'fee' THEN line_ref WHEN 'batch' THEN batch_ref ELSE network_ref END"
_NAMED = "coalesce(nullif(network_ref, ''), line_ref)"
_SHARD = (
    f"CASE WHEN regexp_full_match(network_ref, {text(_SHARD_OF)}) THEN ('0x' || network_ref[5:6])::INTEGER"
    f" ELSE {part_sql(_NAMED, identifiers.SHARDS)} END"
)
_WRITTEN = {
    "network_ref": "CASE type WHEN 'fee' THEN 'fee:' || line_ref WHEN 'batch' THEN 'batch:' || batch_ref"
    " ELSE network_ref END",
    "movement": "CASE WHEN type IN ('capture', 'refund') THEN movement ELSE '' END",
    "reason": card_data.masked_sql("reason"),
    "shard": _SHARD,
}
_AT_THE_END = ("file",)
"""The file's id is known when all of it is read."""


class Rows:
    """What becomes of a file's rows; `tally` counts them. `rejects` is a CSV file once there is a bad one."""

    def __init__(self, connection: DuckDBPyConnection, directory: Path, layout: Layout, network: str, parts: int):
        self._connection, self._layout, self._network, self._parts = connection, layout, network, parts
        self._spread, self._piece, self._lines = directory / "spread", directory / "rejected.csv", directory / "lines"
        self._pieces = 0
        self.rejects, self.tally = directory / "rejects.csv", Tally()
        for path in (self._spread, self._lines):
            path.mkdir(parents=True)
        known = ", ".join(f"({text(one.code)}, {one.exponent})" for one in Currency if one.exponent is not None)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE currencies AS SELECT * FROM (VALUES {known}) AS known(code, exponent)"
        )

    def take(self, piece: Path, before: int) -> None:
        """Takes the clean lines of this file, of which `before` came before. The first line of all is the header."""
        self._parse(piece, before)
        self.tally.add(self._connection)
        self._keep_lines()
        if self.tally.rejected:
            self._keep_rejects()
        self._connection.execute("DROP TABLE parsed")
        self._pieces += 1

    def lines(self, file: str) -> dict[int, Path]:
        """Puts the lines of all pieces together: a file for each part that has any. To be called once."""
        columns = ", ".join(text(file) + " AS file" if name == "file" else f'"{name}"' for name in LINE)
        found = {}
        for part in sorted({int(path.name.partition("=")[2]) for path in self._spread.glob("*/part=*")}):
            pieces = sorted(self._spread.glob(f"*/part={part}"))
            files = ", ".join(text(path / "*.parquet") for path in pieces)
            found[part] = self._lines / f"{part}.parquet"
            self._connection.execute(
                f"COPY (SELECT {columns} FROM read_parquet([{files}], hive_partitioning = false))"
                f" TO {text(found[part])} (FORMAT parquet, COMPRESSION zstd)"
            )
            for path in pieces:
                shutil.rmtree(path)
        return found

    def _parse(self, piece: Path, before: int) -> None:
        self._connection.execute(
            f"""
            CREATE OR REPLACE TEMP VIEW texts AS SELECT row, text
            FROM (SELECT {before} + row_number() OVER () AS row, text FROM read_csv({text(piece)},
                columns = {{'text': 'VARCHAR'}}, delim = {text(_UNUSED)}, quote = '', escape = '', header = false,
                auto_detect = false, new_line = '\\n'))
            WHERE text IS NOT NULL AND row > 1
            """
        )
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE parsed AS SELECT *, {row_checks.FAULT} AS fault FROM ({self._layout.rows})"
        )

    def _keep_lines(self) -> None:
        line, copy = (
            f"SELECT {self._columns(role)}, {part_sql(compared, self._parts)} AS part FROM parsed WHERE fault IS NULL"
            for role, compared in (("line", f"({_COMPARED})"), ("member_copy", "batch_ref"))
        )
        self._connection.execute(
            f"COPY ({line} UNION ALL {copy} AND batch_ref <> '' AND type <> 'batch')"
            f" TO {text(self._spread / str(self._pieces))} (FORMAT parquet, COMPRESSION lz4, PARTITION_BY (part))"
        )

    def _columns(self, role: str) -> str:
        network = text(self._network)
        line_id = f"line_ref || '~' || sha256({network} || ' ' || text)[:8]"
        written: dict[str, str] = {**_WRITTEN, "line_id": line_id, "network": network, "role": text(role)}
        return ", ".join(
            f'CAST({written.get(name, name)} AS {kind}) AS "{name}"'
            for name, kind in LINE.items()
            if name not in _AT_THE_END
        )

    def _keep_rejects(self) -> None:
        told = f"{card_data.masked_sql(card_data.readable_sql('text'))}[:{LONGEST_TOLD}]"
        bad = f"SELECT row, fault AS reason, {told} AS text FROM parsed WHERE fault IS NOT NULL AND record <> 'trailer'"
        header = not self.rejects.exists()
        self._connection.execute(f"COPY ({bad} ORDER BY row) TO {text(self._piece)} (FORMAT csv, HEADER {header})")
        with self.rejects.open("ab") as target, self._piece.open("rb") as piece:
            shutil.copyfileobj(piece, target)
