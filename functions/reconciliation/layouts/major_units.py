"""Layout 2 (docs/settlement_files.md): separated by `|`, which stands in no field, and amounts in major units."""

import re

from functions.reconciliation.layouts import form

TYPES = {
    "SALE": "capture",
    "CRDT": "refund",
    "CHBK": "chargeback",
    "REPR": "representment",
    "FEES": "fee",
    "BTCH": "batch",
}
"""The network's names of the types."""

CONTROL_DECIMALS = 4
"""Of the trailer's control sum: as many as any currency has (ISO 4217, table A.1)."""

_FIELDS = 13
_TRAILER = re.compile(r"FT\|(0|[1-9][0-9]{0,17})\|(0|[1-9][0-9]{0,17})\.([0-9]{4})")


def _minor_units(text: str) -> str:
    """The SQL of an amount in minor units: as many decimals as the currency has, or NULL."""
    written = " ".join(
        f"WHEN {decimals} THEN regexp_full_match({text}, '-?(?:0|[1-9][0-9]{{0,13}}){point}')"
        for decimals, point in ((0, ""), (2, "[.][0-9]{2}"), (3, "[.][0-9]{3}"), (4, "[.][0-9]{4}"))
    )
    return f"CASE WHEN CASE c.exponent {written} END THEN TRY_CAST(replace({text}, '.', '') AS BIGINT) END"


_DATE = "settled_on[:4] || '-' || settled_on[5:6] || '-' || settled_on[7:]"
_CONTROL = f"(10 ** ({CONTROL_DECIMALS} - exponent))::BIGINT"
_NAMES = ", ".join(f"'{name}': '{kind}'" for name, kind in TYPES.items())

_ROWS = f"""
SELECT *, amount::HUGEINT * {_CONTROL} AS control_amount, fee::HUGEINT * {_CONTROL} AS control_fee
FROM (
    SELECT t.row, t.text, t.record, t.malformed, t.line_ref, MAP {{{_NAMES}}}[t.type] AS type, t.network_ref,
        t.movement, {_minor_units("t.amount")} AS amount, t.currency, c.exponent, {_minor_units("t.fee")} AS fee,
        {form.day_sql("t.settled_on")} AS settled_on, {form.integer_sql("t.place[1]")} AS sequence,
        CASE WHEN len(t.place) = 2 THEN {form.integer_sql("t.place[2]")} END AS count, t.batch_ref, t.case_ref, t.reason
    FROM (
        SELECT * REPLACE ({_DATE} AS settled_on)
        FROM (
            SELECT row, text, record, malformed, f[2] AS line_ref, f[3] AS type, f[4] AS network_ref, f[5] AS movement,
                f[6] AS settled_on, f[7] AS currency, f[8] AS amount, f[9] AS fee, string_split(f[10], '/') AS place,
                f[11] AS batch_ref, f[12] AS case_ref, f[13] AS reason
            FROM (
                SELECT row, text, CASE WHEN starts_with(text, 'FD|') THEN 'detail' WHEN starts_with(text, 'FT|')
                        THEN 'trailer' ELSE 'other' END AS record,
                    CASE WHEN len(split) = {_FIELDS} THEN split END AS f,
                    CASE WHEN len(split) <> {_FIELDS} THEN 'wrong_number_of_fields' END AS malformed
                FROM (SELECT *, string_split(text, '|') AS split FROM texts)))) t
    LEFT JOIN currencies c ON c.code = t.currency)
"""


def _header(text: str) -> form.Header | None:
    """`FH|<network>|<business date, 20261123>|<reference>`."""
    match text.split("|"):
        case ["FH", network, day, _] if re.fullmatch("[0-9]{8}", day):
            return form.header(network, f"{day[:4]}-{day[4:6]}-{day[6:]}")
    return None


def _trailer(text: str) -> form.Trailer | None:
    """`FT|<rows>|<sum of the amounts as they are written, whatever the currency, with four decimals>`."""
    found = _TRAILER.fullmatch(text)
    return form.Trailer(int(found[1]), {"control_amount": int(found[2] + found[3])}) if found else None


LAYOUT = form.Layout(_header, _trailer, _ROWS)
