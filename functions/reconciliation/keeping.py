"""What the next run must know: what this one tells, and what it does not tell again but still counts.

The first is the file of the results itself, under another name; the second is a file of rows of the same form.
"""

import os
import shutil
from datetime import date, timedelta
from pathlib import Path

from duckdb import DuckDBPyConnection

from functions.reconciliation import classes, rows
from functions.reconciliation.database import listed, text
from functions.reconciliation.loading import REMEMBERED_DAYS


def keep(connection: DuckDBPyConnection, results: Path, told: Path, kept: Path, as_of: date) -> None:
    """Writes both files."""
    link(results, told)
    connection.execute(f"COPY ({_kept(results, as_of)}) TO {text(kept)} (FORMAT parquet)")


def link(results: Path, told: Path) -> None:
    """Gives the results another name."""
    told.unlink(missing_ok=True)
    try:
        os.link(results, told)
    except OSError:  # two file systems
        shutil.copyfile(results, told)


def _kept(results: Path, as_of: date) -> str:
    parts = (_records(results, as_of), _authorizations(), _ends(results, as_of), _members(results, as_of))
    return " UNION ALL ".join(f"({part})" for part in parts)


def _records(results: Path, as_of: date) -> str:
    """What earlier runs told, of movements and lines of which this one tells nothing. A chargeback's line has another
    movement once its payment is known."""
    return f"""
        SELECT {rows.names()} FROM state
        ANTI JOIN (SELECT network_ref, type, movement FROM read_parquet({text(results)}))
            USING (network_ref, type, movement)
        ANTI JOIN (SELECT network_ref, type, record FROM read_parquet({text(results)}))
            USING (network_ref, type, record)
        WHERE role = 'record' AND type <> 'authorization' AND (closed_on IS NULL OR closed_on > {_forgotten(as_of)})
    """


def _authorizations() -> str:
    """With what the results say of them; those that are not told yet have no class."""
    columns = {name: name for name in ("network_ref", "merchant_id", "payment_id", "shard", "currency", "day")}
    columns |= {"type": "'authorization'", "movement": "''", "expected": "amount", "role": "'authorization'"}
    columns |= {"class": "class", "note": "note", "withdrawn": "false"}
    return f"SELECT {rows.projected(columns)} FROM pending_told"


def _ends(results: Path, as_of: date) -> str:
    """A capture that failed is remembered as long as a line for it is open: its fact, fed again, would settle it."""
    day = classes.day(as_of)
    still_open = f"""
        SELECT network_ref, movement FROM read_parquet({text(results)})
        WHERE note = 'capture_failed' AND {classes.IS_OPEN}
    """
    same = ("network_ref", "movement", "payment_id", "merchant_id", "shard", "network", "currency", "day", "closed_on")
    both = f"""
        SELECT * EXCLUDE (amount), kind AS type, {day} AS closed_on FROM new_facts WHERE kind IN {listed(rows.ENDS)}
        UNION ALL BY NAME SELECT {", ".join(same)}, type, role AS kind FROM state
        WHERE role IN {listed(rows.ENDS)}
            AND (closed_on > {_forgotten(as_of)} OR (network_ref, movement) IN ({still_open}))
    """
    columns = {name: name for name in (*same, "type")} | {"role": "kind", "withdrawn": "false"}
    return f"""
        SELECT {rows.projected(columns)} FROM ({both})
        WHERE kind = 'release' OR (network_ref, movement) IN (FROM failed_captures)
        QUALIFY row_number() OVER (PARTITION BY kind, network_ref, movement ORDER BY closed_on, day) = 1
    """


def _members(results: Path, as_of: date) -> str:
    """Those of open batches, and all others for as long as their batch may come."""
    columns = {name: name for name in ("network", "type", "batch_ref", "currency", "closed_on")}
    columns |= {"network_ref": "'batch:' || batch_ref", "record": "line_id", "settled": "amount", "role": "'member'"}
    still_open = f"SELECT network, batch_ref FROM read_parquet({text(results)}) WHERE class = 'batch_mismatch'"
    return f"""
        SELECT {rows.projected({**columns, "withdrawn": "false"})} FROM members
        WHERE closed_on > {_forgotten(as_of)} OR (network, batch_ref) IN ({still_open})
    """


def _forgotten(as_of: date) -> str:
    return classes.day(as_of - timedelta(days=REMEMBERED_DAYS))
