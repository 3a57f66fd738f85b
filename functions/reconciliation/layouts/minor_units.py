"""Layout 1 (docs/settlement_files.md): comma-separated, amounts in minor units, quoted where there is need."""

import csv

from functions.reconciliation.database import listed
from functions.reconciliation.layouts import form

TYPES = ("capture", "refund", "chargeback", "representment", "fee", "batch")

_VERSION = "1"
_FIELDS = 14
_FIELD = '("(?:[^"]|"")*"|[^",]*)'
_RECORD = "CASE WHEN starts_with(text, 'L,') THEN 'detail' WHEN starts_with(text, 'T,') THEN 'trailer' ELSE 'other' END"
_QUOTED = f"""
CASE WHEN regexp_full_match(text, 'L(?:,{_FIELD})*') THEN
    ['L'] || list_transform(regexp_extract_all(text, ',{_FIELD}', 1), lambda field:
        CASE WHEN starts_with(field, '"') THEN replace(field[2:-2], '""', '"') ELSE field END) END
"""

_ROWS = f"""
SELECT t.row, t.text, t.record, t.malformed, t.line_ref, CASE WHEN t.type IN {listed(TYPES)} THEN t.type END AS type,
    t.network_ref, t.movement, t.amount, t.currency, c.exponent, t.fee, t.settled_on, t.sequence, t.count, t.batch_ref,
    t.case_ref, t.reason, t.amount AS control_amount, t.fee AS control_fee
FROM (
    SELECT row, text, record, malformed, f[2] AS line_ref, f[3] AS type, f[4] AS network_ref, f[5] AS movement,
        {form.integer_sql("f[6]")} AS amount, f[7] AS currency, {form.integer_sql("f[8]")} AS fee,
        {form.day_sql("f[9]")} AS settled_on, {form.integer_sql("f[10]")} AS sequence,
        {form.integer_sql("f[11]")} AS count, f[12] AS batch_ref, f[13] AS case_ref, f[14] AS reason
    FROM (
        SELECT row, text, record, CASE WHEN len(split) = {_FIELDS} THEN split END AS f, CASE WHEN split IS NULL
            THEN 'unbalanced_quotes' WHEN len(split) <> {_FIELDS} THEN 'wrong_number_of_fields' END AS malformed
        FROM (
            SELECT row, text, {_RECORD} AS record,
                CASE WHEN contains(text, '"') THEN {_QUOTED} ELSE string_split(text, ',') END AS split
            FROM texts))) t
LEFT JOIN currencies c ON c.code = t.currency
"""


def _header(text: str) -> form.Header | None:
    """`H,1,<network>,<business date>,<reference>`."""
    match _fields(text):
        case ["H", version, network, day, _] if version == _VERSION:
            return form.header(network, day)
    return None


def _trailer(text: str) -> form.Trailer | None:
    """`T,<rows>,<sum of the amounts>,<sum of the fees>`."""
    match [form.integer(field) for field in text.split(",")[1:]]:
        case [int(count), int(amount), int(fee)]:
            return form.Trailer(count, {"control_amount": amount, "control_fee": fee})
    return None


def _fields(text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return []


LAYOUT = form.Layout(_header, _trailer, _ROWS)
